//! A study with real keys, and a round driven through the aggregator's machine.

use std::collections::BTreeMap;
use std::ops::Deref;

use rand::Rng;
use rand::rngs::ChaCha20Rng;
use ringfence_crypto::Digest;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::round::{Event, Round, RoundError, Verdict};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::{Signed, Statement, sign};
use ringfence_crypto::statement::{Certificate, Closing, Header, HolderKeys, Manifest, Receipt, RoundKeys};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::api::OpeningFrame;

use crate::encrypt::check::CheckKey;
use crate::encrypt::contribution::{Contribution, ContributionContext};
use crate::duties::holder::{self, Decision, Holder, open_share_sum};
use crate::share::envelope::open_envelope;
use crate::identity::Identity;
use crate::duties::logged::LogProofs;
use crate::open::{OpenError, OpenedMean, OpenedSum, OpeningContext, unseal};
use crate::update::quantize::{self, QuantizedUpdate};
use crate::share::reconstruct::KeySum;
use crate::round_secret::{self, RoundSecret};
use crate::testing::rng;

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, reason = "shared with the test programs, which use other parts of it")]
mod common;

pub(super) use common::START;
use common::{Parties, proofs, view};

pub(super) struct Fixture {
    pub(super) parties: Parties,
    pub(super) rng: ChaCha20Rng,
    /// Every second holder seals under round keys: it has published them.
    pub(super) round_keys: Vec<Signed<RoundKeys>>,
    pub(super) secrets: BTreeMap<SiteId, RoundSecret>,
}

impl Deref for Fixture {
    type Target = Parties;

    fn deref(&self) -> &Parties {
        &self.parties
    }
}

/// One site's contribution and what it holds in the clear.
pub(super) struct Made {
    pub(super) values: Vec<u32>,
    pub(super) contribution: Contribution,
    pub(super) body: Vec<u8>,
}

impl Fixture {
    pub(super) fn new(sites: usize, window: Option<(u16, u16, u16)>, values: u32) -> Self {
        let mut rng = rng(sites as u64 * 1000 + u64::from(values));
        let threshold = match window {
            Some((m, c, l)) => Threshold::derive(m, c, l, sites),
            None => Threshold::recommended(sites),
        };
        let model = (values, 0.25);
        let parties = Parties::drafted(threshold.unwrap(), sites, model, |_| (), &mut rng);
        let (mut round_keys, mut secrets) = (Vec::new(), BTreeMap::new());
        for identity in parties.identities.iter().skip(1).step_by(2) {
            let made: Vec<_> = (0..3).map(|_| RoundSecret::generate(&mut rng).unwrap()).collect();
            round_keys.push(round_secret::publish(identity, parties.digest, 0, &made));
            secrets
                .extend(made.into_iter().take(1).map(|secret| (identity.site().clone(), secret)));
        }
        Self { parties, rng, round_keys, secrets }
    }

    pub(super) fn check_key(&self) -> CheckKey {
        self.identities[0].check_key(&self.study).unwrap()
    }

    pub(super) fn manifest(&self) -> Signed<Manifest> {
        let model = Digest::of(b"keyed model");
        self.parties.manifest(0, None, model, START, &self.round_keys)
    }

    pub(super) fn round(&self) -> Round {
        Round::open(self.study.clone(), self.study.digest(), self.manifest(), None).unwrap()
    }

    /// A contribution of pseudo-random values by site `k`.
    pub(super) fn contribute(&mut self, k: usize) -> Made {
        let count = self.study.layout.values();
        let update: Vec<f32> =
            (0..count).map(|i| ((i * 7 + k * 13) % 100) as f32 / 150.0 - 0.3).collect();
        let manifest = self.manifest().statement;
        let (study, rng) = (self.study.clone(), &mut self.rng);
        let quantized =
            QuantizedUpdate::quantize(&update, &study.layout, &study.packing, rng).unwrap();
        let identity = &self.parties.identities[k];
        let key = identity.check_key(&study).unwrap();
        let mut body = Vec::new();
        let context = ContributionContext {
            study: &study,
            manifest: &manifest,
            holder_keys: &HolderKeys::resolve(&study, &manifest, &self.round_keys).unwrap(),
            identity,
            check_key: &key,
        };
        let contribution = Contribution::make(context, &quantized, rng, &mut body).unwrap();
        Made { values: quantized.expose().to_vec(), contribution, body }
    }

