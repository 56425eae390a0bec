//! What happened, to see that the schedules are not vacuous.

/// Counts over one schedule or many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Studies whose rounds had to end all the same.
    pub(crate) tolerable: usize,
    pub(crate) contributions: usize,
    pub(crate) sets: usize,
    pub(crate) aborts: usize,
    /// Opened after a certified abort of a round that one of its sites had contributed to.
    pub(crate) retries: usize,
    pub(crate) opened: usize,
    /// Sums that sites opened.
    pub(crate) sums: usize,
    /// Times that a site could not open a sum yet.
    pub(crate) undecoded: usize,
    /// Bodies that break the format.
    pub(crate) spoiled: usize,
    /// Times that a site added up the bodies itself.
    pub(crate) recounts: usize,
    /// Verdicts of disputes that sites took for certified.
    pub(crate) verdicts: usize,
    /// Openings of functionals and of keys.
    pub(crate) functionals: usize,
    pub(crate) keys: usize,
    /// Culprits that sites took out of sums.
    pub(crate) removals: usize,
    /// Barred sites and pairs in the trust that sites started rounds with.
    pub(crate) barred: usize,
    pub(crate) pairs: usize,
    /// Holders found to lie in an opening.
    pub(crate) liars: usize,
    pub(crate) excluded: usize,
    pub(crate) equivocations: usize,
    pub(crate) refusals: usize,
    pub(crate) site_crashes: usize,
    pub(crate) aggregator_crashes: usize,
    pub(crate) restores: usize,
    /// Restored sites that learnt from the others how far they abstain.
    pub(crate) recalled: usize,
    /// Envelopes sealed to the key of a single round.
    pub(crate) round_keys: usize,
    /// Attempts to open envelopes of rounds that are over with what is left on a site's disk.
    pub(crate) closed: usize,
}

impl Tally {
    /// What every simulation must have seen.
    pub(crate) fn happened(&self) -> [(&'static str, usize); 24] {
        [
            ("a study whose rounds must all end", self.tolerable),
            ("a certified set", self.sets),
            ("a certified abort", self.aborts),
            ("a retry after an abort", self.retries),
            ("an opened sum", self.sums),
            ("a sum that did not open yet", self.undecoded),
            ("a spoiled body", self.spoiled),
            ("bodies added up", self.recounts),
            ("a certified verdict", self.verdicts),
            ("functionals opened", self.functionals),
            ("keys opened", self.keys),
            ("a culprit taken out of a sum", self.removals),
            ("a barred site", self.barred),
            ("a pair", self.pairs),
            ("a lying holder found", self.liars),
            ("a dealer left out with cause", self.excluded),
            ("two closings shown", self.equivocations),
            ("a refusal", self.refusals),
            ("a site's crash", self.site_crashes),
            ("the aggregator's crash", self.aggregator_crashes),
            ("a restore from a backup", self.restores),
            ("answers that end an abstention", self.recalled),
            ("an envelope under a round key", self.round_keys),
            ("an attempt on a round that is over", self.closed),
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.tolerable += other.tolerable;
        self.contributions += other.contributions;
        self.sets += other.sets;
        self.aborts += other.aborts;
        self.retries += other.retries;
        self.opened += other.opened;
        self.sums += other.sums;
        self.undecoded += other.undecoded;
        self.spoiled += other.spoiled;
        self.recounts += other.recounts;
        self.verdicts += other.verdicts;
        self.functionals += other.functionals;
        self.keys += other.keys;
        self.removals += other.removals;
        self.barred += other.barred;
        self.pairs += other.pairs;
        self.liars += other.liars;
        self.excluded += other.excluded;
        self.equivocations += other.equivocations;
        self.refusals += other.refusals;
        self.site_crashes += other.site_crashes;
        self.aggregator_crashes += other.aggregator_crashes;
        self.restores += other.restores;
        self.recalled += other.recalled;
        self.round_keys += other.round_keys;
        self.closed += other.closed;
    }
}
