//! A site of seven breaks the format in one coefficient, and its header's digest and check words
//! fit its body: the sum fails there, the site is convicted by that coefficient, and without it the
//! mean is that of the other six.

use std::io::Cursor;

use super::*;
use crate::encrypt::check::{CheckBinding, CheckKey, CheckWords};
use crate::encrypt::one_time_key::{EncryptionContext, OneTimeKey};
use crate::encrypt::transform::product;
use crate::identity::Identity;
use crate::share::dealt::DealtShare;
use crate::share::dealt::tests::dealt;
use crate::share::reconstruct::KeySum;
use crate::share::share::Share;
use crate::testing::{rng, study};
use crate::update::quantize::{QuantizedUpdate, mean};
use crate::update::weigh::clip_and_weigh;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{ManifestId, RoundNumber};
use ringfence_crypto::ring::ciphertext::public_polynomial;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::params::{MODULUS, RING_DEGREE};
use ringfence_crypto::ring::words::{block_bytes, pack, to_word, unpack};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Header, Study, Weighting};

const SITES: usize = 7;
const CHEAT: usize = 4;

struct Round {
    study: Study,
    identities: Vec<Identity>,
    check_key: CheckKey,
    manifest: ManifestId,
    sites: Vec<Site>,
}

/// What a site made: the test sees the key.
struct Site {
    key: Vec<u64>,
    values: Vec<u32>,
    body: Vec<u8>,
    header: Signed<Header>,
}

impl Round {
    fn new() -> Self {
        let (study, identities) = study(SITES);
        Self::of(study, identities)
    }

    fn of(study: Study, identities: Vec<Identity>) -> Self {
        let check_key = identities[0].check_key(&study).unwrap();
        let manifest = Digest::of(b"round").into();
        let mut round = Self { study, identities, check_key, manifest, sites: Vec::new() };
        round.sites = (0..SITES).map(|k| round.contribution(k)).collect();
        round
    }

    fn contribution(&self, site: usize) -> Site {
        let Self { study, check_key, manifest, .. } = self;
        let mut rng = rng(100 + site as u64);
        let (packing, layout, manifest) = (&study.packing, &study.layout, *manifest);
        let mut values: Vec<f32> = (0..5).map(|k| (site + k) as f32 / 50.0 - 0.1).collect();
        clip_and_weigh(&mut values, layout, study.weighting.factor(site));
        let update = QuantizedUpdate::quantize(&values, layout, packing, &mut rng).unwrap();
        let range = study.summands([site]);
        let context = EncryptionContext { manifest, packing, layout, range, check_key };
        let mut encryption = OneTimeKey::generate(&mut rng).start(context, &mut rng).unwrap();
        let mut body = Vec::new();
        encryption.update(update.expose(), &mut body).unwrap();
        let (key, _) = encryption.finish(&mut body).unwrap().into_key_vectors();
        let key = key.as_slice().to_vec();
        let (values, header) = (update.expose().to_vec(), self.header(site, &body));
        Site { key, values, body, header }
    }

    /// The header of a body, whatever is in it.
    fn header(&self, site: usize, body: &[u8]) -> Signed<Header> {
        let Self { study, check_key, manifest, .. } = self;
        let (identity, manifest, digest) = (&self.identities[site], *manifest, Digest::of(body));
        let words = check_key.words_of(study, manifest, &mut &*body).unwrap();
        let binding = CheckBinding { manifest, site: identity.site(), body: digest };
        identity.sign(Header {
            study: study.id(),
            round: RoundNumber(0),
            manifest,
            site: identity.site().clone(),
            body_bytes: body.len() as u64,
            body: digest,
            check: check_key.seal_words(binding, &words),
            envelopes: Vec::new(),
            spent: None,
        })
    }

    /// Coefficient of `a_j s` at a position.
    fn functional(&self, key: &[u64], position: Position) -> u64 {
        let (mut public, mut out) = ([0; RING_DEGREE], [0; RING_DEGREE]);
        public_polynomial(self.manifest, position.block, &mut public);
        product(&public, key, &mut out);
        out[usize::from(position.coefficient)]
    }

