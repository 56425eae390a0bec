//! What a group normalisation is told.

/// Settings of a group normalisation (Wu and He, "Group Normalization", 2018).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// Equal groups of neighbouring channels; each is normalised by itself in each image.
    pub groups: usize,
    /// Added to a variance before its root is taken; 1e-5 as in the paper and in PyTorch.
    pub epsilon: f64,
    /// Whether negative results become 0.
    pub relu: bool,
}

impl GroupNorm {
    /// With the usual epsilon, 1e-5, and no ReLU.
    #[must_use]
    pub fn new(groups: usize) -> Self {
        Self { groups, epsilon: 1e-5, relu: false }
    }

    /// Followed by a ReLU.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }
}
