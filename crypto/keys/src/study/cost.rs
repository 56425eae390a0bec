//! What a study would cost and tolerate, computed from the same functions that make and check it.

use ringfence_crypto::api::{opening_frame_bytes, opening_part_bytes, share_words};
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::packing::{Packing, PackingError};
use ringfence_crypto::ring::params::{
    MAX_SITES, RING_DEGREE, SECURITY_CLASSICAL, SECURITY_QUANTUM,
};
use ringfence_crypto::statement::{Reach, Weighting};
use ringfence_crypto::threshold::{Threshold, ThresholdError};
use serde::Serialize;

use crate::share::dealt::dealt_bytes;
use crate::share::seal::SEAL_OVERHEAD;
use crate::study::exchange;

/// What the author of a study knows before making it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostRequest {
    /// Values of the model.
    pub parameters: usize,
    /// `n`: sites of the roster.
    pub sites: usize,
    /// `b`: bits of a quantized value.
    pub value_bits: u8,
    /// `m`: key holders, or none for all sites up to 16.
    pub holders: Option<u16>,
    /// `c`: sites that may collude, or none for a quarter of the holders.
    pub collusion: Option<u16>,
    /// `l`: key words a sharing polynomial, or none for as many as cost no further opening.
    pub packing: Option<u16>,
    /// Sites, key holders among them, that may be gone in a round that must succeed all the same.
    pub drop_outs: u16,
}

/// A study as it would be: every number of it follows from the request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyCost {
    /// Values of the model.
    pub parameters: usize,
    /// Sites of the roster.
    pub sites: usize,
    /// Bits, slots, scale and wire words.
    pub packing: Packing,
    /// `(m, c, l, t, Q)`.
    pub threshold: Threshold,
    /// Fewest contributions a sum is opened for.
    pub min_sites: u16,
    /// How far one honest site moves the mean, where all count alike.
    pub reach: Reach,
    /// Sites that may be gone.
    pub drop_outs: u16,
    /// Blocks of a body.
    pub blocks: usize,
    /// Bytes of a body.
    pub body_bytes: u64,
    /// Bytes of a body for each value.
    pub body_bytes_per_parameter: f64,
    /// Bytes of the envelopes of one contribution.
    pub envelope_bytes: u64,
    /// Bytes of a key holder's opening, as it posts it.
    pub opening_bytes: u64,
    /// Bytes that a site fetches of one key holder's opening.
    pub opening_part_bytes: u64,
    /// What a site that is also a key holder sends besides in a round: statements, and the heads of
    /// requests. Round keys, once in sixteen rounds, are not among them.
    pub messages_up_bytes: u64,
    /// What it fetches besides: statements, proofs, statuses, and the heads of answers.
    pub messages_down_bytes: u64,
    /// What a site that is also a key holder sends in a round.
    pub upload_bytes: u64,
    /// What it fetches: the sum, as many openings as are needed, as key holder the envelopes dealt to
    /// it (in the mean of all holders, whose places change from round to round), and messages.
    pub download_bytes: u64,
    /// log2 of a bound on the probability that any digit of the opened model is wrong; none when
    /// the noise cannot reach one, whatever happens.
    pub failure_log2: Option<f64>,
    /// Security of a single update in bits, core-SVP, classical.
    pub security_classical: f64,
    /// Security of a single update in bits, core-SVP, quantum.
    pub security_quantum: f64,
}

