//! Weights as safetensors files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use ringfence_durable::Readers;
use safetensors::tensor::{Dtype, SafeTensors, View};

use crate::error::WeightsError;
use crate::tensors::{Values, Weights};

impl Weights {
    /// Reads a safetensors file whose tensors are all 32-bit floats.
    ///
    /// # Errors
    /// [`WeightsError::File`], [`WeightsError::Format`] or [`WeightsError::Dtype`]. Values are
    /// not judged: see [`Weights::check_finite`].
    pub fn load(path: &Path) -> Result<Self, WeightsError> {
        Ok(Self::load_with(path)?.0)
    }

    /// Reads a safetensors file as [`Weights::load`] does, with the texts of its metadata.
    ///
    /// # Errors
    /// As [`Weights::load`].
    pub fn load_with(path: &Path) -> Result<(Self, HashMap<String, String>), WeightsError> {
        let bytes = ringfence_durable::read_regular(path)
            .map_err(|source| file_error(path, "read", source))?;
        let format = |source| WeightsError::Format { path: path.to_path_buf(), source };
        let file = SafeTensors::deserialize(&bytes).map_err(format)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(format)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let mut tensors = BTreeMap::new();
        for (tensor, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                return Err(WeightsError::Dtype {
                    path: path.to_path_buf(),
                    tensor: tensor.to_string(),
                    dtype: format!("{:?}", view.dtype()),
                });
            }
            let (words, _) = view.data().as_chunks::<4>();
            let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            tensors.insert(tensor.to_string(), Values { shape: view.shape().to_vec(), values });
        }
        Ok((Self { tensors }, metadata))
    }

    /// Writes a safetensors file. It appears whole or not at all, and is durable when this
    /// returns.
    ///
    /// # Errors
    /// [`WeightsError::File`] or, for a tensor the format cannot hold, [`WeightsError::Format`].
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        self.save_with(path, &[])
    }

    /// Writes a safetensors file as [`Weights::save`] does, with texts in its metadata.
    ///
    /// # Errors
    /// As [`Weights::save`].
    pub fn save_with(&self, path: &Path, metadata: &[(&str, &str)]) -> Result<(), WeightsError> {
        let format = |source| WeightsError::Format { path: path.to_path_buf(), source };
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata = (!metadata.is_empty()).then(|| metadata.iter().map(text).collect());
        // Beside the file, the bytes of one tensor at a time.
        let file = safetensors::serialize(&self.tensors, metadata).map_err(format)?;
        ringfence_durable::write(path, &file, Readers::Usual)
            .map_err(|source| file_error(path, "write", source))
    }
}

impl View for &Values {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        self.values.len() * size_of::<f32>()
    }
}

fn file_error(path: &Path, verb: &'static str, source: std::io::Error) -> WeightsError {
    WeightsError::File { path: path.to_path_buf(), verb, source }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use safetensors::tensor::TensorView;

    use super::*;

    fn weights(kernel: [f32; 4], bias: [f32; 2]) -> Weights {
        let shapes = [("a.bias".to_string(), vec![2]), ("a.kernel".to_string(), vec![2, 2])];
        Weights::from_values(&shapes, [bias.as_slice(), &kernel].concat()).unwrap()
    }

    #[test]
    fn file_round_trip_is_exact_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let model = weights([f32::MIN_POSITIVE, -0.0, 1e-42, f32::MAX], [0.1, 1.0 / 3.0]);
        model.save(&path).unwrap();
        let back = Weights::load(&path).unwrap();
        let bits = |weights: &Weights| weights.values().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&model));
        assert_eq!(back.shapes(), model.shapes());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn damaged_absent_and_half_precision_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        assert!(matches!(Weights::load(&path), Err(WeightsError::File { .. })));
        weights([1.0; 4], [1.0; 2]).save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let error = Weights::load(&path).unwrap_err();
        assert!(matches!(error, WeightsError::Format { .. }));
        assert!(error.to_string().contains("model.safetensors"), "{error}");
        let view = TensorView::new(Dtype::F16, vec![1], &[0, 0]).unwrap();
        fs::write(&path, safetensors::serialize([("half", view)], None).unwrap()).unwrap();
        let error = Weights::load(&path).unwrap_err().to_string();
        assert!(error.contains("`half` is F16, expected F32"), "{error}");
    }
}
