//! Whole rounds through the shipped machines, without network or disk, and what must go wrong.

mod edges;
mod fixture;
mod log;
mod refusals;
mod refused_openings;
mod tfhe_oracle;
mod vectors;
mod whole_round;