    /// Announces and receipts contributions.
    pub(super) fn collect(&self, round: &mut Round, made: &[Made]) {
        for made in made {
            let header = &made.contribution.header;
            apply(round, |round| round.announce(header, START + 1)).unwrap();
            let receipt = round.receipt(&header.statement.site, START + 1).unwrap();
            round.apply(Event::Received(sign(receipt, &self.aggregator)));
        }
    }

    /// Freezes, reviews without complaint and closes over what was received.
    pub(super) fn close(&self, round: &mut Round, made: &[Made]) -> (Signed<Closing>, Vec<u8>) {
        let now = START + 101;
        let event = round.freeze(now).unwrap();
        round.apply(event);
        let holders: Vec<SiteId> = self.study.holders(0).map(|site| site.id.clone()).collect();
        for holder in &holders {
            let complaints = made
                .iter()
                .filter(|made| self.share(made, holder).is_err())
                .map(|made| made.contribution.header.statement.site.clone())
                .collect();
            let manifest = round.manifest().statement.clone();
            let review = holder::review(self.identity(holder), &manifest, complaints);
            apply(round, |round| round.review(&review)).unwrap();
        }
        let set = round.closed_set(now).unwrap();
        let mut sum = vec![0; self.study.body_bytes().unwrap() as usize];
        for entry in set.included() {
            let body = &made.iter().find(|m| m.contribution.header.digest() == entry.header);
            let bits = self.study.packing.wire_bits;
            add_words(&mut sum, &body.unwrap().body, bits).unwrap();
        }
        let digest = (!set.included().is_empty()).then(|| Digest::of(&sum));
        let checkpoint = log_of(round).checkpoint();
        let closing = round.closing_of(set, digest, checkpoint, now);
        let closing = sign(closing, &self.aggregator);
        round.apply(Event::Closed(closing.clone()));
        (closing, sum)
    }

    pub(super) fn share(
        &self,
        made: &Made,
        holder: &SiteId,
    ) -> Result<crate::share::share::Share, crate::share::envelope::EnvelopeError> {
        let header = &made.contribution.header.statement;
        let offset = self.study.holder_offset(0, holder).unwrap();
        let sealed = &made.contribution.envelopes[offset];
        let secret = self.secrets.get(holder);
        open_envelope(self.identity(holder), secret, &self.study, header, sealed)
    }

    pub(super) fn identity(&self, site: &SiteId) -> &Identity {
        self.identities.iter().find(|identity| identity.site() == site).unwrap()
    }

    pub(super) fn holder(&self, site: &SiteId) -> Holder {
        Holder::restore(self.study.clone(), site.clone(), [], None, None)
    }

    /// Endorses by all holders but the silent ones.
    pub(super) fn endorse(&self, round: &mut Round, silent: &[usize]) {
        let holders: Vec<SiteId> = self.study.holders(0).map(|site| site.id.clone()).collect();
        let closing = round.closing().unwrap().clone();
        let headers: Vec<Signed<Header>> = round.received().map(|(_, h)| h.clone()).collect();
        let reviews: Vec<_> = round.reviews().cloned().collect();
        let manifest = round.manifest().statement.clone();
        let log = log_of(round);
        let proofs = proofs(&log, &manifest, &closing.statement, None, None);
        for (k, holder) in holders.iter().enumerate().filter(|(k, _)| !silent.contains(k)) {
            let view = view(&manifest, &closing, &headers, &reviews, None, &proofs);
            let Decision::Fresh(endorsement) = self.holder(holder).endorse(view).unwrap() else {
                panic!("holder {k} has endorsed before");
            };
            let signed = self.identity(holder).sign(endorsement);
            apply(round, |round| round.endorse(&signed)).unwrap();
        }
    }

    /// The opening of one holder.
    pub(super) fn opening(
        &mut self,
        holder: &SiteId,
        certificate: &Certificate,
        made: &[Made],
    ) -> OpeningFrame {
        let manifest = self.manifest().statement;
        let machine = self.holder(holder);
        let set = machine.may_open(&manifest, certificate).unwrap();
        let shares: Vec<_> = set
            .sites()
            .map(|(site, header)| {
                let made = made.iter().find(|m| m.contribution.header.digest() == header).unwrap();
                (site.clone(), self.share(made, holder).unwrap())
            })
            .collect();
        let mut rng = rng(self.rng.next_u64());
        open_share_sum(self.identity(holder), &self.study, &set, &shares, &mut rng).unwrap()
    }

