//! Named `f32` tensors in the order of their names, and what is reckoned with them.

use std::collections::BTreeMap;

use crate::error::WeightsError;

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
    pub(crate) tensors: BTreeMap<String, Values>,
}

/// One tensor: its shape, and its values in row-major order (as many as the shape says).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Weights {
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
        let mut pairs = shapes.iter().zip(shapes.iter().skip(1));
        if let Some((_, after)) = pairs.find(|(before, after)| before.0 >= after.0) {
            return Err(WeightsError::Order { tensor: after.0.clone() });
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
        // From the end, so that the first tensor, which may be the only one, is not copied.
        let (mut rest, mut start) = (values, expected);
        let mut tensors = BTreeMap::new();
        for ((name, shape), size) in shapes.iter().zip(sizes).rev() {
            start -= size;
            let mut values = match start {
                0 => std::mem::take(&mut rest),
                start => rest.split_off(start),
            };
            values.shrink_to_fit();
            tensors.insert(name.clone(), Values { shape: shape.clone(), values });
        }
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

    /// All values as [`Weights::values`] gives them, without keeping the tensors.
    #[must_use]
    pub fn into_values(self) -> Vec<f32> {
        let total = self.len();
        let mut tensors = self.tensors.into_values();
        let mut values = tensors.next().map(|first| first.values).unwrap_or_default();
        values.reserve_exact(total - values.len());
        tensors.for_each(|tensor| values.extend(tensor.values));
        values
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

    /// `self + update`, each value one addition of two `f32`.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] or [`WeightsError::Shape`], naming the tensor;
    /// [`WeightsError::NotFinite`] where the sum is no finite number.
    pub fn add(&self, update: &Self) -> Result<Self, WeightsError> {
        let sum = self.combine(update, "base", "update", |base, update| base + update)?;
        sum.check_finite()?;
        Ok(sum)
    }

    /// The same as [`Weights::add`], in the memory of these weights: a large model needs it once.
    ///
    /// # Errors
    /// As [`Weights::add`].
    pub fn plus(mut self, update: &Self) -> Result<Self, WeightsError> {
        self.check_same(update)?;
        for (mine, theirs) in self.tensors.values_mut().zip(update.tensors.values()) {
            mine.values.iter_mut().zip(&theirs.values).for_each(|(value, add)| *value += add);
        }
        self.check_finite()?;
        Ok(self)
    }

    /// Checks that `update` has the same names and shapes.
    ///
    /// # Errors
    /// [`WeightsError::Missing`] or [`WeightsError::Shape`], naming the tensor.
    pub(crate) fn check_same(&self, update: &Self) -> Result<(), WeightsError> {
        self.check_shapes(update, "base", "update")
    }

    /// Checks that every value is a finite number.
    ///
    /// # Errors
    /// [`WeightsError::NotFinite`] naming the tensor and the index of the first NaN or infinity.
    pub fn check_finite(&self) -> Result<(), WeightsError> {
        for (name, tensor) in &self.tensors {
            let mut values = tensor.values.iter().copied().enumerate();
            if let Some((index, value)) = values.find(|(_, value)| !value.is_finite()) {
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
        self.check_shapes(other, ours, theirs)?;
        let pairs = self.tensors.iter().zip(other.tensors.values());
        let combined = pairs.map(|((name, left), right)| {
            let values = left.values.iter().zip(&right.values).map(|(l, r)| with(*l, *r)).collect();
            (name.clone(), Values { shape: left.shape.clone(), values })
        });
        Ok(Self { tensors: combined.collect() })
    }

    /// Checks that another has the same names and shapes.
    fn check_shapes(
        &self,
        other: &Self,
        ours: &'static str,
        theirs: &'static str,
    ) -> Result<(), WeightsError> {
        let missing = |tensor: &String, present, absent| WeightsError::Missing {
            tensor: tensor.clone(),
            present,
            absent,
        };
        if let Some(name) = other.tensors.keys().find(|name| !self.tensors.contains_key(*name)) {
            return Err(missing(name, theirs, ours));
        }
        for (name, left) in &self.tensors {
            let right = other.tensors.get(name).ok_or_else(|| missing(name, ours, theirs))?;
            if left.shape != right.shape {
                return Err(WeightsError::Shape {
                    tensor: name.clone(),
                    expected: left.shape.clone(),
                    found: right.shape.clone(),
                });
            }
        }
        Ok(())
    }
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
        assert_eq!(model.clone().into_values(), flat);
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
}
