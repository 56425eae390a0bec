//! Where a sum breaks its bounds first: the position that a dispute is about.

use std::io::Read;

use rayon::prelude::*;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{block_bytes, unpack};

use super::coefficient::{Position, SlotLimits, split};
use super::decode::{Decoder, Scratch, SumContext, batch_blocks};
use super::error::OpenError;

/// The first position of a sum, by block and then coefficient, at which the noise is beyond the
/// sum's bound or a slot is none that the sites can sum to: the count must be the number of sites,
/// padding zero. None if there is no such position. The check words are not looked at.
///
/// [`OpenedMean::open`](super::OpenedMean::open) refuses a sum for noise, slots or count exactly if
/// there is one. It is the same at every site that has the same key sum and the same sum.
///
/// # Errors
/// [`OpenError::Io`] when the sum cannot be read, [`OpenError::Packing`] for a model that is too
/// large.
pub fn first_failure(
    context: SumContext<'_>,
    sum: &mut impl Read,
) -> Result<Option<Position>, OpenError> {
    let SumContext { study, manifest, summands, keys, .. } = context;
    let decoder = Decoder::new(study, summands, manifest);
    let limits = SlotLimits::new(study, summands);
    let (blocks, wire_bits) = (study.blocks()?, study.packing.wire_bits);
    let (batch, bytes) = (batch_blocks(blocks), block_bytes(wire_bits));
    let mut buffer = vec![0; batch * bytes];
    for first in (0..blocks).step_by(batch) {
        let buffer = &mut buffer[..batch.min(blocks - first) * bytes];
        sum.read_exact(buffer)?;
        let failures: Vec<Option<Position>> = buffer
            .par_chunks(bytes)
            .enumerate()
            .map_init(Scratch::boxed, |scratch, (index, bytes)| {
                let block = first + index;
                unpack(bytes, wire_bits, scratch.coefficients.as_mut_slice());
                decoder.decrypt(block, keys.words(), scratch);
                first_in_block(block, &scratch.coefficients, decoder.bound(), limits)
            })
            .collect();
        // In the order of the blocks, whichever thread was faster.
        if let Some(failure) = failures.into_iter().flatten().next() {
            return Ok(Some(failure));
        }
    }
    Ok(None)
}

/// The first failing coefficient of a block from which the masks are taken off.
fn first_in_block(
    block: usize,
    coefficients: &[u64; RING_DEGREE],
    bound: u64,
    limits: SlotLimits<'_>,
) -> Option<Position> {
    let positions = (0..).map(|coefficient| Position { block: block as u64, coefficient });
    let failing = |(position, coefficient): &(Position, &u64)| {
        let (message, noise) = split(**coefficient, limits.delta_bits());
        noise.unsigned_abs() > bound || limits.check(*position, message).is_err()
    };
    positions.zip(coefficients).find(failing).map(|(position, _)| position)
}

#[cfg(test)]
mod tests;
