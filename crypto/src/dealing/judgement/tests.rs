//! Scripted attacks, and random studies in which corrupt sites deal badly and accuse at will.

use super::super::Pair;
use super::*;
use crate::ring::codeword::lagrange;
use crate::ring::field;
use proptest::prelude::*;

const OFF: Answer = Answer::Masked([9, 9]);
/// An honest dealer's words, taken relative to its polynomial.
const SOUND: Answer = Answer::Masked([0, 0]);

fn site(index: usize) -> SiteId {
    format!("s{index:02}").parse().unwrap()
}

fn sites(count: usize) -> Vec<SiteId> {
    (0..count).map(site).collect()
}

/// Seven sites, `c = 2`, `l = 1`: `t = 3`. All review; `bad` are (holder, dealer, answer).
fn seven(trust: &Trust, silent: &[usize], bad: &[(usize, usize, Answer)]) -> Judgement {
    let threshold = Threshold::derive(7, 2, 1, 7).unwrap();
    let window = sites(7);
    let reviews: Vec<Reviewed> = (0..7)
        .filter(|holder| !silent.contains(holder))
        .map(|holder| {
            let mut answers = vec![SOUND; 7];
            for (_, dealer, answer) in bad.iter().filter(|(of, ..)| *of == holder) {
                answers[*dealer] = *answer;
            }
            Reviewed { holder: site(holder), answers }
        })
        .collect();
    let (threshold, dealers) = (&threshold, &window);
    Judge { threshold, min_sites: 4, window: &window, dealers, trust }.judge(&reviews).unwrap()
}

#[test]
fn nothing_wrong_changes_nothing() {
    let judged = seven(&Trust::default(), &[], &[]);
    assert_eq!(judged.set, sites(7));
    assert_eq!(judged.openers.len(), 7);
    assert_eq!(judged.trust, Trust::default());
    // Fewer reviewers than t + c' = 5 could not open.
    assert!(seven(&Trust::default(), &[0, 1, 2], &[]).set.is_empty());
}

#[test]
fn one_accusation_sets_both_ends_aside_and_leaves_nobody_out() {
    for answer in [OFF, Answer::NoShare] {
        let judged = seven(&Trust::default(), &[], &[(0, 5, answer)]);
        let pair = Pair { holder: site(0), dealer: site(5) };
        assert_eq!(judged.trust, Trust { barred: vec![], pairs: vec![pair] });
        assert_eq!(judged.set, sites(7));
        assert!(!judged.openers.contains(&site(0)) && !judged.openers.contains(&site(5)));
    }
}

#[test]
fn more_edges_than_corrupt_sites_bar() {
    // A dealer that cheats three, a holder that accuses three, one that accuses itself.
    let cheats = [(0, 5, OFF), (1, 5, Answer::NoShare), (2, 5, OFF)];
    let judged = seven(&Trust::default(), &[], &cheats);
    assert_eq!(judged.trust.barred, [site(5)]);
    assert_eq!(judged.excluded, BTreeMap::from([(site(5), Exclusion::Barred)]));
    let accuses = [(6, 0, OFF), (6, 1, OFF), (6, 2, Answer::NoShare)];
    let judged = seven(&Trust::default(), &[], &accuses);
    assert_eq!(judged.trust.barred, [site(6)]);
    assert!(judged.trust.pairs.is_empty() && judged.set.len() == 6);
    let judged = seven(&Trust::default(), &[], &[(6, 6, OFF)]);
    assert_eq!(judged.trust.barred, [site(6)]);
}

#[test]
fn a_holder_cheated_by_a_free_dealer_and_by_one_in_a_pair_is_not_barred() {
    let trust = seven(&Trust::default(), &[], &[(0, 5, OFF)]).trust;
    let judged = seven(&trust, &[], &[(1, 5, OFF), (1, 6, OFF)]);
    assert!(judged.trust.barred.is_empty(), "{:?}", judged.trust);
    assert_eq!(judged.trust.pairs.len(), 2);
    assert_eq!(judged.excluded, BTreeMap::new());
}

#[test]
fn a_dealer_whose_shares_nobody_can_determine_is_left_out() {
    let judged = seven(&Trust::default(), &[6], &[(0, 5, OFF), (1, 5, Answer::Masked([8, 0]))]);
    assert_eq!(judged.excluded, BTreeMap::from([(site(5), Exclusion::Undetermined)]));
    assert!(judged.trust.barred.is_empty(), "an honest dealer could be undetermined here");
}

#[test]
fn a_barred_end_dissolves_its_pair() {
    let trust = seven(&Trust::default(), &[], &[(0, 5, OFF)]).trust;
    let cheats = [(1, 5, Answer::NoShare), (2, 5, Answer::NoShare)];
    let judged = seven(&trust, &[], &cheats);
    assert_eq!(judged.trust, Trust { barred: vec![site(5)], pairs: vec![] });
    assert!(!judged.openers.contains(&site(0)), "its shares were not judged");
    // Not even by a late review, which this set decides on.
    assert_eq!(judged.aside, BTreeSet::from([site(0), site(5)]));
    assert_eq!(judged.trust.remaining(2), Ok(1));
}

