//! Endorsing, opening, and the opened sum.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningFrame;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{HeaderId, RoundNumber};
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, unpack, word_modulus};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, Closing, Endorsement, Freeze, Header, HexBytes, Manifest, Receipt, Review, Study,
    Subject, Summands,
};
use ringfence_crypto::wire::frame;
use serde::Deserialize;

use super::FOLDER;
use super::contributions::made;
use super::files::{self, Word, numbers, refused};
use super::parts::floats;
use super::story::{Logged, Script, Shown, identity, proofs, round_secret, study};
use crate::duties::abstention::Abstention;
use crate::duties::holder::{ClosingView, Decision, Holder, Records, open_share_sum};
use crate::open::{CheckedPart, OpenError, OpenedSum, OpeningContext, SumContext};
use crate::share::envelope::open_envelope;
use crate::share::reconstruct::KeySum;
use crate::share::share::{Share, share_words};
use crate::update::quantize::mean;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opened {
    manifest: Signed<Manifest>,
    freeze: Signed<Freeze>,
    reviews: Vec<Signed<Review>>,
    certificate: Certificate,
    openings: Vec<Opening>,
    sum: HexBytes,
    sum_digest: Digest,
    check_words: Vec<Word>,
    key_sum: Shown,
    sites: usize,
    sums: HexBytes,
    mean: HexBytes,
    log: Vec<Logged>,
    largest_noise: u64,
    noise_bound: u64,
    margin_bits: f64,
    mean_square: f64,
    mean_square_bound: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    holder: String,
    share: Shown,
    salt: HexBytes,
    content_key: HexBytes,
    seal_randomness: Vec<HexBytes>,
    frame: HexBytes,
}

fn decoded(bytes: &[u8]) -> OpeningFrame {
    frame::decode(bytes, "an opening").unwrap()
}

impl Opened {
    fn context<'a>(&self, study: &'a Study) -> OpeningContext<'a> {
        let (manifest, closing) = (self.manifest.id(), self.certificate.closing.id());
        let (round, subject) = (self.manifest.statement.round, Subject::Sum);
        let words = share_words(&study.threshold);
        OpeningContext { study, round, manifest, closing, subject, words }
    }

    /// The openings as a recipient unseals them.
    fn unseal(&self, study: &Study, recipient: &str) -> Vec<(usize, Share)> {
        let (identity, context) = (identity(recipient), self.context(study));
        let position = study.position(identity.site()).unwrap();
        let unseal = |opening: &Opening| {
            let opening = decoded(&opening.frame.0).check(study, context.words).unwrap();
            let part = opening.part(position).unwrap();
            CheckedPart::check(&identity, context, part).unwrap().unseal().unwrap()
        };
        self.openings.iter().map(unseal).collect()
    }

    fn open(&self, study: &Study, sites: usize, mut sum: &[u8]) -> Result<OpenedSum, OpenError> {
        let made = made();
        let headers = made.iter().map(|(made, _)| &made.header.statement);
        let threshold = &study.threshold;
        let free = usize::from(threshold.collusion);
        let keys = KeySum::reconstruct(&self.unseal(study, "south"), threshold, free)?;
        let check_key = identity("south").check_key(study).unwrap();
        let check = check_key.sum_of_headers(headers, study.packing.wire_bits).unwrap();
        assert_eq!(check.numbers(), numbers(&self.check_words)[..]);
        let (manifest, keys, check_key) = (self.manifest.id(), &keys, &check_key);
        let check = &check;
        let summands = Summands::alike(sites, &study.packing);
        OpenedSum::open(SumContext { study, manifest, summands, keys, check, check_key }, &mut sum)
    }
}

/// Sums and openings as the shipped code makes them from the contributions.
fn check_making(file: &Opened, study: &Study) {
    let made = made();
    let mut sum = vec![0; file.sum.0.len()];
    for (_, body) in &made {
        add_words(&mut sum, body, study.packing.wire_bits).unwrap();
    }
    assert_eq!(sum, file.sum.0);
    let headers: Vec<Signed<Header>> = made.iter().map(|(made, _)| made.header.clone()).collect();
    for opening in &file.openings {
        let (identity, secret) = (identity(&opening.holder), round_secret(&opening.holder));
        let holder = Holder::restore(
            Arc::new(study.clone()),
            identity.site().clone(),
            Records::default(),
            None,
            None,
        );
        let (manifest, closing) = (&file.manifest.statement, &file.certificate.closing);
        let log = &proofs(&file.log, manifest, &closing.statement);
        let (headers, reviews, receipt) = (&headers[..], &file.reviews[..], None);
        let (trust, freeze) = (&Trust::default(), &file.freeze);
        let view = ClosingView { manifest, trust, freeze, closing, headers, reviews, receipt, log };
        let Decision::Fresh(endorsement) = holder.endorse(view).unwrap() else {
            panic!("nothing was endorsed before")
        };
        let endorsements = &file.certificate.endorsements;
        assert!(endorsements.iter().any(|signed| signed.statement == endorsement));

        let set = holder.may_open(manifest, &file.certificate).unwrap();
        let offset = study.holder_offset(manifest.round, identity.site()).unwrap();
        let share = |(site, header): (&_, HeaderId)| {
            let (made, _) = made.iter().find(|(made, _)| made.header.id() == header).unwrap();
            let (header, envelope) = (&made.header.statement, &made.envelopes[offset]);
            let share = open_envelope(&identity, secret.as_ref(), study, header, envelope);
            (Clone::clone(site), share.unwrap())
        };
        let shares: Vec<_> = set.sites().map(share).collect();
        let mut parts = vec![&opening.salt.0[..], &opening.content_key.0];
        parts.extend(opening.seal_randomness.iter().map(|seed| &seed.0[..]));
        let mut script = Script::new(&parts);
        let frame = open_share_sum(&identity, study, &set, &shares, &mut script).unwrap();
        script.finish();
        assert_eq!(frame::encode(&frame).unwrap(), opening.frame.0);
    }
}