    /// Puts a word into the cheat's body; a header that fits it.
    fn put(&mut self, position: Position, word: u64) {
        let wire_bits = self.study.packing.wire_bits;
        let (bytes, mut words) = (block_bytes(wire_bits), [0; RING_DEGREE]);
        let mut body = std::mem::take(&mut self.sites[CHEAT].body);
        let block = &mut body[position.block as usize * bytes..][..bytes];
        unpack(block, wire_bits, &mut words);
        words[usize::from(position.coefficient)] = word;
        pack(&words, wire_bits, block);
        self.sites[CHEAT].header = self.header(CHEAT, &body);
        self.sites[CHEAT].body = body;
    }

    /// Puts a message and noise into a coefficient of the cheat's body.
    fn encrypt(&mut self, position: Position, message: u64, noise: i64) {
        let packing = &self.study.packing;
        let plain = field::add(message << packing.delta_bits, field::from_signed(noise));
        let mask = self.functional(&self.sites[CHEAT].key, position);
        self.put(position, to_word(field::add(mask, plain), packing.wire_bits));
    }

    /// The sum of all bodies, and its check words.
    fn sum(&self) -> (Vec<u8>, CheckWords) {
        let mut sum = Cursor::new(Vec::new());
        let mut count =
            Recount::new(&self.study, self.manifest, &self.check_key, &mut sum).unwrap();
        for site in &self.sites {
            count.add(&site.header, &mut &site.body[..]).unwrap();
        }
        let check = count.into_check();
        (sum.into_inner(), check)
    }

    /// The key sum over some sites, from the openings of seven holders of which one lies.
    fn keys(&self, of: &[usize]) -> KeySum {
        let threshold = &self.study.threshold;
        let dealt: Vec<Vec<DealtShare>> =
            of.iter().map(|k| dealt(&self.sites[*k].key, threshold, *k as u64)).collect();
        let openings: Vec<(usize, Share)> = (0..SITES)
            .map(|holder| {
                // The cheat opens a share that it was not dealt.
                let from = if holder == CHEAT { 0 } else { holder };
                (holder, Share::sum(dealt.iter().map(|shares| &shares[from]), threshold))
            })
            .collect();
        let keys = KeySum::reconstruct(&openings, threshold, 1).unwrap();
        assert!(keys.is_determined(threshold, 1));
        assert_eq!(keys.disagreeing, [CHEAT]);
        keys
    }

    fn context<'a>(
        &'a self,
        places: impl IntoIterator<Item = usize>,
        keys: &'a KeySum,
        check: &'a CheckWords,
    ) -> SumContext<'a> {
        let Self { study, check_key, manifest, .. } = self;
        let summands = study.summands(places);
        SumContext { study, manifest: *manifest, summands, keys, check, check_key }
    }

    /// Opens the sum, finds who is at fault, and opens it without; the cheat's fault.
    fn settled(&self, expected: Position) -> CoefficientFault {
        let all: Vec<usize> = (0..SITES).collect();
        let (sum, check) = self.sum();
        let keys = self.keys(&all);
        let context = self.context(0..SITES, &keys, &check);
        assert_eq!(first_failure(context, &mut &sum[..]).unwrap(), Some(expected));
        let error = OpenedMean::open(context, &mut &sum[..]).unwrap_err();
        let out_of_bounds = matches!(
            error,
            OpenError::Noise { .. } | OpenError::Slot { .. } | OpenError::Count { .. }
        );
        assert!(out_of_bounds, "{error}");

        let judge = |site: &Site| {
            let header = &site.header.statement;
            let word = wire_word(&self.study, header, expected, &mut &site.body[..]).unwrap();
            judge_coefficient(&self.study, 0, expected, word, self.functional(&site.key, expected))
        };
        let faults: Vec<_> = self.sites.iter().map(|site| judge(site).err()).collect();
        let convicted: Vec<usize> = (0..SITES).filter(|k| faults[*k].is_some()).collect();
        assert_eq!(convicted, [CHEAT], "{faults:?}");

        let Site { header, body, .. } = &self.sites[CHEAT];
        let mut sum = Cursor::new(sum);
        let (study, id) = (&self.study, self.manifest);
        let mut count = Recount::resume(study, id, &self.check_key, &mut sum, check);
        count.remove(header, &mut Cursor::new(body)).unwrap();
        let check = count.into_check();
        let others = || self.sites.iter().enumerate().filter(|(k, _)| *k != CHEAT).map(|(_, s)| s);
        let headers = others().map(|site| &site.header.statement);
        let stated = self.check_key.sum_of_headers(headers, study.packing.wire_bits).unwrap();
        assert!(check.matches(&stated), "the check words of the six headers");

        let keys = keys.without([&self.keys(&[CHEAT])]);
        let context = self.context((0..SITES).filter(|k| *k != CHEAT), &keys, &check);
        let sum = sum.into_inner();
        assert_eq!(first_failure(context, &mut &sum[..]).unwrap(), None);
        let plain: Vec<u64> =
            (0..5).map(|value| others().map(|s| u64::from(s.values[value])).sum()).collect();
        assert_eq!(OpenedSum::open(context, &mut &sum[..]).unwrap().sums(), plain);
        let expected = mean(&plain, SITES - 1, &study.layout, &study.packing);
        assert_eq!(OpenedMean::open(context, &mut &sum[..]).unwrap().mean(), expected);
        faults.into_iter().flatten().next().unwrap()
    }
}

