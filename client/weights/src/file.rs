//! Weights as safetensors files.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::Path;

use ringfence_durable::{Readers, Unfinished};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use crate::error::WeightsError;
use crate::tensors::{Values, Weights};

/// Bytes that are written at a time.
const BUFFER: usize = 1 << 20;

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
        self.put_with(path, metadata, Unfinished::replace)
    }

    /// Writes a safetensors file that can be made again: after a crash it is whole, or as it was
    /// before, for its name is not synced.
    ///
    /// # Errors
    /// As [`Weights::save`].
    pub fn save_whole(&self, path: &Path) -> Result<(), WeightsError> {
        self.put_with(path, &[], |file| file.put().map(drop))
    }

    /// Writes a safetensors file beside another one that says more, and syncs nothing: a power cut may
    /// leave an empty file.
    ///
    /// # Errors
    /// As [`Weights::save`].
    pub fn save_unsynced(
        &self,
        path: &Path,
        metadata: &[(&str, &str)],
    ) -> Result<(), WeightsError> {
        self.put_with(path, metadata, Unfinished::put_unsynced)
    }

    fn put_with(
        &self,
        path: &Path,
        metadata: &[(&str, &str)],
        put: impl FnOnce(Unfinished) -> std::io::Result<()>,
    ) -> Result<(), WeightsError> {
        let format = |source| WeightsError::Format { path: path.to_path_buf(), source };
        let header = self.header(metadata).map_err(format)?;
        let write = || {
            let mut file = BufWriter::with_capacity(BUFFER, Unfinished::new(path, Readers::Usual)?);
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            // A large model has no second copy of its values in memory.
            for value in self.values() {
                file.write_all(&value.to_le_bytes())?;
            }
            put(file.into_inner().map_err(IntoInnerError::into_error)?)
        };
        write().map_err(|source| file_error(path, "write", source))
    }

    /// What a file begins with, behind its length: JSON, with spaces up to a multiple of eight.
    fn header(&self, metadata: &[(&str, &str)]) -> Result<Vec<u8>, SafeTensorError> {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata = (!metadata.is_empty()).then(|| metadata.iter().map(text).collect());
        let (mut infos, mut end) = (Vec::with_capacity(self.tensors.len()), 0);
        for (name, tensor) in &self.tensors {
            let (start, shape) = (end, tensor.shape.clone());
            end += size_of::<f32>() * tensor.values.len();
            let info = TensorInfo { dtype: Dtype::F32, shape, data_offsets: (start, end) };
            infos.push((name.clone(), info));
        }
        let mut header = serde_json::to_vec(&Metadata::new(metadata, infos)?)?;
        header.resize(header.len().next_multiple_of(size_of::<u64>()), b' ');
        Ok(header)
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
        // To the byte as the format's own crate writes it.
        let texts = std::collections::HashMap::from([("key".to_owned(), "\u{e9}".to_owned())]);
        let views = model.tensors.iter().map(|(name, tensor)| {
            let bytes: Vec<u8> =
                tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.clone(), tensor.shape.clone(), bytes)
        });
        let views: Vec<_> = views.collect();
        let views = views.iter().map(|(name, shape, bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let expected = safetensors::serialize(views, Some(texts)).unwrap();
        model.save_with(&path, &[("key", "\u{e9}")]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), expected);
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
