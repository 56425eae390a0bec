//! tfhe beside our cipher: [`glwe`] turns bodies, sums and opened keys into tfhe's GLWE types under
//! the same modulus and back, so that TFHE computation can go on from an encrypted sum, and so that
//! tfhe's own decryption is the oracle of our tests. Nothing that is shipped depends on this crate.
#![forbid(unsafe_code)]

pub mod glwe;
mod transform;