const COUNT: Position = Position { block: 0, coefficient: 0 };
/// Of value 3, the third of the layout's.
const VALUE: Position = Position { block: 0, coefficient: 3 };

#[test]
fn nobody_is_removed_from_a_good_sum() {
    let round = Round::new();
    let all: Vec<usize> = (0..SITES).collect();
    let ((sum, check), keys) = (round.sum(), round.keys(&all));
    let context = round.context(0..SITES, &keys, &check);
    assert_eq!(first_failure(context, &mut &sum[..]).unwrap(), None);
    let opened = OpenedSum::open(context, &mut &sum[..]).unwrap();
    let plain = |value: usize| round.sites.iter().map(|s| u64::from(s.values[value])).sum::<u64>();
    assert!(opened.sums().iter().enumerate().all(|(value, sum)| *sum == plain(value)));
}

#[test]
fn rubbish_in_one_coefficient_convicts_its_site_and_costs_its_update() {
    let mut round = Round::new();
    round.put(VALUE, to_word(MODULUS / 3, round.study.packing.wire_bits));
    round.settled(VALUE);
}

#[test]
fn a_site_that_counts_twice_or_not_at_all_is_convicted() {
    for counted in [0, 2] {
        let mut round = Round::new();
        round.encrypt(COUNT, counted, 0);
        assert_eq!(round.settled(COUNT), CoefficientFault::Count { counted, expected: 1 });
    }
}

#[test]
fn a_site_that_fills_padding_is_convicted() {
    let mut round = Round::new();
    let position = Position { block: 1, coefficient: 4095 };
    round.encrypt(position, 1, 0);
    let fault = round.settled(position);
    assert!(matches!(fault, CoefficientFault::Padding { got: 1, .. }), "{fault}");
}

#[test]
fn a_value_beyond_what_all_sites_can_sum_to_convicts_its_site() {
    let mut round = Round::new();
    let limit = round.study.packing.slot_limit(SITES);
    round.encrypt(VALUE, limit + 1, 0);
    let fault = round.settled(VALUE);
    assert!(matches!(fault, CoefficientFault::Slot { got, .. } if got == limit + 1), "{fault}");
}

