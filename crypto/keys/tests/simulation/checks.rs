//! What must hold in every schedule, checked on what leaves the parties by one who sees it all and
//! knows every update: the naive oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::id::{ClosingId, HeaderId, ManifestId, ModelId, RoundNumber, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{
    Certificate, Closing, Endorsement, Header, Manifest, Opening, Receipt,
};

use crate::tally::Tally;
use crate::world::{Faults, Message};
use ringfence_testkit::Parties;

pub(crate) const EXACT: &str = "an opened sum is the oracle's sum over the certified set";
pub(crate) const OPENS: &str = "a certified set opens when lies can be corrected";
pub(crate) const DOUBLED: &str = "nothing counts twice";
pub(crate) const ONE_CERTIFIED: &str = "one certified closing per round number";
pub(crate) const CERTIFIED_FIRST: &str = "honest holders open what is certified only";
pub(crate) const ONE_OPENED: &str = "one opened set per base model";
pub(crate) const RECEIPTS: &str = "a receipt is in the set, unless excluded with cause or aborted";
pub(crate) const FAIR: &str = "honest holders complain about nobody honest";
pub(crate) const FORWARD: &str = "who takes a site later opens no envelope of a round that is over";
pub(crate) const RISING: &str = "round numbers rise, one header in each";
pub(crate) const REFUSALS: &str = "a refusal changes nothing";
pub(crate) const ENDS: &str = "rounds end while the aggregator is honest and enough holders answer";
pub(crate) const REPLAY: &str = "the durable events give the same round again";

/// A contribution as the oracle knows it.
struct Known {
    site: SiteId,
    base: Digest,
    values: [u32; 2],
    /// Contributions made before this one, by any site.
    before: usize,
}

pub(crate) struct Observer {
    parties: Arc<Parties>,
    faults: Faults,
    pub(crate) tally: Tally,
    /// The first rule that was broken, and how.
    pub(crate) broken: Option<(&'static str, String)>,
    made: BTreeMap<HeaderId, Known>,
    /// By site and round: the header that left, and when it was made.
    headers: BTreeMap<SiteId, BTreeMap<RoundNumber, (usize, HeaderId)>>,
    receipts: BTreeMap<ManifestId, BTreeMap<SiteId, HeaderId>>,
    complaints: BTreeMap<ManifestId, BTreeSet<(SiteId, SiteId)>>,
    closings: BTreeMap<ClosingId, (Signed<Closing>, Manifest)>,
    endorsements: BTreeMap<ClosingId, BTreeMap<SiteId, Signed<Endorsement>>>,
    certified: BTreeMap<RoundNumber, ClosingId>,
    opened: BTreeMap<Digest, ClosingId>,
    reached: BTreeSet<ClosingId>,
}

impl Observer {
    pub(crate) fn new(parties: Arc<Parties>, faults: Faults) -> Self {
        Self {
            parties,
            faults,
            tally: Tally::default(),
            broken: None,
            made: BTreeMap::new(),
            headers: BTreeMap::new(),
            receipts: BTreeMap::new(),
            complaints: BTreeMap::new(),
            closings: BTreeMap::new(),
            endorsements: BTreeMap::new(),
            certified: BTreeMap::new(),
            opened: BTreeMap::new(),
            reached: BTreeSet::new(),
        }
    }

    pub(crate) fn check(&mut self, rule: &'static str, holds: bool, how: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some((rule, how()));
        }
    }

    /// A site's update of a model: a power of `n + 1`, whose digit in a sum counts how often the
    /// site is in it, and 16 bits that differ from model to model.
    pub(crate) fn update(&self, site: usize, model: ModelId) -> [u32; 2] {
        let power = (self.parties.identities.len() as u32 + 1).pow(site as u32);
        let other = Digest::of(&[&model.0.0[..], &[site as u8]].concat()).0;
        [power, u32::from(u16::from_le_bytes([other[0], other[1]]))]
    }

