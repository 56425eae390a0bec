//! The layout of a model: which tensor lies where in the flat vector of values.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::wire::canonical::canonical;

/// Most tensors a layout names.
pub const MAX_TENSORS: usize = 10_000;
const MAX_NAME: usize = 256;
const MAX_RANK: usize = 8;

/// One tensor of the model and the clip bound of its update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TensorLayout {
    /// Name, as in the safetensors file.
    pub name: String,
    /// Shape; an empty shape is a scalar.
    pub shape: Vec<u32>,
    /// `C`: update values are clipped to `[-C, C]`, then weighted, then quantized.
    pub clip: f32,
}
canonical!(TensorLayout { name, shape, clip });

impl TensorLayout {
    /// Number of values, or `None` when it does not fit a machine word.
    pub fn values(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side as usize))
    }
}

/// All tensors, sorted by name: a hash map's order never decides which weight is which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// The tensors, strictly ascending by name. Every tensor is float32.
    pub tensors: Vec<TensorLayout>,
}
canonical!(Layout { tensors });

/// A layout that no model can have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LayoutError {
    /// No or too many tensors.
    #[error("expected 1 to {MAX_TENSORS} tensors in the layout, got {0}")]
    Count(usize),
    /// Names out of order, twice or of a wrong length.
    #[error("tensor names must be strictly ascending and of 1 to {MAX_NAME} bytes; {0:?} is not")]
    Name(String),
    /// A shape without values or too large.
    #[error(
        "tensor {name:?} has shape {shape:?}; expected at most {MAX_RANK} sides, all positive, and a model that fits in memory"
    )]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u32>,
    },
    /// A clip bound that clips nothing or everything.
    #[error("tensor {name:?} has clip bound {clip}; expected a finite number above zero")]
    Clip {
        /// The tensor.
        name: String,
        /// The bound.
        clip: f32,
    },
}

impl Layout {
    /// Refuses layouts that no model can have.
    ///
    /// # Errors
    /// [`LayoutError`] names the first tensor at fault.
    pub fn check(&self) -> Result<(), LayoutError> {
        if self.tensors.is_empty() || self.tensors.len() > MAX_TENSORS {
            return Err(LayoutError::Count(self.tensors.len()));
        }
        let mut previous: Option<&str> = None;
        let mut total = 0usize;
        for tensor in &self.tensors {
            let name = &tensor.name;
            if name.is_empty()
                || name.len() > MAX_NAME
                || previous.is_some_and(|p| p >= name.as_str())
            {
                return Err(LayoutError::Name(name.chars().take(MAX_NAME).collect()));
            }
            previous = Some(name);
            let values = tensor.values().filter(|v| *v > 0 && tensor.shape.len() <= MAX_RANK);
            match values.and_then(|values| total.checked_add(values)) {
                Some(sum) => total = sum,
                None => {
                    let (name, shape) = (name.clone(), tensor.shape.clone());
                    return Err(LayoutError::Shape { name, shape });
                }
            }
            if !(tensor.clip.is_finite() && tensor.clip > 0.0) {
                return Err(LayoutError::Clip { name: name.clone(), clip: tensor.clip });
            }
        }
        Ok(())
    }

    /// Number of values of the whole model.
    pub fn values(&self) -> usize {
        self.tensors.iter().filter_map(TensorLayout::values).sum()
    }

    /// Digest of names, shapes and clip bounds.
    pub fn digest(&self) -> Digest {
        crate::wire::canonical::digest("layout", self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, shape: &[u32]) -> TensorLayout {
        TensorLayout { name: name.into(), shape: shape.into(), clip: 0.5 }
    }

    #[test]
    fn counts_values_and_refuses_disorder() {
        let layout = Layout { tensors: vec![tensor("a", &[2, 3]), tensor("b", &[])] };
        assert_eq!(layout.check(), Ok(()));
        assert_eq!(layout.values(), 7);
        let swapped = Layout { tensors: vec![tensor("b", &[1]), tensor("a", &[1])] };
        assert_eq!(swapped.check(), Err(LayoutError::Name("a".into())));
        assert_ne!(layout.digest(), swapped.digest());
        let huge = Layout { tensors: vec![tensor("a", &[u32::MAX; 4])] };
        assert!(matches!(huge.check(), Err(LayoutError::Shape { .. })));
        let mut unclipped = layout.clone();
        unclipped.tensors[0].clip = f32::INFINITY;
        assert!(matches!(unclipped.check(), Err(LayoutError::Clip { .. })));
    }
}
