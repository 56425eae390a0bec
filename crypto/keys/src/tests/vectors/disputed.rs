//! A spoiled round: the challenge, functionals, single coefficients, and the sum without the culprit.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::OpeningContext;
use ringfence_crypto::dealing::{Answer, Trust};
use ringfence_crypto::id::{ManifestId, SiteId};
use ringfence_crypto::ring::ciphertext::residues_from_xof;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::params::KEY_WORDS;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::ring::xof::Xof;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{
    Certificate, DisputeCertificate, Freeze, Header, HexBytes, Manifest, Proceedings, Review,
    SetView, Study, Subject, Summands, VerdictCertificate,
};
use ringfence_crypto::threshold::Threshold;
use ringfence_crypto::wire::frame;
use serde::Deserialize;

use super::contributions::made;
use super::files::{Word, numbers};
use super::parts::floats;
use super::story::{Logged, Script, Shown, identity, proofs, round_secret, study};
use crate::duties::disputes::{Case, open_functionals, open_keys};
use crate::duties::holder::{Holder, Records};
use crate::open::{
    CheckedPart, CoefficientFault, OpenedSum, Position, SumContext, first_failure,
    judge_coefficient, wire_word,
};
use crate::secret::SecretWords;
use crate::share::challenge::Challenge;
use crate::share::deal::share_vector;
use crate::share::dealt::DealtShare;
use crate::share::envelope::open_envelope;
use crate::share::functional::{Determined, Row};
use crate::share::reconstruct::KeySum;
use crate::share::share::Share;
use crate::update::quantize::mean;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Challenges {
    cases: Vec<ChallengeCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeCase {
    threshold: Threshold,
    freeze: Digest,
    factors: Vec<Shown>,
    share_seed: HexBytes,
    answer: Vec<Word>,
    masks_swapped: Vec<Word>,
    factors_interleaved: Vec<Word>,
}

pub(super) fn challenge(_: &str, file: Challenges) {
    for case in &file.cases {
        let threshold = &case.threshold;
        let share = DealtShare::from_dealt(&case.share_seed.0, threshold, 0).unwrap();
        let answer = share.answer(&Challenge::of(case.freeze.into(), threshold));
        assert_eq!(answer[..], numbers(&case.answer));
        assert_ne!(answer[..], numbers(&case.masks_swapped));
        assert_ne!(answer[..], numbers(&case.factors_interleaved));
        let mut reader = Xof::new(&[b"ringfence/review/2", &case.freeze.0]);
        for factors in &case.factors {
            let mut words = vec![0; share.key_words().len()];
            residues_from_xof(&mut reader, &mut words);
            factors.check(&words);
        }
    }
}

/// A vector of key words from its seed.
fn key_of(seed: &[u8]) -> SecretWords {
    let mut words = vec![0; KEY_WORDS];
    let mut reader = Xof::new(&[seed]);
    residues_from_xof(&mut reader, &mut words);
    words.into()
}

/// The shares that the shipped code deals from these seeds and masks.
fn deal(
    key: &SecretWords,
    threshold: &Threshold,
    seeds: &[HexBytes],
    masks: &[Word],
) -> Vec<DealtShare> {
    let masks = field::to_bytes(&numbers(masks));
    let mut parts: Vec<&[u8]> = seeds.iter().map(|seed| &seed.0[..]).collect();
    parts.push(&masks);
    let mut script = Script::new(&parts);
    let dealt = share_vector(key, threshold, &mut script);
    script.finish();
    let shares = dealt.iter().enumerate();
    shares.map(|(k, d)| DealtShare::from_dealt(d.as_bytes(), threshold, k).unwrap()).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Functionals {
    round: ManifestId,
    key_seed: HexBytes,
    key: Shown,
    cases: Vec<FunctionalCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionalCase {
    threshold: Threshold,
    block: u64,
    coefficient: u16,
    masks: Vec<Word>,
    seeds: Vec<HexBytes>,
    values: Vec<Vec<Word>>,
    functional: Word,
}

pub(super) fn functionals(_: &str, file: Functionals) {
    let key = key_of(&file.key_seed.0);
    file.key.check(key.as_slice());
    for case in &file.cases {
        let threshold = &case.threshold;
        let row = Row::of(file.round, case.block, case.coefficient).unwrap();
        let shares = deal(&key, threshold, &case.seeds, &case.masks);
        assert_eq!(shares.len(), case.values.len());
        let values: Vec<Vec<u64>> = case.values.iter().map(|values| numbers(values)).collect();
        for (share, values) in shares.iter().zip(&values) {
            assert_eq!(*row.of_share(share, threshold), *values);
        }
        let answers: BTreeMap<usize, &[u64]> =
            values.iter().enumerate().map(|(k, values)| (k, &values[..])).collect();
        let free = usize::from(threshold.collusion);
        let determined = Determined::of_answers(&answers, threshold, free).unwrap();
        assert_eq!(determined.value, case.functional.0);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Coefficients {
    cases: Vec<CoefficientCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CoefficientCase {
    name: String,
    block: u64,
    coefficient: u16,
    word: Word,
    functional: Word,
    fault: Option<String>,
}

pub(super) fn coefficient(_: &str, file: Coefficients) {
    let study = study();
    for case in &file.cases {
        let position = Position { block: case.block, coefficient: case.coefficient };
        let judged = judge_coefficient(&study, 0, position, case.word.0, case.functional.0);
        let fault = judged.err().map(|fault| match fault {
            CoefficientFault::Noise { .. } => "noise",
            CoefficientFault::Count { .. } => "count",
            CoefficientFault::Slot { .. } => "slot",
            CoefficientFault::Padding { .. } => "padding",
        });
        assert_eq!(fault, case.fault.as_deref(), "{}", case.name);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disputed {
    manifest: Signed<Manifest>,
    culprit: Culprit,
    headers: Vec<Signed<Header>>,
    freeze: Signed<Freeze>,
    reviews: Vec<Signed<Review>>,
    certificate: Certificate,
    log: Vec<Logged>,
    sum_digest: Digest,
    key_sum: Shown,
    dispute: DisputeCertificate,
    functionals: Vec<Opening>,
    coefficients: Vec<Decrypted>,
    verdict: VerdictCertificate,
    keys: Vec<Opening>,
    key: Shown,
    reduced_key_sum: Shown,
    sites: usize,
    sums: HexBytes,
    mean: HexBytes,
}

/// The contribution that spoils the sum.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Culprit {
    header: Signed<Header>,
    body: HexBytes,
    key_seed: HexBytes,
    share_seeds: Vec<HexBytes>,
    masks: Vec<Word>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    holder: String,
    salt: HexBytes,
    content_key: HexBytes,
    seal_randomness: Vec<HexBytes>,
    frame: HexBytes,
}

impl Opening {
    /// What the holder drew for it.
    fn script(&self) -> Script {
        let mut parts = vec![&self.salt.0[..], &self.content_key.0];
        parts.extend(self.seal_randomness.iter().map(|seed| &seed.0[..]));
        Script::new(&parts)
    }

    /// What south finds in it.
    fn words(&self, context: OpeningContext<'_>) -> Vec<u64> {
        let identity = identity("south");
        let frame: ringfence_crypto::api::OpeningFrame =
            frame::decode(&self.frame.0, "an opening").unwrap();
        let opening = frame.check(context.study, context.words).unwrap();
        let part = opening.part(context.study.position(identity.site()).unwrap()).unwrap();
        let part = CheckedPart::check(&identity, context, part).unwrap();
        part.unseal_words().unwrap().1.to_vec()
    }
}

/// One site's coefficient in dispute.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decrypted {
    site: SiteId,
    values: BTreeMap<String, Vec<Word>>,
    functional: Word,
    word: Word,
    slots: Vec<u64>,
}

type Shares = Vec<(SiteId, DealtShare)>;

impl Disputed {
    /// Bodies and headers of the set, ascending by site.
    fn bodies(&self) -> BTreeMap<SiteId, (Header, Vec<u8>)> {
        let culprit = &self.culprit.header.statement;
        let mut bodies: BTreeMap<_, _> = made()
            .into_iter()
            .map(|(made, body)| (made.header.statement.site.clone(), (made.header.statement, body)))
            .collect();
        bodies.insert(culprit.site.clone(), (culprit.clone(), self.culprit.body.0.clone()));
        bodies
    }

    /// A holder's shares of the keys of the set, ascending by dealer: from the envelopes, and the
    /// culprit's as it deals them.
    fn shares(&self, study: &Study, holder: &str) -> Shares {
        let Culprit { header, key_seed, share_seeds, masks, .. } = &self.culprit;
        let (identity, secret) = (identity(holder), round_secret(holder));
        let round = self.manifest.statement.round;
        let offset = study.holder_offset(round, identity.site()).unwrap();
        let mut shares: BTreeMap<SiteId, DealtShare> = made()
            .into_iter()
            .map(|(made, _)| {
                let (header, envelope) = (&made.header.statement, &made.envelopes[offset]);
                let share = open_envelope(&identity, secret.as_ref(), study, header, envelope);
                (header.site.clone(), share.unwrap())
            })
            .collect();
        let dealt = deal(&key_of(&key_seed.0), &study.threshold, share_seeds, masks);
        let own = dealt.into_iter().nth(offset).unwrap();
        shares.insert(header.statement.site.clone(), own);
        shares.into_iter().collect()
    }

    fn context<'a>(&self, study: &'a Study, subject: Subject, words: usize) -> OpeningContext<'a> {
        let (round, manifest) = (self.manifest.statement.round, self.manifest.id());
        let closing = self.certificate.closing.id();
        OpeningContext { study, round, manifest, closing, subject, words }
    }
}

/// The sum of keys from holders' shares of some sites.
fn key_sum<'a>(
    study: &Study,
    holders: impl Iterator<Item = (&'a str, &'a Shares)>,
    of: impl Fn(&SiteId) -> bool,
) -> KeySum {
    let threshold = &study.threshold;
    let openings: Vec<(usize, Share)> = holders
        .map(|(holder, shares)| {
            let offset = study.position(&holder.parse().unwrap()).unwrap();
            let chosen = shares.iter().filter(|(site, _)| of(site)).map(|(_, share)| share);
            (offset, Share::sum(chosen, threshold))
        })
        .collect();
    KeySum::reconstruct(&openings, threshold, usize::from(threshold.collusion)).unwrap()
}

pub(super) fn disputed(_: &str, file: Disputed) {
    let study = study();
    let manifest = &file.manifest.statement;
    let shares: BTreeMap<&str, Shares> = (file.functionals.iter())
        .map(|opening| (opening.holder.as_str(), file.shares(&study, &opening.holder)))
        .collect();
    check_closing(&file, &study, &shares);

    let bodies = file.bodies();
    let mut sum = vec![0; file.culprit.body.0.len()];
    for (_, body) in bodies.values() {
        add_words(&mut sum, body, study.packing.wire_bits).unwrap();
    }
    assert_eq!(Digest::of(&sum), file.sum_digest);
    let all = key_sum(&study, shares.iter().map(|(holder, of)| (*holder, of)), |_| true);
    file.key_sum.check(all.words());
    let check_key = identity("south").check_key(&study).unwrap();
    let of_headers =
        |headers: Vec<&Header>| check_key.sum_of_headers(headers, study.packing.wire_bits).unwrap();
    let check = of_headers(bodies.values().map(|(header, _)| header).collect());
    let dispute = &file.dispute.statement;
    let position = Position { block: dispute.block, coefficient: dispute.coefficient };
    let context = SumContext {
        study: &study,
        manifest: file.manifest.id(),
        summands: Summands::alike(bodies.len(), &study.packing),
        keys: &all,
        check: &check,
        check_key: &check_key,
    };
    assert_eq!(first_failure(context, &mut &sum[..]).unwrap(), Some(position));

    check_functionals(&file, &study, &shares);
    check_coefficients(&file, &study, position, &bodies);
    let culprits = &file.verdict.statement.sites;
    let of_culprit = check_keys(&file, &study, &shares);
    let left = all.without([&of_culprit]);
    file.reduced_key_sum.check(left.words());

    let mut rest = vec![0; sum.len()];
    let honest = || bodies.iter().filter(|(site, _)| !culprits.contains(site));
    for (_, (_, body)) in honest() {
        add_words(&mut rest, body, study.packing.wire_bits).unwrap();
    }
    let check = of_headers(honest().map(|(_, (header, _))| header).collect());
    assert_eq!(honest().count(), file.sites);
    let context = SumContext {
        summands: Summands::alike(file.sites, &study.packing),
        keys: &left,
        check: &check,
        manifest: manifest.id(),
        ..context
    };
    assert_eq!(first_failure(context, &mut &rest[..]).unwrap(), None);
    let opened = OpenedSum::open(context, &mut &rest[..]).unwrap();
    let (sums, _) = file.sums.0.as_chunks::<4>();
    let expected = sums.iter().map(|sum| u64::from(u32::from_le_bytes(*sum)));
    assert!(opened.sums().iter().copied().eq(expected));
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let mean = mean(opened.sums(), opened.sites, &study.layout, &study.packing);
    assert_eq!(bits(mean), bits(floats(&file.mean.0)));
}

/// Freeze, reviews, and the closing that follows from them.
fn check_closing(file: &Disputed, study: &Study, shares: &BTreeMap<&str, Shares>) {
    let (manifest, freeze) = (&file.manifest.statement, &file.freeze.statement);
    let closing = &file.certificate.closing.statement;
    let trust = &Trust::default();
    Freeze::check(&file.freeze, study, manifest, trust).unwrap();
    file.certificate.check(study, manifest).unwrap();
    let view = SetView { trust, freeze, headers: &file.headers, reviews: &file.reviews };
    let judgement = closing.check_set(study, view).unwrap();
    assert_eq!(judgement.set, freeze.dealers());
    proofs(&file.log, manifest, closing);
    let challenge = Challenge::of(file.freeze.id(), &study.threshold);
    for review in &file.reviews {
        let shares = &shares[review.statement.holder.as_str()];
        let answers = shares.iter().map(|(_, share)| Answer::Masked(share.answer(&challenge)));
        assert!(answers.eq(review.statement.answers.iter().copied()));
    }
}

fn check_functionals(file: &Disputed, study: &Study, shares: &BTreeMap<&str, Shares>) {
    let proceedings = Proceedings::default();
    let case = Case {
        manifest: &file.manifest.statement,
        certificate: &file.certificate,
        proceedings: &proceedings,
    };
    let dispute = file.dispute.statement.id();
    for opening in &file.functionals {
        let identity = identity(&opening.holder);
        let holder = holder(study, &identity.site().clone());
        let answer = holder.may_answer(case, &file.dispute).unwrap();
        let (mut script, shares) = (opening.script(), &shares[opening.holder.as_str()]);
        let frame = open_functionals(&identity, study, &answer, shares, &mut script).unwrap();
        script.finish();
        assert_eq!(frame::encode(&frame).unwrap(), opening.frame.0);
        let l = usize::from(study.threshold.packing);
        let context = file.context(study, Subject::Functionals { dispute }, l * shares.len());
        let words = opening.words(context);
        for (values, decrypted) in words.chunks(l).zip(&file.coefficients) {
            assert_eq!(values, numbers(&decrypted.values[&opening.holder]));
        }
    }
}

fn holder(study: &Study, site: &SiteId) -> Holder {
    Holder::restore(Arc::new(study.clone()), site.clone(), Records::default(), None, None)
}

fn check_coefficients(
    file: &Disputed,
    study: &Study,
    position: Position,
    bodies: &BTreeMap<SiteId, (Header, Vec<u8>)>,
) {
    let threshold = &study.threshold;
    let mut culprits = Vec::new();
    assert!(bodies.keys().eq(file.coefficients.iter().map(|decrypted| &decrypted.site)));
    for Decrypted { site, values, functional, word, slots } in &file.coefficients {
        let values: BTreeMap<usize, Vec<u64>> = (values.iter())
            .map(|(holder, values)| {
                (study.position(&holder.parse().unwrap()).unwrap(), numbers(values))
            })
            .collect();
        let answers = values.iter().map(|(offset, values)| (*offset, &values[..])).collect();
        let free = usize::from(threshold.collusion);
        let determined = Determined::of_answers(&answers, threshold, free).unwrap();
        assert_eq!(determined.value, functional.0);
        let (header, body) = &bodies[site];
        assert_eq!(wire_word(study, header, position, &mut &body[..]).unwrap(), word.0);
        let limit = study.packing.slot_limit(1);
        let judged = judge_coefficient(study, 0, position, word.0, functional.0);
        assert_eq!(judged.is_err(), slots.iter().any(|slot| *slot > limit), "{site}");
        culprits.extend(judged.is_err().then(|| site.clone()));
    }
    assert_eq!(culprits, file.verdict.statement.sites);
}

/// The culprit's key, from the openings that its verdict allows.
fn check_keys(file: &Disputed, study: &Study, shares: &BTreeMap<&str, Shares>) -> KeySum {
    let proceedings = Proceedings::default();
    let case = Case {
        manifest: &file.manifest.statement,
        certificate: &file.certificate,
        proceedings: &proceedings,
    };
    let culprits = &file.verdict.statement.sites;
    let verdict = file.verdict.statement.id();
    for opening in &file.keys {
        let identity = identity(&opening.holder);
        let holder = holder(study, &identity.site().clone());
        let removal = holder.may_remove(case, &file.dispute, &file.verdict).unwrap();
        let named: Shares = file
            .shares(study, &opening.holder)
            .into_iter()
            .filter(|(site, _)| culprits.contains(site))
            .collect();
        let mut script = opening.script();
        let frame = open_keys(&identity, study, &removal, &named, &mut script).unwrap();
        script.finish();
        assert_eq!(frame::encode(&frame).unwrap(), opening.frame.0);
        let words: Vec<u64> =
            named.iter().flat_map(|(_, share)| share.key_words()).copied().collect();
        let context = file.context(study, Subject::Keys { verdict }, words.len());
        assert_eq!(opening.words(context), words);
    }
    let holders = shares.iter().map(|(holder, of)| (*holder, of));
    let key = key_sum(study, holders, |site| culprits.contains(site));
    file.key.check(key.words());
    assert_eq!(key.words(), key_of(&file.culprit.key_seed.0).as_slice());
    key
}
