//! Spoiled rounds that name their culprit and end in the mean over the others, through everything
//! that is shipped.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use ringfence_crypto::Digest;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{add_words, block_bytes, pack, to_word};
use ringfence_crypto::round::Round;
use ringfence_crypto::statement::{DisputeCertificate, Proceedings, Settled, Summands};
use ringfence_keys::encrypt::check::CheckWords;
use ringfence_keys::open::{
    Evidence, OpenedSum, Position, Recount, SumContext, first_failure, judge_coefficient, wire_word,
};
use ringfence_keys::share::functional::Determined;
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::{Share, share_words};
use ringfence_testkit::{Made, Rehearsal, plain_sum};

/// Adds `shift`, a residue modulo q, to one coefficient of a body, and signs for it.
fn spoil(rehearsal: &Rehearsal, made: &mut Made, at: Position, shift: u64) {
    let bits = rehearsal.study.packing.wire_bits;
    let mut words = [0; RING_DEGREE];
    words[usize::from(at.coefficient)] = to_word(shift, bits);
    let mut block = vec![0; block_bytes(bits)];
    pack(&words, bits, &mut block);
    let start = at.block as usize * block.len();
    add_words(&mut made.body[start..start + block.len()], &block, bits).unwrap();
    let mut header = made.contribution.header.statement.clone();
    header.body = Digest::of(&made.body);
    made.contribution.header = rehearsal.identity(&header.site).sign(header);
}

fn body_of<'a>(made: &'a [Made], site: &SiteId) -> &'a Made {
    made.iter().find(|made| made.contribution.header.statement.site == *site).unwrap()
}

/// The sum of these bodies as a site adds it up: its check words, and whose are wrong.
fn add_up(
    rehearsal: &Rehearsal,
    round: &Round,
    made: &[Made],
) -> (Cursor<Vec<u8>>, CheckWords, Vec<Evidence>) {
    let (study, manifest) = (&*rehearsal.study, round.manifest_id());
    let mut sum = Cursor::new(Vec::new());
    let mut count = Recount::new(study, manifest, &rehearsal.check_key, &mut sum).unwrap();
    for made in made {
        count.add(&made.contribution.header, &mut &made.body[..]).unwrap();
    }
    let (check, found) = count.finish(round.closing().unwrap()).unwrap();
    (sum, check, found)
}

fn context<'a>(
    rehearsal: &'a Rehearsal,
    round: &Round,
    sites: usize,
    keys: &'a KeySum,
    check: &'a CheckWords,
) -> SumContext<'a> {
    let (study, check_key) = (&*rehearsal.study, &rehearsal.check_key);
    let summands = Summands::alike(sites, &study.packing);
    SumContext { study, manifest: round.manifest_id(), summands, keys, check, check_key }
}

/// Who is out of bounds at a position by what holders opened, as one recipient finds it.
fn culprits(
    rehearsal: &Rehearsal,
    (sites, made): (&[SiteId], &[Made]),
    answers: &[(usize, Vec<u64>)],
    at: Position,
) -> BTreeSet<SiteId> {
    let (study, threshold) = (&rehearsal.study, &rehearsal.study.threshold);
    let (l, free) = (usize::from(threshold.packing), usize::from(threshold.collusion));
    let mut culprits = BTreeSet::new();
    for (place, site) in sites.iter().enumerate() {
        let of_site = |words: &'_ [u64]| words[place * l..(place + 1) * l].to_vec();
        let values: BTreeMap<usize, Vec<u64>> =
            answers.iter().map(|(offset, words)| (*offset, of_site(words))).collect();
        let values = values.iter().map(|(offset, values)| (*offset, &values[..])).collect();
        let functional = Determined::of_answers(&values, threshold, free).unwrap();
        let made = body_of(made, site);
        let header = &made.contribution.header.statement;
        let word = wire_word(study, header, at, &mut &made.body[..]).unwrap();
        if judge_coefficient(study, 0, at, word, functional.value).is_err() {
            culprits.insert(site.clone());
        }
    }
    culprits
}

/// The keys of the named sites from holders' shares of them.
fn keys_of(rehearsal: &Rehearsal, named: usize, opened: &[(usize, Vec<u64>)]) -> Vec<KeySum> {
    let threshold = &rehearsal.study.threshold;
    let free = usize::from(threshold.collusion);
    let key = |place: usize| {
        let of = |words: &[u64]| {
            let words = words.chunks(share_words(threshold)).nth(place).unwrap();
            Share::from_words(words, threshold).unwrap()
        };
        let shares: Vec<_> = opened.iter().map(|(offset, words)| (*offset, of(words))).collect();
        let key = KeySum::reconstruct(&shares, threshold, free).unwrap();
        assert!(key.is_determined(threshold, free));
        key
    };
    (0..named).map(key).collect()
}