/// A study that cannot work, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CostError {
    /// Too few or too many sites.
    #[error(
        "expected 3 to {MAX_SITES} sites, got {0}: of two sites each could subtract its own update from the sum"
    )]
    Sites(usize),
    /// No model.
    #[error("expected a model of at least one parameter")]
    NoParameters,
    /// Thresholds that do not work.
    #[error(transparent)]
    Threshold(#[from] ThresholdError),
    /// Sums would overflow, or the model is too large.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// Too few sites would be left.
    #[error(
        "with {drop_outs} of {sites} sites gone, {left} contributions are left, and a sum is opened for at least {floor} only (c + 2 for c = {collusion}, and 3): two honest sites must be in it; lower --drop-outs or --collusion, or add sites"
    )]
    TooFewLeft {
        /// Sites that may be gone.
        drop_outs: u16,
        /// Roster size.
        sites: usize,
        /// Contributions left.
        left: usize,
        /// `max(3, c + 2)`.
        floor: u16,
        /// `c`.
        collusion: u16,
    },
    /// Too few key holders would be left.
    #[error(
        "with {drop_outs} key holders gone, {left} of {holders} are left, and {needed} must answer (Q = {endorsements} endorsements, t + c = {opening} reviews); at most {tolerated} may be silent: lower --drop-outs or --collusion, or take more --holders"
    )]
    TooFewHolders {
        /// Sites that may be gone.
        drop_outs: u16,
        /// Key holders left.
        left: u16,
        /// `m`.
        holders: u16,
        /// `max(Q, t + c)`.
        needed: u16,
        /// `Q`.
        endorsements: u16,
        /// `t + c`: reviews that a closing needs.
        opening: u16,
        /// `m - max(Q, t + c)`.
        tolerated: u16,
    },
}

impl StudyCost {
    /// Works a request out.
    ///
    /// # Errors
    /// [`CostError`] with the reason why such a study cannot work.
    pub fn derive(request: CostRequest) -> Result<Self, CostError> {
        let CostRequest { parameters, sites, value_bits, drop_outs, .. } = request;
        if !(3..=MAX_SITES).contains(&sites) {
            return Err(CostError::Sites(sites));
        }
        if parameters == 0 {
            return Err(CostError::NoParameters);
        }
        let CostRequest { holders, collusion, packing, .. } = request;
        let threshold = Threshold::choose(sites, holders, collusion, packing)?;
        let Threshold { holders, collusion, .. } = threshold;
        let floor = threshold.min_sites_floor();
        let left = sites.saturating_sub(drop_outs.into());
        if left < usize::from(floor) {
            return Err(CostError::TooFewLeft { drop_outs, sites, left, floor, collusion });
        }
        let tolerated = threshold.silent_tolerated();
        if drop_outs > tolerated {
            let Threshold { endorsements, opening, collusion, .. } = threshold;
            let left = holders.saturating_sub(drop_outs);
            let opening = opening.saturating_add(collusion);
            let needed = endorsements.max(opening);
            return Err(CostError::TooFewHolders {
                drop_outs,
                left,
                holders,
                needed,
                endorsements,
                opening,
                tolerated,
            });
        }
        let two_thirds = (2 * sites).div_ceil(3);
        // Both are at most MAX_SITES.
        let most = left.min(threshold.min_sites_ceiling(sites));
        let min_sites = floor.max(two_thirds.min(most) as u16);
        let packing = Packing::derive(value_bits, 0, sites, collusion)?;
        let body_bytes = packing.body_bytes(parameters)?;
        let envelope = |k| (dealt_bytes(&threshold, k) + SEAL_OVERHEAD) as u64;
        let envelope_bytes = (0..usize::from(holders)).map(envelope).sum();
        let words = share_words(&threshold);
        let opening_bytes = opening_frame_bytes(words, sites) as u64;
        let opening_part_bytes = opening_part_bytes(words, sites) as u64;
        // Some holders are dealt seeds, the others words: who is which changes from round to round.
        let dealt = envelope_bytes * sites as u64 / u64::from(holders);
        let messages = exchange::of_round(sites, &threshold);
        let half = (1u64 << (packing.delta_bits - 1)) as f64;
        let blocks = packing.blocks(parameters)?;
        let noise = NoiseModel::new(sites, collusion, packing.wire_bits);
        Ok(Self {
            parameters,
            sites,
            packing,
            threshold,
            min_sites,
            reach: Reach::of(&Weighting::Equal, sites, &threshold, min_sites),
            drop_outs,
            blocks,
            body_bytes,
            body_bytes_per_parameter: body_bytes as f64 / parameters as f64,
            envelope_bytes,
            opening_bytes,
            opening_part_bytes,
            messages_up_bytes: messages.sent,
            messages_down_bytes: messages.fetched,
            upload_bytes: body_bytes + envelope_bytes + opening_bytes + messages.sent,
            download_bytes: body_bytes
                + opening_part_bytes * u64::from(threshold.opening)
                + dealt
                + messages.fetched,
            failure_log2: Some(noise.failure_log2(half, (blocks * RING_DEGREE) as f64))
                .filter(|log2| log2.is_finite()),
            security_classical: SECURITY_CLASSICAL,
            security_quantum: SECURITY_QUANTUM,
        })
    }

