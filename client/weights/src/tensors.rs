//! A model's weights as plain numbers: named `f32` tensors in the order of their names.
//!
//! This is the only form in which the learning side and the cipher side meet. Nothing here
//! knows of a tensor library or of encryption. The order is the names' byte order, so that
//! two sites which hold the same model flatten it to the same vector.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

/// Named `f32` tensors, sorted by name.
///
/// ```
/// use ringfence_weights::Weights;
/// let shapes = vec![("bias".to_string(), vec![2]), ("kernel".to_string(), vec![2, 1])];
/// let weights = Weights::from_values(&shapes, vec![1.0, 2.0, 3.0, 4.0])?;
/// assert_eq!(weights.len(), 4);
/// assert_eq!(weights.get("kernel"), Some((&[2, 1][..], &[3.0, 4.0][..])));
/// # Ok::<(), ringfence_weights::WeightsError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    tensors: BTreeMap<String, Values>,
}

/// One tensor: its shape, and its values in row-major order (as many as the shape says).
#[derive(Clone, Debug, PartialEq)]
struct Values {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Why weights could not be read, written, built or combined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The file could not be read or written.
    #[error("{}: cannot {verb} the weights: {source}; check that the path exists and may be accessed", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was being done: `read` or `write`.
        verb: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not a safetensors file.
    #[error("{}: not a valid safetensors file ({source}); it may be cut short, fetch it again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor of another number format than 32-bit floats.
    #[error("{}: tensor `{tensor}` is {dtype}, expected F32; convert the model to 32-bit floats first", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The number format found.
        dtype: String,
    },
    /// A tensor that only one of two models has.
    #[error(
        "tensor `{tensor}` is in the {present} weights but not in the {absent} ones; both must be of the same model"
    )]
    Missing {
        /// The tensor.
        tensor: String,
        /// The side that has it.
        present: &'static str,
        /// The side that lacks it.
        absent: &'static str,
    },
    /// A tensor whose shape differs between two models.
    #[error(
        "tensor `{tensor}`: expected shape {expected:?}, found {found:?}; both must be of the same model"
    )]
    Shape {
        /// The tensor.
        tensor: String,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape that came.
        found: Vec<usize>,
    },
    /// The flat vector is longer or shorter than the shapes say.
    #[error("the shapes hold {expected} values, but {found} came; the vector is of another model")]
    Count {
        /// How many values the shapes hold.
        expected: usize,
        /// How many values came.
        found: usize,
    },
    /// The names are not in strictly rising order, so that the flat order would be unclear.
    #[error(
        "tensor `{tensor}` is repeated or out of order; list the shapes sorted by name, each name once"
    )]
    Order {
        /// The first tensor that is not after the one before it.
        tensor: String,
    },
    /// A shape whose number of values exceeds the address space.
    #[error("tensor `{tensor}`: shape {shape:?} is too large; the layout is damaged")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A value that is not a finite number.
    #[error(
        "tensor `{tensor}` holds {value} at index {index}; training diverged, lower the learning rate and start again from finite weights"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Index of the first bad value, row-major within the tensor.
        index: usize,
        /// The value: NaN or an infinity.
        value: f32,
    },
}

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
        let bytes = fs::read(path).map_err(|source| file_error(path, "read", source))?;
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

    /// Writes a safetensors file. The file appears whole or not at all: it is written beside
    /// `path` under another name and then renamed.
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
        let bytes: Vec<Vec<u8>> = self.tensors.values().map(Values::to_le_bytes).collect();
        let views = self
            .tensors
            .iter()
            .zip(&bytes)
            .map(|((name, tensor), bytes)| {
                let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes);
                Ok((name.as_str(), view.map_err(format)?))
            })
            .collect::<Result<Vec<_>, WeightsError>>()?;
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let metadata = (!metadata.is_empty()).then(|| metadata.iter().map(text).collect());
        let file = safetensors::serialize(views, metadata).map_err(format)?;

        let mut unfinished = path.as_os_str().to_os_string();
        unfinished.push(format!(".{}.unfinished", std::process::id()));
        let unfinished = PathBuf::from(unfinished);
        let write = || {
            let mut out = fs::File::create(&unfinished)?;
            out.write_all(&file)?;
            out.sync_all()?;
            fs::rename(&unfinished, path)
        };
        let written = write();
        if written.is_err() {
            // What matters is the first error; a left-over file is only untidy.
            let _ = fs::remove_file(&unfinished);
        }
        written.map_err(|source| file_error(path, "write", source))
    }

    /// Splits a flat vector into tensors: the inverse of [`Weights::shapes`] and
    /// [`Weights::values`].
    ///
    /// # Errors
    /// [`WeightsError::Order`] if the names are not strictly rising, [`WeightsError::Count`] if
    /// the vector's length differs from the shapes' total, [`WeightsError::TooLarge`].
    pub fn from_values(
        shapes: &[(String, Vec<usize>)],
        values: Vec<f32>,
    ) -> Result<Self, WeightsError> {
        if let Some(pair) = shapes.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(WeightsError::Order { tensor: pair[1].0.clone() });
        }
        let too_large = |(tensor, shape): &(String, Vec<usize>)| WeightsError::TooLarge {
            tensor: tensor.clone(),
            shape: shape.clone(),
        };
        let mut sizes = Vec::with_capacity(shapes.len());
        let mut expected = 0_usize;
        for entry in shapes {
            let size = entry.1.iter().try_fold(1_usize, |size, dim| size.checked_mul(*dim));
            let size = size.ok_or_else(|| too_large(entry))?;
            expected = expected.checked_add(size).ok_or_else(|| too_large(entry))?;
            sizes.push(size);
        }
        if expected != values.len() {
            return Err(WeightsError::Count { expected, found: values.len() });
        }
        let mut rest = values.into_iter();
        let tensors = shapes
            .iter()
            .zip(sizes)
            .map(|((name, shape), size)| {
                let values = rest.by_ref().take(size).collect();
                (name.clone(), Values { shape: shape.clone(), values })
            })
            .collect();
        Ok(Self { tensors })
    }

    /// Number of values in all tensors together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.values().map(|tensor| tensor.values.len()).sum()
    }

    /// Whether there is no value at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One tensor's shape and row-major values.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<(&[usize], &[f32])> {
        let tensor = self.tensors.get(name)?;
        Some((tensor.shape.as_slice(), tensor.values.as_slice()))
    }

    /// The tensors in the order of their names: name, shape, row-major values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[usize], &[f32])> {
        self.tensors.iter().map(|(name, tensor)| {
            (name.as_str(), tensor.shape.as_slice(), tensor.values.as_slice())
        })
    }

    /// All values, tensor after tensor in the order of their names, each row-major.
    pub fn values(&self) -> impl Iterator<Item = f32> + '_ {
        self.tensors.values().flat_map(|tensor| tensor.values.iter().copied())
    }

    /// Names and shapes in the order of the names.
    #[must_use]
    pub fn shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shape.clone())).collect()
    }

    /// `self - base`: the update that training made to `base`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] or [`WeightsError::Shape`], naming the tensor.
    pub fn difference(&self, base: &Self) -> Result<Self, WeightsError> {
        self.combine(base, "new", "base", |new, base| new - base)
    }

    /// `self + update`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] or [`WeightsError::Shape`], naming the tensor.
    pub fn add(&self, update: &Self) -> Result<Self, WeightsError> {
        self.combine(update, "base", "update", |base, update| base + update)
    }

    /// Checks that every value is a finite number.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] naming the tensor and the index of the first NaN or infinity.
    pub fn check_finite(&self) -> Result<(), WeightsError> {
        for (name, tensor) in &self.tensors {
            if let Some(index) = tensor.values.iter().position(|value| !value.is_finite()) {
                let value = tensor.values[index];
                return Err(WeightsError::NotFinite { tensor: name.clone(), index, value });
            }
        }
        Ok(())
    }

    fn combine(
        &self,
        other: &Self,
        ours: &'static str,
        theirs: &'static str,
        with: impl Fn(f32, f32) -> f32,
    ) -> Result<Self, WeightsError> {
        let missing = |tensor: &String, present, absent| WeightsError::Missing {
            tensor: tensor.clone(),
            present,
            absent,
        };
        if let Some(name) = other.tensors.keys().find(|name| !self.tensors.contains_key(*name)) {
            return Err(missing(name, theirs, ours));
        }
        let mut tensors = BTreeMap::new();
        for (name, left) in &self.tensors {
            let right = other.tensors.get(name).ok_or_else(|| missing(name, ours, theirs))?;
            if left.shape != right.shape {
                return Err(WeightsError::Shape {
                    tensor: name.clone(),
                    expected: left.shape.clone(),
                    found: right.shape.clone(),
                });
            }
            let values = left.values.iter().zip(&right.values).map(|(l, r)| with(*l, *r)).collect();
            tensors.insert(name.clone(), Values { shape: left.shape.clone(), values });
        }
        Ok(Self { tensors })
    }
}

