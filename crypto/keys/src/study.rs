//! Making a study: a draft of it, and what it would cost.

pub mod cost;
pub mod draft;