    /// A site made a contribution; it may not have left yet.
    pub(crate) fn made(&mut self, header: &Signed<Header>, of: &Manifest, values: [u32; 2]) {
        let (site, base) = (header.statement.site.clone(), of.base_model);
        let before = self.made.len();
        self.made.insert(header.id(), Known { site, base, values, before });
    }

    pub(crate) fn closed(&mut self, closing: &Signed<Closing>, manifest: &Manifest) {
        self.closings.insert(closing.id(), (closing.clone(), manifest.clone()));
    }

    pub(crate) fn reached(&mut self, state: RoundState) {
        match state {
            RoundState::Aborted => self.tally.aborts += 1,
            RoundState::Certified => self.tally.sets += 1,
            RoundState::Opened => self.tally.opened += 1,
            _ => {}
        }
    }

    pub(crate) fn sent(&mut self, message: &Message) {
        match message {
            Message::Contribution(posted) => self.header(&posted.header),
            Message::Receipt(receipt) => {
                let Receipt { manifest, site, header, .. } = &receipt.statement;
                self.receipts.entry(*manifest).or_default().insert(site.clone(), *header);
            }
            Message::Review(review) => {
                let review = &review.statement;
                let corrupt = self.faults.corrupt.map(|corrupt| corrupt.site);
                let corrupt = corrupt.map(|site| self.parties.identities[site].site());
                let fair = corrupt == Some(&review.holder)
                    || review.complaints.iter().all(|dealer| corrupt == Some(dealer));
                let how = format!("{review:?}");
                self.check(FAIR, fair, || how);
                let pair = |dealer: &SiteId| (review.holder.clone(), dealer.clone());
                let complaints = review.complaints.iter().map(pair);
                self.complaints.entry(review.manifest).or_default().extend(complaints);
            }
            Message::Endorsement(endorsement) => self.endorsement(endorsement),
            Message::Opening(frame) => self.opening(&frame.statement.statement),
            _ => {}
        }
    }

    fn header(&mut self, header: &Signed<Header>) {
        let (site, round, digest) = (&header.statement.site, header.statement.round, header.id());
        let made = self.made[&digest].before;
        let left = self.headers.entry(site.clone()).or_default();
        // The same bytes may leave again at any time, or for the first time long after they were
        // made; what counts is when they were made.
        if left.get(&round) == Some(&(made, digest)) {
            return;
        }
        let rises =
            left.iter().all(|(other, (at, _))| other != &round && (*other < round) == (*at < made));
        let how = format!("{site}: {left:?}, then {digest} of round {round}, made as {made}");
        left.insert(round, (made, digest));
        self.tally.contributions += 1;
        self.check(RISING, rises, || how);
    }

    fn endorsement(&mut self, signed: &Signed<Endorsement>) {
        let Endorsement { round, closing: digest, holder, .. } = &signed.statement;
        let endorsements = self.endorsements.entry(*digest).or_default();
        if endorsements.insert(holder.clone(), signed.clone()).is_some() {
            return;
        }
        let (closing, manifest) = &self.closings[digest];
        let needed = usize::from(self.parties.study.threshold.endorsements);
        if endorsements.len() < needed || self.certified.get(round) == Some(digest) {
            return;
        }
        let endorsements = endorsements.values().cloned().collect();
        let certificate = Certificate { closing: closing.clone(), endorsements };
        if certificate.check(&self.parties.study, manifest).is_err() {
            return;
        }
        let in_order = round.before().is_none_or(|before| self.certified.contains_key(&before));
        let first = *self.certified.entry(*round).or_insert(*digest);
        self.check(ONE_CERTIFIED, first == *digest, || format!("{round}: {first} and {digest}"));
        self.check(RISING, in_order, || format!("round {round} is certified out of order"));
        self.certified_set(&certificate);
    }

