//! What must hold in every schedule, checked on what leaves the parties by one who sees it all and
//! knows every update: the naive oracle. What must hold of reviews and disputes is in `named.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{ClosingId, HeaderId, ManifestId, ModelId, RoundNumber, SiteId};
use ringfence_crypto::round::RoundState;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, Closing, Endorsement, Freeze, Header, Manifest, Opening, Receipt, Subject,
};

use crate::cipher::Posted;
use crate::decode::Counted;
use crate::faults::{Cheats, Faults};
use crate::named::Named;
use crate::tally::Tally;
use crate::toy;
use crate::world::Message;
use ringfence_testkit::Parties;

pub(crate) const EXACT: &str = "an opened sum is the oracle's sum over the set without culprits";
pub(crate) const OPENS: &str = "a certified set opens when lies can be corrected";
pub(crate) const DOUBLED: &str = "nothing counts twice";
pub(crate) const SUMS: &str = "an honest aggregator signs the sum of the bodies";
pub(crate) const ONE_CERTIFIED: &str = "one certified closing per round number";
pub(crate) const CERTIFIED_FIRST: &str = "honest holders open what is certified only";
pub(crate) const ONE_OPENED: &str = "one opened set per base model";
pub(crate) const RECEIPTS: &str = "a receipt is in the freeze, and no set leaves it out unseen";
pub(crate) const FAIR: &str = "honest holders complain about nobody honest";
pub(crate) const FORWARD: &str = "who takes a site later opens no envelope of a round that is over";
pub(crate) const RISING: &str = "round numbers rise, one header in each";
pub(crate) const REFUSALS: &str = "a refusal changes nothing";
pub(crate) const ENDS: &str = "rounds end while the aggregator is honest and enough holders answer";
pub(crate) const REPLAY: &str = "the durable events give the same round again";

/// A contribution as the oracle knows it.
pub(crate) struct Known {
    pub(crate) site: SiteId,
    base: Digest,
    pub(crate) plain: toy::Pair,
    pub(crate) odd: bool,
    /// Contributions made before this one, by any site.
    before: usize,
}

pub(crate) struct Observer {
    pub(crate) parties: Arc<Parties>,
    pub(crate) faults: Faults,
    pub(crate) corrupt: BTreeSet<SiteId>,
    pub(crate) tally: Tally,
    /// The first rule that was broken, and how.
    pub(crate) broken: Option<(&'static str, String)>,
    pub(crate) made: BTreeMap<HeaderId, Known>,
    /// By site and round: the header that left, and when it was made.
    headers: BTreeMap<SiteId, BTreeMap<RoundNumber, (usize, HeaderId)>>,
    receipts: BTreeMap<ManifestId, BTreeMap<SiteId, HeaderId>>,
    pub(crate) closings: BTreeMap<ClosingId, (Signed<Closing>, Manifest)>,
    endorsements: BTreeMap<ClosingId, BTreeMap<SiteId, Signed<Endorsement>>>,
    certified: BTreeMap<RoundNumber, ClosingId>,
    opened: BTreeMap<Digest, ClosingId>,
    /// What is known of disputes.
    pub(crate) named: Named,
}

impl Observer {
    pub(crate) fn new(parties: Arc<Parties>, faults: Faults) -> Self {
        let corrupt = faults.corrupt_sites(&parties.study);
        Self {
            parties,
            faults,
            corrupt,
            tally: Tally::default(),
            broken: None,
            made: BTreeMap::new(),
            headers: BTreeMap::new(),
            receipts: BTreeMap::new(),
            closings: BTreeMap::new(),
            endorsements: BTreeMap::new(),
            certified: BTreeMap::new(),
            opened: BTreeMap::new(),
            named: Named::default(),
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
    pub(crate) fn made(&mut self, posted: &Posted, of: &Manifest) {
        let (site, base) = (posted.site().clone(), of.base_model);
        let (plain, odd) = (posted.plain, posted.odd);
        let before = self.made.len();
        self.made.insert(posted.header.id(), Known { site, base, plain, odd, before });
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
            Message::Review(review) => self.review(&review.statement),
            Message::Dispute(endorsement) => self.dispute(endorsement),
            Message::Verdict(endorsement) => self.verdict(endorsement),
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
        self.reviewed_late(closing);
        let receipts = self.receipts.get(&closing.manifest).cloned().unwrap_or_default();
        if closing.is_abort() || matches!(self.faults.cheats, Cheats::Closings | Cheats::Freezes) {
            return;
        }
        for (site, header) in receipts {
            let excluded = closing.excluded.iter().any(|entry| entry.header == header);
            let kept = excluded != closing.includes(&site, &header);
            self.check(RECEIPTS, kept, || format!("{site} in {closing:?}"));
        }
    }

    /// An honest holder reviews no freeze without its own receipt, and endorses no closing of it.
    pub(crate) fn freezes(&mut self, freeze: &Freeze, own: Option<&Signed<Receipt>>) {
        self.named.frozen.insert(freeze.id(), freeze.dealers());
        let Some(Receipt { site, header, .. }) = own.map(|receipt| &receipt.statement) else {
            return;
        };
        let listed = freeze.contributions.iter().any(|entry| entry.header == *header);
        let kept = listed || self.corrupt.contains(site);
        self.check(RECEIPTS, kept, || format!("{site} takes part under {freeze:?}"));
    }

    fn opening(&mut self, opening: &Opening) {
        if self.corrupt.contains(&opening.holder) {
            return;
        }
        if opening.subject != Subject::Sum {
            return self.opened_in_dispute(opening);
        }
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

    /// A site added the bodies up itself.
    pub(crate) fn counted(&mut self, counted: &Counted) {
        self.tally.recounts += 1;
        self.check(SUMS, counted.named, || "it signed another sum".into());
    }

    /// No sum decoded with the openings of these holders, by window offset, or only one that is
    /// determined.
    pub(crate) fn undecoded(
        &mut self,
        manifest: &Manifest,
        counting: &[usize],
        free: usize,
        determined: bool,
    ) {
        self.tally.undecoded += 1;
        let honest = counting.iter().filter(|at| !self.corrupt.contains(&manifest.holders[**at]));
        let enough = usize::from(self.parties.study.threshold.opening) + free;
        let excused = determined || honest.count() < enough;
        self.check(OPENS, excused, || format!("{counting:?} have opened, c' = {free}"));
    }

    /// A site opened a sum over a set less these sites.
    pub(crate) fn recovered(
        &mut self,
        manifest: &Manifest,
        closing: &Closing,
        removed: &BTreeSet<SiteId>,
        sums: &[u64],
    ) {
        self.tally.sums += 1;
        self.tally.removals += removed.len();
        let mut plain = [0; toy::WORDS];
        let mut spoiled = false;
        for entry in closing.included.iter().filter(|entry| !removed.contains(&entry.site)) {
            let known = &self.made[&entry.header];
            assert_eq!((&known.site, known.base), (&entry.site, manifest.base_model));
            spoiled |= known.plain.iter().any(|word| !toy::in_bounds(*word, 1));
            plain = toy::add(plain, known.plain);
        }
        let oracle = plain.map(toy::value);
        let base = self.parties.identities.len() as u64 + 1;
        let mut powers = sums[0];
        while powers > 0 && !spoiled {
            let digit = powers % base;
            self.check(DOUBLED, digit <= 1, || format!("{sums:?}, oracle {oracle:?}"));
            powers /= base;
        }
        self.check(EXACT, sums == oracle, || format!("{sums:?}, oracle {oracle:?}"));
    }
}
