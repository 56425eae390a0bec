//! Tests that look at what is private. Those that drive rounds from outside are in `tests/`.

mod edges;
mod vectors;
