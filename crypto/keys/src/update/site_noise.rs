//! Differential privacy for a whole site: integer noise before encryption.

pub mod discrete_gaussian;
