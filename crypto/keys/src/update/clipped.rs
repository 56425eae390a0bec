//! What clipping takes from an update, for the site to know: of the update as it is trained, before
//! it is weighted.

use std::fmt;

use ringfence_crypto::layout::{Layout, TensorLayout};

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

impl fmt::Display for Clipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { values, of, tensor, furthest, clip } = self;
        write!(
            f,
            "{values} of {of} values lay beyond the study's clip bound and were clipped; the furthest, {furthest} in {tensor:?}, to {clip}"
        )
    }
}

/// What clipping to the layout's bounds takes from an update, its values in layout order; `None`
/// when it takes nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clipping_takes_is_counted_and_the_furthest_named() {
        let tensor = |name: &str, clip| TensorLayout { name: name.into(), shape: vec![2], clip };
        let layout = Layout { tensors: vec![tensor("a", 1.0), tensor("b", 0.25)] };
        assert_eq!(clipped(&[1.0, -1.0, 0.25, -0.25], &layout), None);
        let found = clipped(&[1.5, 0.0, 0.3, -0.5], &layout).unwrap();
        let (values, of, tensor) = (3, 4, "b".to_owned());
        assert_eq!(found, Clipped { values, of, tensor, furthest: -0.5, clip: 0.25 });
        assert!(found.to_string().starts_with("3 of 4 values"), "{found}");
    }
}