    /// An honest aggregator keeps every receipt that it gave.
    fn certified_set(&mut self, certificate: &Certificate) {
        let closing = &certificate.closing.statement;
        self.tally.excluded += closing.excluded.len();
        let receipts = self.receipts.get(&closing.manifest).cloned().unwrap_or_default();
        if closing.is_abort() || self.faults.equivocates {
            return;
        }
        for (site, header) in receipts {
            let complaints = self.complaints.get(&closing.manifest).into_iter().flatten();
            let drawn = complaints.filter(|(_, dealer)| *dealer == site).count();
            let excluded = closing.excluded.iter().any(|entry| entry.header == header)
                && drawn > usize::from(self.parties.study.threshold.collusion);
            let kept = excluded != closing.includes(&site, &header);
            self.check(RECEIPTS, kept, || format!("{site} in {closing:?}, {drawn} complaints"));
        }
    }

    /// An honest holder endorses no closing without its own receipt.
    pub(crate) fn endorses(&mut self, closing: &Signed<Closing>, own: Option<&Signed<Receipt>>) {
        let closing = &closing.statement;
        let Some(Receipt { site, header, .. }) = own.map(|receipt| &receipt.statement) else {
            return;
        };
        let excluded = closing.excluded.iter().any(|entry| entry.header == *header);
        let kept = closing.is_abort() || excluded || closing.includes(site, header);
        self.check(RECEIPTS, kept, || format!("{site} endorses {closing:?}"));
    }

    fn opening(&mut self, opening: &Opening) {
        let (closing, manifest) = &self.closings[&opening.closing];
        let (round, base) = (manifest.round, manifest.base_model);
        let set = !closing.statement.is_abort();
        let certified = self.certified.get(&round) == Some(&opening.closing) && set;
        let after_abort = manifest.previous.is_some_and(|p| {
            self.closings.get(&p).is_some_and(|(closing, _)| closing.statement.is_abort())
        });
        let holder = &opening.holder;
        self.check(CERTIFIED_FIRST, certified, || format!("{holder} in round {round}"));
        if !self.opened.values().any(|opened| *opened == opening.closing) && after_abort {
            self.tally.retries += 1;
        }
        let first = *self.opened.entry(base).or_insert(opening.closing);
        let same = first == opening.closing;
        self.check(ONE_OPENED, same, || format!("{first} and {} on {base}", opening.closing));
    }

    /// A site opened a sum, or could not.
    pub(crate) fn recovered(
        &mut self,
        manifest: &Manifest,
        certificate: &Certificate,
        frames: &[Arc<OpeningFrame>],
        opened: &Result<Vec<u64>, String>,
    ) {
        let closing = &certificate.closing.statement;
        let liar = self.faults.corrupt.filter(|corrupt| corrupt.lies);
        let liar = liar.map(|corrupt| self.parties.identities[corrupt.site].site().clone());
        let lies = frames
            .iter()
            .filter(|frame| Some(&frame.statement.statement.holder) == liar.as_ref())
            .count();
        let needed = usize::from(self.parties.study.threshold.opening) + 2 * lies;
        let sums = match opened {
            Ok(sums) => sums,
            Err(error) => {
                self.tally.spoiled += 1;
                let excused = frames.len() < needed;
                self.check(OPENS, excused, || format!("{lies} lies, {error}"));
                return;
            }
        };
        self.tally.sums += 1;
        self.reached.insert(certificate.closing.id());
        let mut oracle = vec![0; sums.len()];
        for entry in &closing.included {
            let known = &self.made[&entry.header];
            assert_eq!((&known.site, known.base), (&entry.site, manifest.base_model));
            for (sum, value) in oracle.iter_mut().zip(known.values) {
                *sum += u64::from(value);
            }
        }
        let base = self.parties.identities.len() as u64 + 1;
        let mut powers = sums[0];
        while powers > 0 {
            let digit = powers % base;
            self.check(DOUBLED, digit <= 1, || format!("{sums:?}, oracle {oracle:?}"));
            powers /= base;
        }
        self.check(EXACT, *sums == oracle, || format!("{sums:?}, oracle {oracle:?}"));
    }
}