/// One dispute and its verdict, at whose end the key sum is that of the others. The holders in
/// `liars` open wrong words.
fn settle(
    rehearsal: &Rehearsal,
    round: &mut Round,
    of: &mut Proceedings,
    (made, liars): (&[Made], &[usize]),
    at: Position,
) -> Vec<KeySum> {
    let dispute: DisputeCertificate = rehearsal.dispute(round, of, at);
    let removed = of.removed();
    let included = round.closing().unwrap().statement.included.iter();
    let left: Vec<SiteId> =
        included.map(|entry| entry.site.clone()).filter(|site| !removed.contains(site)).collect();
    let lie = |mut opened: Vec<(usize, Vec<u64>)>| {
        for (_, words) in opened.iter_mut().filter(|(offset, _)| liars.contains(offset)) {
            words.iter_mut().for_each(|word| *word /= 2);
        }
        opened
    };
    let frames = rehearsal.open_functionals(round, of, &dispute, made);
    let found = [0, 3].map(|recipient| {
        let answers = lie(rehearsal.unsealed(round, recipient, &frames));
        culprits(rehearsal, (&left, made), &answers, at)
    });
    assert_eq!(found[0], found[1], "every site finds the same");
    let verdict = rehearsal.judge(round, of, Some(&dispute), &found[0]);
    let frames = rehearsal.open_keys(round, of, (&dispute, &verdict), made);
    let opened = lie(rehearsal.unsealed(round, 1, &frames));
    of.disputes.push(Settled { dispute, verdict });
    keys_of(rehearsal, found[0].len(), &opened)
}

#[test]
fn a_spoiled_round_names_its_culprit_and_ends_in_the_mean_of_the_others() {
    // The count, noise, a value and padding.
    for (coefficient, shift_bits) in [(0, 0), (7, 1), (300, 0), (4095, 0)] {
        let mut rehearsal = Rehearsal::new(5, None, 100);
        let mut made: Vec<_> = (0..5).map(|k| rehearsal.contribute(k)).collect();
        let at = Position { block: 0, coefficient };
        let shift = 1 << (rehearsal.study.packing.delta_bits - shift_bits);
        spoil(&rehearsal, &mut made[4], at, shift);
        let mut round = rehearsal.round();
        rehearsal.collect(&mut round, &made);
        let (_, sum) = rehearsal.close(&mut round, &made);
        rehearsal.endorse(&mut round, &[]);
        let frames = rehearsal.openings(&mut round, &made, &[]);
        let finished = rehearsal.finished(&round, sum, frames);
        let keys = finished.key_sum(2);

        // The sum does not decode, and its check words are not those of the headers.
        let (mut sum, check, found) = add_up(&rehearsal, &round, &made);
        assert_eq!(found.len(), 1);
        let wrong = BTreeSet::from([found[0].against().unwrap().clone()]);
        assert_eq!(wrong, BTreeSet::from([rehearsal.identities[4].site().clone()]));
        let check_words = rehearsal.judge(&mut round, &Proceedings::default(), None, &wrong);
        sum.set_position(0);
        let of_all = context(&rehearsal, &round, 5, &keys, &check);
        assert_eq!(first_failure(of_all, &mut sum).unwrap(), Some(at));

        // The culprit lies as a holder, too.
        let mut of = Proceedings { check_words: Some(check_words), ..Proceedings::default() };
        let removed = settle(&rehearsal, &mut round, &mut of, (&made, &[4]), at);
        assert_eq!(of.removed(), wrong);
        let keys = keys.without(&removed);
        let (mut sum, check, _) = add_up(&rehearsal, &round, &made[..4]);
        sum.set_position(0);
        let of_rest = context(&rehearsal, &round, 4, &keys, &check);
        let opened = OpenedSum::open(of_rest, &mut sum).unwrap();
        assert_eq!(opened.sums(), plain_sum(&made[..4]));
        rehearsal.agree(&mut round);
        assert_eq!(round.ended().unwrap().trust.barred, Vec::from_iter(wrong));
    }
}

/// Two sites spoil two positions: the first is settled, then the second, and nobody else is named.
#[test]
fn two_culprits_are_found_one_after_the_other() {
    let mut rehearsal = Rehearsal::new(7, Some((7, 2, 1)), 20);
    let mut made: Vec<_> = (0..7).map(|k| rehearsal.contribute(k)).collect();
    // Padding, which must be zero.
    let positions = [900, 500].map(|coefficient| Position { block: 0, coefficient });
    let delta = 1 << rehearsal.study.packing.delta_bits;
    for (site, at) in [5, 6].into_iter().zip(positions) {
        spoil(&rehearsal, &mut made[site], at, delta);
    }
    let mut round = rehearsal.round();
    rehearsal.collect(&mut round, &made);
    let (_, sum) = rehearsal.close(&mut round, &made);
    rehearsal.endorse(&mut round, &[]);
    let frames = rehearsal.openings(&mut round, &made, &[]);
    let finished = rehearsal.finished(&round, sum, frames);
    let mut keys = finished.key_sum(2);
    let mut of = Proceedings::default();
    // Site 6 is at fault at coefficient 500, which comes first.
    for (left, at) in [(7, positions[1]), (6, positions[0])] {
        let (mut sum, check, _) = add_up(&rehearsal, &round, &made[..left]);
        sum.set_position(0);
        let of_left = context(&rehearsal, &round, left, &keys, &check);
        assert_eq!(first_failure(of_left, &mut sum).unwrap(), Some(at));
        let removed = settle(&rehearsal, &mut round, &mut of, (&made, &[5, 6]), at);
        keys = keys.without(&removed);
        assert_eq!(of.removed().len(), 8 - left);
    }
    let (mut sum, check, _) = add_up(&rehearsal, &round, &made[..5]);
    sum.set_position(0);
    let of_rest = context(&rehearsal, &round, 5, &keys, &check);
    let opened = OpenedSum::open(of_rest, &mut sum).unwrap();
    assert_eq!(opened.sums(), plain_sum(&made[..5]));
    rehearsal.agree(&mut round);
    let barred = [6, 5].map(|k| rehearsal.identities[k].site().clone());
    assert_eq!(round.ended().unwrap().trust.barred, barred);
}