/// The mean would leave the clip bounds, though each slot could hold as much with equal weights.
#[test]
fn a_value_beyond_what_the_weights_leave_convicts_its_site() {
    let (mut study, identities) = study(SITES);
    study.weighting = Weighting::SampleCounts(vec![90, 100, 70, 80, 60, 50, 90]);
    let mut round = Round::of(study, identities);
    let most = round.study.summands(0..SITES).most;
    assert!(most < round.study.packing.slot_limit(SITES));
    let others = round.sites.iter().map(|site| u64::from(site.values[2]));
    let others = others.sum::<u64>() - u64::from(round.sites[CHEAT].values[2]);
    // As much as the sum may be is not noticed.
    round.encrypt(VALUE, most - others, 0);
    let (keys, (sum, check)) = (round.keys(&(0..SITES).collect::<Vec<_>>()), round.sum());
    assert_eq!(first_failure(round.context(0..SITES, &keys, &check), &mut &sum[..]).unwrap(), None);
    round.encrypt(VALUE, most - others + 1, 0);
    let fault = round.settled(VALUE);
    let got = most - others + 1;
    assert!(matches!(fault, CoefficientFault::Slot { got: seen, .. } if seen == got), "{fault}");
}

#[test]
fn noise_just_beyond_the_sum_s_bound_convicts_its_site() {
    let (mut study, identities) = study(SITES);
    // Of narrower words one may be worth more than what is between the bound and half the scale.
    study.packing.wire_bits = 60;
    let mut round = Round::of(study, identities);
    let Study { packing, threshold, .. } = &round.study;
    let bound = NoiseModel::new(SITES, threshold.collusion, packing.wire_bits).bound() as i64;
    let step = 1 + (u128::from(MODULUS) >> packing.wire_bits) as i64;
    let (all, value) = ((0..SITES).collect::<Vec<_>>(), u64::from(round.sites[CHEAT].values[2]));
    let keys = round.keys(&all);
    // The others' noise may add to it or not: the first word that is too far out.
    let mut noise = bound / 2;
    loop {
        round.encrypt(VALUE, value, noise);
        let (sum, check) = round.sum();
        let failure = first_failure(round.context(0..SITES, &keys, &check), &mut &sum[..]).unwrap();
        if failure.is_some() {
            break;
        }
        noise += step;
    }
    assert!(noise < 2 * bound);
    let fault = round.settled(VALUE);
    assert!(matches!(fault, CoefficientFault::Noise { .. }), "{fault}");
}

#[test]
fn another_body_is_neither_taken_out_nor_judged() {
    let round = Round::new();
    let (before, check) = round.sum();
    let mut sum = Cursor::new(before.clone());
    let mut count =
        Recount::resume(&round.study, round.manifest, &round.check_key, &mut sum, check);
    let [site, other] = [&round.sites[1], &round.sites[2]];
    let error = count.remove(&site.header, &mut Cursor::new(&other.body)).unwrap_err();
    assert!(matches!(error, RecountError::Body { .. }), "{error}");
    // Nothing was taken out: the right body is, after it.
    count.remove(&site.header, &mut Cursor::new(&site.body)).unwrap();
    count.add(&site.header, &mut &site.body[..]).unwrap();
    assert!(count.into_check().matches(&round.sum().1));
    assert!(sum.into_inner() == before);

    let (study, header) = (&round.study, &site.header.statement);
    let error = wire_word(study, header, VALUE, &mut &other.body[..]).unwrap_err();
    assert!(matches!(error, RecountError::Body { .. }), "{error}");
    for position in [Position { block: 2, ..VALUE }, Position { coefficient: 4096, ..VALUE }] {
        let error = wire_word(study, header, position, &mut &site.body[..]).unwrap_err();
        assert!(matches!(error, RecountError::Position { .. }), "{error}");
    }
}

#[test]
fn the_evidence_of_a_verdict_names_its_site() {
    let round = Round::new();
    let (header, dispute) = (round.sites[CHEAT].header.clone(), Digest::of(b"dispute"));
    let fault = CoefficientFault::Count { counted: 2, expected: 1 };
    let evidence = Evidence::Format { dispute, header, position: COUNT, fault };
    let site = round.identities[CHEAT].site();
    assert_eq!(evidence.against(), Some(site));
    let shown = evidence.to_string();
    assert!(shown.contains(site.as_str()) && shown.contains("counts 2 sites"), "{shown}");
    let json = serde_json::to_value(&evidence).unwrap();
    assert_eq!(json["format"]["fault"]["count"]["counted"], 2);
    assert_eq!(json["format"]["position"]["block"], 0);
    assert_eq!(serde_json::from_value::<Evidence>(json).unwrap(), evidence);
}
