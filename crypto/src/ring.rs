//! The ring and what lies in it: parameters, arithmetic, how values lie in coefficients and
//! coefficients in words, and the noise of a sum.

pub mod ciphertext;
pub mod codeword;
pub mod field;
pub mod noise_bound;
pub mod packing;
pub mod params;
mod vectorized;
pub mod words;
pub mod xof;