    /// Seconds that a site's traffic of one round takes on a link of so many Mbit/s each way, by
    /// computation: bytes over the link's rate, no latency, nothing at the same time.
    pub fn link_seconds(&self, megabits: f64) -> f64 {
        (self.upload_bytes + self.download_bytes) as f64 * 8.0 / (megabits * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sites: usize, value_bits: u8) -> CostRequest {
        CostRequest {
            parameters: 1_000_000,
            sites,
            value_bits,
            holders: None,
            collusion: None,
            packing: None,
            drop_outs: 0,
        }
    }

    #[test]
    fn bytes_stay_under_the_targets() {
        // Whole blocks cost up to one block more than the exact w / 8 S.
        for (sites, bits, limit) in
            [(10, 16, 2.78), (100, 16, 3.29), (500, 16, 3.67), (10, 8, 1.66)]
        {
            let cost = StudyCost::derive(request(sites, bits)).unwrap();
            assert!(cost.body_bytes_per_parameter <= limit, "{cost:?}");
            assert!(cost.failure_log2.is_none_or(|log2| log2 < -64.0), "{cost:?}");
            assert_eq!(cost.failure_log2.is_none(), sites == 10, "{cost:?}");
        }
        let wide = CostRequest {
            holders: Some(32),
            collusion: Some(8),
            packing: Some(8),
            ..request(100, 16)
        };
        let cost = StudyCost::derive(wide).unwrap();
        assert!(cost.envelope_bytes < 150_000, "{cost:?}");
        assert_eq!((cost.threshold.opening, cost.threshold.endorsements), (16, 21));
    }

    /// Of each opening a site fetches its own part, and not the keys that are sealed to the others:
    /// 171 kB of 19 MB.
    #[test]
    fn a_site_fetches_its_own_part_of_the_openings() {
        let cost = StudyCost::derive(request(1000, 16)).unwrap();
        let holders = u64::from(cost.threshold.holders);
        assert_eq!((holders, cost.threshold.packing), (16, 4));
        assert!((168_000..173_000).contains(&(holders * cost.opening_part_bytes)), "{cost:?}");
        assert!(holders * cost.opening_bytes > 18_900_000, "{cost:?}");
        let others = cost.download_bytes - cost.body_bytes - cost.messages_down_bytes;
        let others = others - u64::from(cost.threshold.opening) * cost.opening_part_bytes;
        assert_eq!(
            others,
            cost.envelope_bytes * 1000 / 16,
            "the rest are envelopes of 1000 dealers"
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let refused = |request, text: &str| {
            let error = StudyCost::derive(request).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        };
        refused(request(2, 16), "expected 3 to 10000 sites, got 2");
        refused(request(10, 30), "2 to 24 bits");
        refused(CostRequest { parameters: 0, ..request(5, 16) }, "at least one parameter");
        refused(CostRequest { parameters: 1 << 40, ..request(5, 16) }, "a key encrypts at most");
        refused(CostRequest { collusion: Some(0), ..request(5, 16) }, "collusion bound c");
        refused(
            CostRequest { collusion: Some(4), ..request(5, 16) },
            "m >= 2c + l = 9 key holders",
        );
        refused(CostRequest { packing: Some(5), ..request(5, 16) }, "m = 5; lower c or l");
        refused(CostRequest { drop_outs: 1, ..request(3, 16) }, "2 contributions are left");
        refused(CostRequest { drop_outs: 2, ..request(5, 16) }, "at most 1 may be silent");
        assert!(StudyCost::derive(CostRequest { drop_outs: 1, ..request(5, 16) }).is_ok());
    }
}
