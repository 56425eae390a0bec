//! What an attack says.

use super::score::mse;
use super::terms::Public;

/// What an attack says that it has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Images as models get them. None: the attacker sees that he has found nothing, and answers
    /// with the mean image.
    pub(super) images: Vec<Vec<f32>>,
    /// What the attack has made of what it saw, to be shown where that is no answer.
    pub(super) made: Option<Vec<f32>>,
}

impl Answer {
    /// Of many candidates those that may be images, each once.
    pub(super) fn among(candidates: Vec<Vec<f32>>, public: &Public) -> Self {
        let mut images: Vec<Vec<f32>> = Vec::new();
        for candidate in &candidates {
            let is_new = |other: &Vec<f32>| mse(candidate, other) > 0.01;
            if public.may_be(candidate) && images.iter().all(is_new) {
                images.push(candidate.clone());
            }
        }
        Self { images, made: candidates.into_iter().next() }
    }

    /// The found image that is nearest to the true one; the mean image where there is none.
    pub(super) fn nearest<'a>(&'a self, truth: &[f32], public: &'a Public) -> &'a [f32] {
        let nearest = self.images.iter().min_by(|a, b| mse(a, truth).total_cmp(&mse(b, truth)));
        nearest.map_or(&public.mean, Vec::as_slice)
    }
}