impl Values {
    fn to_le_bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }
}

fn file_error(path: &Path, verb: &'static str, source: std::io::Error) -> WeightsError {
    WeightsError::File { path: path.to_path_buf(), verb, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(kernel: [f32; 4], bias: [f32; 2]) -> Weights {
        let shapes = [("a.bias".to_string(), vec![2]), ("a.kernel".to_string(), vec![2, 2])];
        Weights::from_values(&shapes, [bias.as_slice(), &kernel].concat()).unwrap()
    }

    #[test]
    fn values_flatten_in_the_order_of_names_and_come_back() {
        let model = weights([3.0, 4.0, 5.0, 6.0], [1.0, 2.0]);
        let flat: Vec<f32> = model.values().collect();
        assert_eq!(flat, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(Weights::from_values(&model.shapes(), flat).unwrap(), model);
    }

    #[test]
    fn update_brings_the_base_to_the_new_weights() {
        let base = weights([1.0, 2.0, 3.0, 4.0], [0.5, 0.25]);
        let new = weights([1.5, 1.0, 3.0, -4.0], [0.0, 0.25]);
        let update = new.difference(&base).unwrap();
        assert_eq!(update.get("a.kernel").unwrap().1, [0.5, -1.0, 0.0, -8.0]);
        assert_eq!(base.add(&update).unwrap(), new);
    }

    #[test]
    fn another_models_tensors_are_refused_by_name() {
        let ours = weights([0.0; 4], [0.0; 2]);
        let fewer = Weights::from_values(&[("a.bias".into(), vec![2])], vec![0.0; 2]).unwrap();
        let error = ours.difference(&fewer).unwrap_err().to_string();
        assert!(error.contains("`a.kernel` is in the new weights but not in the base"), "{error}");
        let error = fewer.difference(&ours).unwrap_err().to_string();
        assert!(error.contains("`a.kernel` is in the base weights but not in the new"), "{error}");
        let turned = [("a.bias".into(), vec![2]), ("a.kernel".into(), vec![4, 1])];
        let turned = Weights::from_values(&turned, vec![0.0; 6]).unwrap();
        let error = ours.add(&turned).unwrap_err().to_string();
        assert!(error.contains("`a.kernel`: expected shape [2, 2], found [4, 1]"), "{error}");
    }

    #[test]
    fn bad_layouts_are_refused() {
        let unsorted = [("b".to_string(), vec![1]), ("a".to_string(), vec![1])];
        let refused = Weights::from_values(&unsorted, vec![0.0; 2]);
        assert!(matches!(refused, Err(WeightsError::Order { tensor }) if tensor == "a"));
        let twice = [("a".to_string(), vec![1]), ("a".to_string(), vec![1])];
        assert!(matches!(
            Weights::from_values(&twice, vec![0.0; 2]),
            Err(WeightsError::Order { .. })
        ));
        let one = [("a".to_string(), vec![3])];
        let refused = Weights::from_values(&one, vec![0.0; 2]);
        assert!(matches!(refused, Err(WeightsError::Count { expected: 3, found: 2 })));
        let huge = [("a".to_string(), vec![usize::MAX, 2])];
        assert!(matches!(Weights::from_values(&huge, vec![]), Err(WeightsError::TooLarge { .. })));
    }

    #[test]
    fn first_value_that_is_not_finite_is_named() {
        assert!(weights([1.0; 4], [1.0; 2]).check_finite().is_ok());
        let bad = weights([1.0, 2.0, f32::INFINITY, f32::NAN], [1.0; 2]);
        let error = bad.check_finite().unwrap_err();
        assert!(
            matches!(&error, WeightsError::NotFinite { tensor, index: 2, .. } if tensor == "a.kernel")
        );
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