pub(super) fn opened(_: &str, file: Opened) {
    let study = study();
    Manifest::check(&file.manifest, &study, study.id(), None).unwrap();
    check_making(&file, &study);
    assert_eq!(Digest::of(&file.sum.0), file.sum_digest);
    assert_eq!(file.certificate.closing.statement.sum, Some(file.sum_digest));
    for site in &study.roster {
        let openings = file.unseal(&study, site.id.as_str());
        for ((offset, share), opening) in openings.iter().zip(&file.openings) {
            assert_eq!(study.roster[*offset].id.as_str(), opening.holder);
            opening.share.check(share.words());
        }
        let threshold = &study.threshold;
        let free = usize::from(threshold.collusion);
        let keys = KeySum::reconstruct(&openings, threshold, free).unwrap();
        file.key_sum.check(keys.words());
    }
    let opened = file.open(&study, file.sites, &file.sum.0).unwrap();
    let (sums, rest) = file.sums.0.as_chunks::<4>();
    assert!(rest.is_empty());
    let expected = sums.iter().map(|sum| u64::from(u32::from_le_bytes(*sum)));
    assert_eq!(opened.sums(), expected.collect::<Vec<_>>());
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let mean = mean(opened.sums(), opened.sites, &study.layout, &study.packing);
    assert_eq!(bits(mean), bits(floats(&file.mean.0)));
    assert_eq!(opened.noise.largest, file.largest_noise);
    let (bound, expected) = (opened.noise.bound as f64, file.noise_bound as f64);
    assert!((bound / expected - 1.0).abs() < 2f64.powi(-40), "{bound} {expected}");
    let half = (1u64 << (study.packing.delta_bits - 1)) as f64;
    assert!(((half / opened.noise.largest as f64).log2() - file.margin_bits).abs() < 1e-12);
    let failure = opened.noise.failure_probability;
    assert!((0.0..=2f64.powi(-64)).contains(&failure), "{failure}");
    assert!((opened.noise.mean_square / file.mean_square - 1.0).abs() < 1e-12);
    assert!((opened.noise.mean_square_bound / file.mean_square_bound - 1.0).abs() < 1e-12);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadOpening {
    recipient: String,
    part: HexBytes,
    fault: Fault,
    error: String,
}

/// Who is at fault that a part cannot be used.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fault {
    Aggregator,
    Holder,
}

pub(super) fn opening_bad(_: &str, file: BadOpening) {
    let (study, good): (_, Opened) = (study(), files::read(FOLDER, "opened"));
    let identity = identity(&file.recipient);
    let part = frame::decode(&file.part.0, "a part of an opening").unwrap();
    let checked = CheckedPart::check(&identity, good.context(&study), part);
    match file.fault {
        Fault::Aggregator => refused(checked, &file.error),
        Fault::Holder => refused(checked.unwrap().unseal(), &file.error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadSum {
    indexes: Vec<usize>,
    add: Word,
    cut: usize,
    sites: usize,
    digest: Digest,
    error: String,
}

pub(super) fn sum_bad(_: &str, file: BadSum) {
    let (study, good): (_, Opened) = (study(), files::read(FOLDER, "opened"));
    let wire_bits = study.packing.wire_bits;
    let mut words = vec![0; good.sum.0.len() / block_bytes(wire_bits) * RING_DEGREE];
    unpack(&good.sum.0, wire_bits, &mut words);
    for index in &file.indexes {
        let p = u128::from(word_modulus(wire_bits));
        words[*index] = ((u128::from(words[*index]) + u128::from(file.add.0)) % p) as u64;
    }
    let mut sum = vec![0; good.sum.0.len()];
    pack(&words, wire_bits, &mut sum);
    assert_eq!(Digest::of(&sum), file.digest);
    sum.truncate(sum.len() - file.cut);
    refused(good.open(&study, file.sites, &sum), &file.error);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BadEndorsement {
    manifest: Signed<Manifest>,
    closing: Signed<Closing>,
    freeze: Signed<Freeze>,
    headers: Vec<Signed<Header>>,
    reviews: Vec<Signed<Review>>,
    receipt: Option<Signed<Receipt>>,
    endorsed: Option<Endorsement>,
    abstains_through: Option<RoundNumber>,
    log: Vec<Logged>,
    error: String,
}

pub(super) fn endorse_bad(_: &str, file: BadEndorsement) {
    let holder = "east".parse().unwrap();
    let study = Arc::new(study());
    let abstains = file.abstains_through.map(|through| {
        let (restored_at, through) = (file.manifest.statement.opened_at, Some(through));
        Abstention { restored_at, through }
    });
    let records = Records { endorsed: file.endorsed.into_iter().collect(), ..Records::default() };
    let holder = Holder::restore(study, holder, records, abstains, None);
    let (manifest, closing) = (&file.manifest.statement, &file.closing);
    let (headers, receipt) = (&file.headers[..], file.receipt.as_ref());
    let log = &proofs(&file.log, manifest, &closing.statement);
    let (trust, freeze, reviews) = (&Trust::default(), &file.freeze, &file.reviews[..]);
    let view = ClosingView { manifest, trust, freeze, closing, headers, reviews, receipt, log };
    refused(holder.endorse(view), &file.error);
}
