//! What clipping took from an update.

use std::fmt;

use ringfence_keys::update::clipped::Clipped;
use ringfence_keys::update::site_noise::Fate;

/// What clipping took from an update, for the site to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Clipping {
    /// Single values were clipped.
    Values(Clipped),
    /// The update was scaled down as a whole, to the L2 norm of the study's privacy policy.
    Whole(Fate),
}

impl Clipping {
    pub(super) fn of_whole(fate: Fate) -> Option<Self> {
        (fate.factor < 1.0).then_some(Self::Whole(fate))
    }
}

impl fmt::Display for Clipping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Values(clipped) => clipped.fmt(f),
            Self::Whole(Fate { norm, factor }) if *factor == 0.0 => write!(
                f,
                "the update's L2 norm is {norm:.4} and could not be brought within the study's clip: nothing but noise was sent in its place"
            ),
            Self::Whole(Fate { norm, factor }) => write!(
                f,
                "the update's L2 norm is {norm:.4}: for the study's privacy it was scaled by {factor:.4} as a whole"
            ),
        }
    }
}