/// A study in which the last `c` sites are corrupt.
struct Scene {
    state: u64,
    threshold: Threshold,
    sites: usize,
    trust: Trust,
}

impl Scene {
    fn corrupt(&self, index: usize) -> bool {
        index >= self.sites - usize::from(self.threshold.collusion)
    }

    fn index(&self, of: &SiteId) -> usize {
        (0..self.sites).find(|index| site(*index) == *of).unwrap()
    }

    /// A number below `bound`, by SplitMix64.
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn word(&mut self) -> u64 {
        1 + self.below(1 << 60)
    }

    /// What a corrupt dealer deals wrongly, by holder's offset: to few, to many, or so that some
    /// shares lie on a second polynomial, through `t - 1` shares of the first.
    fn errors(&mut self, holders: usize) -> Vec<u64> {
        let (t, c) = (u64::from(self.threshold.opening), u64::from(self.threshold.collusion));
        let mut errors = vec![0; holders];
        match self.below(4) {
            0 => {}
            1 => {
                for _ in 0..=self.below(c) {
                    let at = self.below(holders as u64) as usize;
                    errors[at] = self.word();
                }
            }
            2 => {
                let scale = self.word();
                let roots: Vec<u64> = (1..t).collect();
                for (offset, error) in errors.iter_mut().enumerate() {
                    let x = holder_point(offset);
                    *error = roots.iter().fold(scale, |v, r| field::mul(v, field::sub(x, *r)));
                }
                for error in &mut errors {
                    if self.chance(30) {
                        *error = 0;
                    }
                }
            }
            _ => errors.iter_mut().for_each(|error| *error = self.word()),
        }
        errors
    }

    /// One round, all honest holders reviewing; panics where a promise is broken.
    fn round(&mut self, number: usize) {
        let Threshold { holders: m, collusion, opening, .. } = self.threshold;
        let window: Vec<usize> = (0..usize::from(m)).map(|k| (number + k) % self.sites).collect();
        let dealers: Vec<usize> =
            (0..self.sites).filter(|index| !self.trust.bars(&site(*index))).collect();
        let dealt: Vec<Vec<u64>> = (dealers.iter())
            .map(|dealer| match self.corrupt(*dealer) {
                true => self.errors(window.len()),
                false => vec![0; window.len()],
            })
            .collect();
        let mut reviews = Vec::new();
        for (offset, holder) in window.iter().enumerate() {
            if self.corrupt(*holder) && self.chance(20) {
                continue;
            }
            let lies = if self.corrupt(*holder) { self.below(100) } else { 0 };
            let answer = |scene: &mut Self, errors: &Vec<u64>| match scene.chance(lies) {
                true if scene.chance(30) => Answer::NoShare,
                true => Answer::Masked([scene.word(), 0]),
                false => Answer::Masked([errors[offset], errors[offset]]),
            };
            let answers = dealt.iter().map(|errors| answer(self, errors)).collect();
            reviews.push(Reviewed { holder: site(*holder), answers });
        }
        let names = |of: &[usize]| of.iter().map(|index| site(*index)).collect::<Vec<_>>();
        let (window_names, dealer_names) = (names(&window), names(&dealers));
        let judge = Judge {
            threshold: &self.threshold,
            min_sites: 1,
            window: &window_names,
            dealers: &dealer_names,
            trust: &self.trust,
        };
        let judged = judge.judge(&reviews).expect("no more corrupt sites than c");
        self.keeps_promises(&judged, &dealers, &dealt, &window_names);
        let lost = judged.excluded.keys().filter(|site| !self.corrupt(self.index(site))).count();
        assert!(lost < usize::from(collusion), "{lost} honest sites are left out");
        let free = judged.trust.remaining(collusion).unwrap();
        let honest = judged.openers.iter().filter(|site| !self.corrupt(self.index(site))).count();
        assert!(honest >= usize::from(opening) + free, "{honest} honest openers");
        self.trust = judged.trust;
    }

