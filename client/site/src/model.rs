//! A model as the protocol sees it: an id, and a layout with clip bounds.

use ringfence_crypto::Digest;
use ringfence_crypto::id::ModelId;
use ringfence_crypto::layout::{Layout, TensorLayout};
use ringfence_weights::Weights;

/// A model's id: the digest of its names, shapes and values.
pub fn id(weights: &Weights) -> ModelId {
    ModelId(Digest(weights.digest()))
}

/// The layout of a model's updates, every tensor clipped to `[-clip, clip]`.
pub fn layout(weights: &Weights, clip: f32) -> Layout {
    let tensors = weights.shapes().into_iter().map(|(name, shape)| {
        // A side beyond u32 cannot be a real tensor's; the layout check refuses what it becomes.
        let shape = shape.into_iter().map(|side| u32::try_from(side).unwrap_or(0)).collect();
        TensorLayout { name, shape, clip }
    });
    Layout { tensors: tensors.collect() }
}

/// Tensors that do not have the study's names and shapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutMismatch {
    /// A tensor is missing, too many, or of another name.
    #[error(
        "expected tensor {expected:?} at place {place} of the study's layout, got {got:?}; the file must hold exactly the study's tensors (see `ringfence study show`)"
    )]
    Name {
        /// Place in sorted order.
        place: usize,
        /// By the study.
        expected: Option<String>,
        /// In the file.
        got: Option<String>,
    },
    /// Another shape.
    #[error("tensor {name:?} has shape {got:?}, the study's layout says {expected:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// By the study.
        expected: Vec<u32>,
        /// In the file.
        got: Vec<usize>,
    },
}

/// Refuses tensors that are not the study's, by name and shape.
///
/// # Errors
/// [`LayoutMismatch`] names the first tensor that differs.
pub fn check_layout(weights: &Weights, layout: &Layout) -> Result<(), LayoutMismatch> {
    let mut shapes = weights.shapes().into_iter();
    let mut expected = layout.tensors.iter();
    for place in 0.. {
        let (expected, got) = match (expected.next(), shapes.next()) {
            (None, None) => break,
            (Some(expected), Some(got)) if expected.name == got.0 => (expected, got),
            (expected, got) => {
                let expected = expected.map(|tensor| tensor.name.clone());
                return Err(LayoutMismatch::Name { place, expected, got: got.map(|(n, _)| n) });
            }
        };
        let (name, shape) = got;
        if !shape.iter().copied().eq(expected.shape.iter().map(|side| *side as usize)) {
            let expected = expected.shape.clone();
            return Err(LayoutMismatch::Shape { name, expected, got: shape });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[&str], values: &[f32]) -> Weights {
        let shapes: Vec<_> = names.iter().map(|name| (String::from(*name), vec![2])).collect();
        Weights::from_values(&shapes, values.to_vec()).unwrap()
    }

    #[test]
    fn names_the_tensor_that_differs() {
        let layout = layout(&weights(&["a", "b"], &[0.0; 4]), 1.0);
        check_layout(&weights(&["a", "b"], &[1.0; 4]), &layout).unwrap();
        let error = check_layout(&weights(&["a"], &[1.0; 2]), &layout).unwrap_err();
        assert!(matches!(error, LayoutMismatch::Name { place: 1, got: None, .. }), "{error}");
        let square =
            Weights::from_values(&[("a".into(), vec![1, 2]), ("b".into(), vec![2])], vec![0.0; 4]);
        let error = check_layout(&square.unwrap(), &layout).unwrap_err();
        assert!(error.to_string().contains("shape [1, 2], the study's layout says [2]"), "{error}");
    }
}