    /// Openings by all holders but the silent ones.
    pub(super) fn openings(
        &mut self,
        round: &mut Round,
        made: &[Made],
        silent: &[usize],
    ) -> Vec<OpeningFrame> {
        let certificate = round.certificate().unwrap();
        let holders: Vec<SiteId> = self.study.holders(0).map(|site| site.id.clone()).collect();
        let mut frames = Vec::new();
        for (_, holder) in holders.iter().enumerate().filter(|(k, _)| !silent.contains(k)) {
            let frame = self.opening(holder, &certificate, made);
            apply(round, |round| round.open_sum(&frame.statement)).unwrap();
            frames.push(frame);
        }
        frames
    }

    /// The key sum, at one recipient.
    pub(super) fn key_sum(
        &self,
        recipient: usize,
        closing: Digest,
        frames: &[OpeningFrame],
    ) -> Result<KeySum, OpenError> {
        let context = OpeningContext {
            study: &self.study,
            round: 0,
            manifest: self.manifest().digest(),
            closing,
        };
        let openings: Vec<_> = frames
            .iter()
            .map(|frame| unseal(&self.identities[recipient], context, frame).unwrap())
            .collect();
        Ok(KeySum::reconstruct(&openings, &self.study.threshold)?)
    }

    /// Opens the sum at one recipient.
    pub(super) fn open(
        &self,
        recipient: usize,
        closing: &Signed<Closing>,
        frames: &[OpeningFrame],
        sum: &[u8],
    ) -> Result<OpenedSum, OpenError> {
        let keys = self.key_sum(recipient, closing.digest(), frames)?;
        let sites = closing.statement.included.len();
        let digest = self.manifest().digest();
        let (study, check_key) = (&self.study, self.check_key());
        let opened = OpenedSum::open(study, &digest, sites, &keys, &check_key, &mut &sum[..]);
        let mean = OpenedMean::open(study, &digest, sites, &keys, &check_key, &mut &sum[..]);
        match (&opened, &mean) {
            (Ok(opened), Ok(mean)) => {
                let expected = quantize::mean(opened.sums(), sites, &study.layout, &study.packing);
                assert!(mean.mean() == expected && mean.noise == opened.noise);
                assert_eq!(mean.sites, sites);
            }
            (Err(opened), Err(mean)) => assert_eq!(opened.to_string(), mean.to_string()),
            _ => panic!("{opened:?}, but {mean:?}"),
        }
        opened
    }
}

/// Decides and applies, as the aggregator does around its durable write.
pub(super) fn apply(
    round: &mut Round,
    decide: impl FnOnce(&Round) -> Result<Verdict, RoundError>,
) -> Result<(), RoundError> {
    if let Verdict::Fresh(event) = decide(round)? {
        round.apply(event);
    }
    Ok(())
}

/// The study's log up to the round's closing: every statement so far, those of a kind together.
pub(super) fn log_of(round: &Round) -> StudyLog {
    let contributions = || round.received().map(|(site, _)| round.contribution(site).unwrap());
    let receipts =
        contributions().map(|known| LogEntry::of_signed(known.receipt.as_ref().unwrap()));
    std::iter::once(LogEntry::of_signed(round.manifest()))
        .chain(contributions().map(|known| LogEntry::of_signed(&known.header)))
        .chain(receipts)
        .chain(round.reviews().map(LogEntry::of_signed))
        .collect()
}

/// What an honest aggregator proves of a closing to a holder that has seen no checkpoint.
pub(super) fn proofs_of(
    log: &StudyLog,
    closing: &Closing,
    manifest: &Manifest,
    receipt: Option<&Receipt>,
) -> LogProofs {
    proofs(log, manifest, closing, receipt, None)
}

/// The naive oracle: integers added one by one.
pub(super) fn plain_sum(made: &[Made]) -> Vec<u64> {
    let mut sum = vec![0; made[0].values.len()];
    for made in made {
        sum.iter_mut().zip(&made.values).for_each(|(sum, value)| *sum += u64::from(*value));
    }
    sum
}
