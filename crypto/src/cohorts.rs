//! What the sums of several rounds together could tell of few sites: a meter over the opened sets.
//!
//! It assumes the worst: that a site's update is the same in every round. Then whoever sees the sums
//! may add and subtract them, and what matters is which sites such a combination is over. Rounds are
//! the rows of a 0/1 matrix, sites its columns; a combination is a vector of its row space. Weights
//! change nothing: they are pinned for the study and public, so a weighted update is a site's value
//! as well as a plain one is, and what a mean is divided by is known.
//!
//! ```text
//! bits     sets of sites, and how two of them differ
//! echelon  rank and single sites: exact elimination modulo a prime
//! fewest   the fewest sites of any combination
//! meter    what is counted, round by round
//! words    the report in sentences
//! ```
//!
//! `docs/cohorts.md` explains the numbers and how they can be wrong.

mod bits;
mod echelon;
mod fewest;
mod meter;
mod words;

pub use echelon::MOST_CELLS;
pub use meter::{CohortReport, Difference, Fewest, MOST_SETS, OpenedSet, measure};
