//! Making a study: a draft of it, what it would cost, and what its rounds spend of its budget.

pub mod change;
pub mod cost;
pub mod draft;
mod exchange;
pub mod participation;
pub mod spending;
