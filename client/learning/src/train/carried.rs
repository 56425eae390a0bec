//! What a site carries from one round into the next, and never sends.

use ringfence_weights::Weights;

use super::checkpoint::Checkpoint;
use crate::personal::Personal;

/// What a training begins with beside its weights, where a site has something of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried<'a> {
    /// The optimizer's moments at the end of the last round. From zero unless given.
    pub moments: Option<&'a Checkpoint>,
    /// The weights that [`crate::Algorithm::FedProx`] pulls to; the first ones unless given.
    pub anchor: Option<&'a Weights>,
    /// Which tensors are the site's own, where these and the others take turns.
    pub personal: Option<&'a Personal>,
}

impl Carried<'_> {
    /// By tensor, in the order of their names: whether it stays as it is in this epoch, from 1.
    pub(super) fn held(&self, epoch: usize, weights: &Weights) -> Vec<bool> {
        let shapes = weights.shapes();
        let Some(personal) = self.personal.filter(|personal| personal.first_epochs > 0) else {
            return vec![false; shapes.len()];
        };
        let own_turn = epoch <= personal.first_epochs;
        shapes.iter().map(|(name, _)| personal.is_own(name) != own_turn).collect()
    }
}
