//! A model as the protocol sees it: a digest, and a layout with clip bounds.

use ringfence_crypto::Digest;
use ringfence_crypto::layout::{Layout, TensorLayout};

use ringfence_weights::Weights;

/// Digest of a model: names, shapes and the bits of every value, in sorted order.
pub fn digest(weights: &Weights) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"ringfence/model/1");
    let count = |hasher: &mut blake3::Hasher, count: usize| {
        hasher.update(&(count as u64).to_le_bytes());
    };
    for (name, shape, values) in weights.iter() {
        count(&mut hasher, name.len());
        hasher.update(name.as_bytes());
        count(&mut hasher, shape.len());
        shape.iter().for_each(|side| count(&mut hasher, *side));
        for value in values {
            hasher.update(&value.to_bits().to_le_bytes());
        }
    }
    Digest::finish(&hasher)
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

/// What clipping takes from an update.
#[derive(Clone, Debug, PartialEq)]
pub struct Clipped {
    /// Values beyond the clip bound of their tensor.
    pub values: usize,
    /// Values in all.
    pub of: usize,
    /// The tensor of the value that is furthest beyond its bound, in proportion.
    pub tensor: String,
    /// That value.
    pub furthest: f32,
    /// Its bound.
    pub clip: f32,
}

impl std::fmt::Display for Clipped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { values, of, tensor, furthest, clip } = self;
        write!(
            f,
            "{values} of {of} values lay beyond the study's clip bound and were clipped; the furthest, {furthest} in {tensor:?}, to {clip}"
        )
    }
}

/// What clipping to the layout's bounds takes from an update, its values in layout order; `None` when
/// it takes nothing.
pub fn clipped(update: &[f32], layout: &Layout) -> Option<Clipped> {
    let mut rest = update;
    let by_tensor = layout.tensors.iter().map(|TensorLayout { name, shape, clip }| {
        let count = shape.iter().map(|side| *side as usize).product::<usize>().min(rest.len());
        let (values, after) = rest.split_at(count);
        rest = after;
        let beyond = values.iter().copied().filter(|value| value.abs() > *clip);
        let furthest = beyond.clone().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
        let (tensor, values) = (name.clone(), beyond.count());
        Clipped { values, of: update.len(), tensor, furthest, clip: *clip }
    });
    let by_tensor: Vec<Clipped> = by_tensor.collect();
    let values = by_tensor.iter().map(|clipped| clipped.values).sum();
    let excess = |clipped: &Clipped| clipped.furthest.abs() / clipped.clip;
    let furthest = by_tensor.into_iter().max_by(|a, b| excess(a).total_cmp(&excess(b)))?;
    (values > 0).then_some(Clipped { values, ..furthest })
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
    fn digest_depends_on_names_and_every_bit() {
        let model = weights(&["a", "b"], &[1.0, 2.0, 3.0, 0.0]);
        assert_eq!(digest(&model), digest(&model.clone()));
        assert_ne!(digest(&model), digest(&weights(&["a", "c"], &[1.0, 2.0, 3.0, 0.0])));
        assert_ne!(digest(&model), digest(&weights(&["a", "b"], &[1.0, 2.0, 3.0, -0.0])));
    }

    #[test]
    fn what_clipping_takes_is_counted_and_the_furthest_named() {
        let mut layout = layout(&weights(&["a", "b"], &[0.0; 4]), 1.0);
        layout.tensors[1].clip = 0.25;
        assert_eq!(clipped(&[1.0, -1.0, 0.25, -0.25], &layout), None);
        let found = clipped(&[1.5, 0.0, 0.3, -0.5], &layout).unwrap();
        let (values, of, tensor) = (3, 4, "b".to_owned());
        assert_eq!(found, Clipped { values, of, tensor, furthest: -0.5, clip: 0.25 });
        assert!(found.to_string().starts_with("3 of 4 values"), "{found}");
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
