//! Which sites dealt their key shares soundly: what everybody concludes from the holders' masked
//! reviews, and who is trusted from round to round.
//!
//! `docs/disputes.md`, section 2, has the rules and why they hold.

mod answer;
mod judgement;
mod trust;

pub use answer::Answer;
pub use judgement::{Exclusion, Judge, Judgement, Reviewed};
pub use trust::{Broken, Pair, Trust};