    fn keeps_promises(
        &self,
        judged: &Judgement,
        dealers: &[usize],
        dealt: &[Vec<u64>],
        window: &[SiteId],
    ) {
        for barred in &judged.trust.barred {
            assert!(self.corrupt(self.index(barred)), "{barred} is honest and barred");
        }
        for Pair { holder, dealer } in &judged.trust.pairs {
            assert!(self.corrupt(self.index(holder)) || self.corrupt(self.index(dealer)));
        }
        let free = judged.trust.remaining(self.threshold.collusion).unwrap();
        let liars = judged.openers.iter().filter(|site| self.corrupt(self.index(site))).count();
        assert!(liars <= free, "{liars} corrupt openers, {free} allowed for");
        // The honest openers' shares of the sum lie on one polynomial.
        let sums = window.iter().enumerate().filter(|(_, holder)| {
            judged.openers.contains(*holder) && !self.corrupt(self.index(holder))
        });
        let (points, values): (Vec<u64>, Vec<u64>) = sums
            .map(|(offset, _)| {
                let in_set = dealers.iter().zip(dealt);
                let in_set = in_set.filter(|(dealer, _)| judged.set.contains(&site(**dealer)));
                let sum = in_set.fold(0, |sum, (_, errors)| field::add(sum, errors[offset]));
                (holder_point(offset), sum)
            })
            .unzip();
        let t = usize::from(self.threshold.opening);
        for (x, value) in points.iter().zip(&values).skip(t) {
            let weights = lagrange(&points[..t], *x);
            let expected = weights.iter().zip(&values);
            let expected = expected.fold(0, |sum, (w, v)| field::add(sum, field::mul(*w, *v)));
            assert_eq!(*value, expected, "an honest opener disagrees");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_honest_site_is_barred_and_every_set_opens(
        (c, l, extra, outside) in (1u16..4, 1u16..3, 0u16..2, 0usize..4), state in any::<u64>(),
    ) {
        let m = 3 * c + l + extra;
        let sites = usize::from(m) + outside;
        let threshold = Threshold::derive(m, c, l, sites).unwrap();
        let mut scene = Scene { state, threshold, sites, trust: Trust::default() };
        (0..6).for_each(|number| scene.round(number));
    }
}

/// Who may open after one late review: `change` alters the one that an honest holder would sign.
fn late(judge: &Judge<'_>, listed: &[Reviewed], review: Reviewed) -> bool {
    let judged = judge.judge(listed).unwrap();
    assert!(!judged.set.is_empty());
    let holder = review.holder.clone();
    let openers = judge.openers(&judged, &judged.set, listed, &[review]);
    assert!(judged.openers.is_subset(&openers), "nobody who was listed is lost");
    openers.contains(&holder)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    /// All deal honestly; `c - 1` holders lie to everybody, and one honest holder comes late.
    #[test]
    fn a_late_review_counts_if_and_only_if_it_agrees_with_every_dealer_of_the_set(
        (c, l) in (1u16..4, 1u16..3), state in any::<u64>(),
    ) {
        let m = usize::from(3 * c + l);
        let threshold = Threshold::derive(m as u16, c, l, m).unwrap();
        let mut scene = Scene { state, threshold, sites: m, trust: Trust::default() };
        let mut polynomials = || -> Vec<[Vec<u64>; 2]> {
            let mut polynomial = || (0..threshold.opening).map(|_| scene.word()).collect();
            (0..m).map(|_| [polynomial(), polynomial()]).collect()
        };
        let dealt = polynomials();
        let at = |polynomial: &[u64], x| {
            polynomial.iter().rev().fold(0, |sum, a| field::add(field::mul(sum, x), *a))
        };
        let honest = |holder: usize| {
            let x = holder_point(holder);
            let answers = dealt.iter().map(|[f, g]| Answer::Masked([at(f, x), at(g, x)]));
            Reviewed { holder: site(holder), answers: answers.collect() }
        };
        let liars = usize::from(c) - 1;
        let listed: Vec<Reviewed> = (0..m - 1).map(|holder| {
            let mut review = honest(holder);
            if holder < liars {
                review.answers.fill_with(|| Answer::Masked([scene.word(), scene.word()]));
            }
            review
        }).collect();
        let (names, trust) = (sites(m), Trust::default());
        let (threshold, window) = (&threshold, names.as_slice());
        let judge = Judge { threshold, min_sites: 1, window, dealers: window, trust: &trust };

        prop_assert!(late(&judge, &listed, honest(m - 1)));
        let dealer = liars + scene.below((m - liars) as u64) as usize;
        for word in 0..2 {
            let mut off = honest(m - 1);
            let Answer::Masked(words) = &mut off.answers[dealer] else { unreachable!() };
            words[word] = field::add(words[word], 1);
            prop_assert!(!late(&judge, &listed, off));
        }
        let mut none = honest(m - 1);
        none.answers[dealer] = Answer::NoShare;
        prop_assert!(!late(&judge, &listed, none.clone()));
        none.answers.pop();
        prop_assert!(!late(&judge, &listed, none), "an answer is missing");
        let stranger = Reviewed { holder: site(m), ..honest(m - 1) };
        prop_assert!(!late(&judge, &listed, stranger), "no holder");
        if liars > 0 {
            // Liars were barred, and their dealings are not in the set.
            let mut off = honest(m - 1);
            off.answers[0] = Answer::NoShare;
            prop_assert!(late(&judge, &listed, off));
            prop_assert!(!late(&judge, &listed, honest(0)), "set aside, whatever it says now");
        }
    }
}
