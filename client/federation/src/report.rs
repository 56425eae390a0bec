//! What a round showed: who took part, what it cost, and whether the opened sum is the plain one.

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::Study;
use ringfence_keys::open::NoiseReport;
use ringfence_keys::update::precision::Precision;
use ringfence_site::{Done, Findings};
use serde::Serialize;

/// One round, as it is printed and written.
#[derive(Clone, Debug, Serialize)]
pub struct RoundReport {
    /// The round.
    pub round: RoundNumber,
    /// The site that opened it.
    pub initiator: SiteId,
    /// Its key holders in window order.
    pub holders: Vec<SiteId>,
    /// Those of them that opened their share.
    pub opened_by: Vec<SiteId>,
    /// How many sites contributed.
    pub contributions: usize,
    /// Values in which the opened sum or its mean differs from the plain one, over all recipients.
    pub mismatches: usize,
    /// Values of the model.
    pub parameters: usize,
    /// A bound on the probability that honest noise spoils such a sum; 0 where it cannot.
    pub noise_failure_probability: f64,
    /// Largest noise of any coefficient.
    pub noise_largest: u64,
    /// The noise that would spoil the sum.
    pub noise_bound: u64,
    /// How precise the mean is, over the sites in it; none before one is opened.
    pub precision: Option<Precision>,
    /// Bytes of one contribution's body and envelopes, the largest.
    pub upload_bytes: u64,
    /// Largest time of a site from joining to its receipt: encrypt, make durable, send.
    pub contribute_seconds: f64,
    /// From the manifest to the last acknowledgement.
    pub seconds: f64,
    /// Openings that could not be used, each with the reason.
    pub unusable_openings: Vec<(SiteId, String)>,
    /// What was played, by site: these faults are simulated.
    pub played: Vec<(SiteId, String)>,
    /// What an honest site found out about others.
    pub findings: Findings,
    /// Trust after the round.
    pub trust: Trust,
    /// Bodies of which a bit was flipped, and whether their sites have mended them.
    pub flipped: Vec<(SiteId, bool)>,
}

impl RoundReport {
    pub(crate) fn new(round: RoundNumber, initiator: SiteId, study: &Study) -> Self {
        Self {
            round,
            initiator,
            holders: study.holders(round).map(|holder| holder.id.clone()).collect(),
            opened_by: Vec::new(),
            contributions: 0,
            mismatches: 0,
            parameters: 0,
            noise_failure_probability: 0.0,
            noise_largest: 0,
            noise_bound: 0,
            precision: None,
            upload_bytes: 0,
            contribute_seconds: 0.0,
            seconds: 0.0,
            unusable_openings: Vec::new(),
            played: Vec::new(),
            findings: Findings::default(),
            trust: Trust::default(),
            flipped: Vec::new(),
        }
    }

    /// Notes what one site sent and how long that took.
    pub(crate) fn contributed(&mut self, bytes: u64, seconds: f64) {
        self.contributions += 1;
        self.upload_bytes = self.upload_bytes.max(bytes);
        self.contribute_seconds = self.contribute_seconds.max(seconds);
    }

    /// Compares one recipient's opened sums with the plain ones and its mean with theirs. The mean
    /// is opened by itself, as every site does.
    pub(crate) fn compare(&mut self, sums: Pair<'_, u64>, means: Pair<'_, f32>) {
        self.mismatches += mismatches(sums, means);
        self.parameters = sums.opened.len();
    }

    /// Notes how one recipient's opening went and whom it trusts; its unusable openings unless they
    /// are known.
    pub(crate) fn found(&mut self, done: &Done<'_>, unusable_known: bool) {
        let NoiseReport { failure_probability, largest, bound, .. } = done.opened.noise;
        self.noise_failure_probability = failure_probability;
        self.noise_largest = largest;
        self.noise_bound = bound;
        self.precision = Some(done.precision());
        if !unusable_known {
            self.unusable_openings = done.unusable.clone();
        }
        self.trust = done.trust.clone();
    }
}

/// Numbers that were opened, and what they must be.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a, T> {
    pub(crate) opened: &'a [T],
    pub(crate) plain: &'a [T],
}

impl<T> Pair<'_, T> {
    fn longest(&self) -> usize {
        self.opened.len().max(self.plain.len())
    }
}

/// The places at which sum or mean is not what it must be, to the bit; a place that one side lacks
/// is one.
fn mismatches(sums: Pair<'_, u64>, means: Pair<'_, f32>) -> usize {
    let same_sum = |at: usize| sums.opened.get(at) == sums.plain.get(at);
    let bits = |mean: &[f32], at: usize| mean.get(at).map(|value| value.to_bits());
    let same_mean = |at: usize| bits(means.opened, at) == bits(means.plain, at);
    let longest = sums.longest().max(means.longest());
    (0..longest).filter(|at| !same_sum(*at) || !same_mean(*at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_differs_counts_once() {
        let found = |sums: [&[u64]; 2], means: [&[f32]; 2]| {
            let ([opened, plain], [mean, expected]) = (sums, means);
            mismatches(Pair { opened, plain }, Pair { opened: mean, plain: expected })
        };
        assert_eq!(found([&[1, 2], &[1, 2]], [&[0.5, f32::NAN], &[0.5, f32::NAN]]), 0);
        assert_eq!(found([&[1, 2], &[1, 3]], [&[0.5, 1.0], &[0.5, 1.5]]), 1);
        assert_eq!(found([&[1, 2], &[1, 2]], [&[0.0, 1.0], &[-0.0, 1.0]]), 1);
        assert_eq!(found([&[1, 2], &[1]], [&[], &[]]), 1);
        assert_eq!(found([&[], &[]], [&[], &[0.5, 0.5]]), 2);
    }
}
