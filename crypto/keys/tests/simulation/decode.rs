//! What a site makes of bodies and openings, at both levels.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::api::{OpeningFrame, opening_words};
use ringfence_crypto::id::SiteId;
use ringfence_crypto::ring::field;
use ringfence_crypto::ring::words::add_words;
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Closing, Manifest, Subject, Summands};
use ringfence_keys::open::{
    CheckedPart, OpenedSum, OpeningContext, Position, SumContext, first_failure, judge_coefficient,
    wire_word,
};
use ringfence_keys::share::functional::Determined;
use ringfence_keys::share::reconstruct::KeySum;
use ringfence_keys::share::share::{Share, share_words};

use crate::cipher::{About, Cipher, Level, Posted};
use crate::toy;

/// What a holder, by its window offset, opened: words of each site.
pub(crate) type Opened = (usize, Vec<Vec<u64>>);

/// What came of adding up bodies.
pub(crate) struct Counted {
    pub(crate) sum: Vec<u8>,
    /// Whose check words are not those of their bodies.
    pub(crate) wrong: BTreeSet<SiteId>,
    /// Whether the closing names this sum.
    pub(crate) named: bool,
}

impl Cipher {
    /// Adds a body into the sum.
    pub(crate) fn add(&self, sum: &mut Vec<u8>, body: &[u8]) {
        if sum.is_empty() {
            sum.resize(body.len(), 0);
        }
        match self.level {
            Level::Full => add_words(sum, body, self.parties.study.packing.wire_bits).unwrap(),
            Level::Statements => {
                *sum = field::to_bytes(&toy::add(toy::pair(sum), toy::pair(body)));
            }
        }
    }

    /// Whether a sum has the digest that the closing names and the check words of these headers.
    pub(crate) fn checks(&self, closing: &Closing, members: &[Arc<Posted>], sum: &[u8]) -> bool {
        let (parties, study) = (&self.parties, &self.parties.study);
        if closing.sum != Some(Digest::of(sum)) {
            return false;
        }
        let headers = members.iter().map(|posted| &posted.header.statement);
        match self.level {
            Level::Statements => {
                let checks = headers.map(|header| check_of(&header.check.0));
                checks.fold(0, field::add) == toy::check(toy::pair(sum))
            }
            Level::Full => {
                let wire_bits = study.packing.wire_bits;
                let stated = parties.check_key.sum_of_headers(headers, wire_bits);
                let own = parties.check_key.words_of(study, closing.manifest, &mut &sum[..]);
                stated.is_ok_and(|stated| stated.matches(&own.unwrap()))
            }
        }
    }

    /// Adds up the bodies of some members of a set.
    pub(crate) fn recount(&self, closing: &Signed<Closing>, members: &[Arc<Posted>]) -> Counted {
        let (mut sum, mut wrong) = (Vec::new(), BTreeSet::new());
        for posted in members {
            self.add(&mut sum, &posted.body);
            let header = &posted.header.statement;
            let sound = match self.level {
                Level::Statements => {
                    check_of(&header.check.0) == toy::check(toy::pair(&posted.body))
                }
                Level::Full => {
                    let (study, key) = (&self.parties.study, &self.parties.check_key);
                    let stated = key.header_words(header, study.packing.wire_bits);
                    let own = key.words_of(study, header.manifest, &mut &posted.body[..]);
                    stated.is_ok_and(|stated| stated.matches(&own.unwrap()))
                }
            };
            if !sound {
                wrong.insert(posted.site().clone());
            }
        }
        let named = closing.statement.sum == Some(Digest::of(&sum));
        Counted { sum, wrong, named }
    }

    /// The words that a holder opened to a site, for each of `sites` sites, with the holder's window
    /// offset; none of what cannot be used.
    pub(crate) fn unseal(
        &self,
        recipient: usize,
        (about, sites): (About<'_>, usize),
        frame: &OpeningFrame,
    ) -> Option<Opened> {
        let (parties, study) = (&*self.parties, &*self.parties.study);
        let closing = &about.closing.statement;
        let (threshold, parts) = match about.subject {
            Subject::Sum => (&study.threshold, 1),
            _ => (&study.threshold, sites),
        };
        let (offset, words) = match self.level {
            Level::Statements => {
                let holder = &frame.statement.statement.holder;
                let offset = study.holder_offset(closing.round, holder)?;
                (offset, toy::words(&frame.content)?)
            }
            Level::Full => {
                let context = OpeningContext {
                    study,
                    round: closing.round,
                    manifest: closing.manifest,
                    closing: about.closing.id(),
                    subject: about.subject,
                    words: opening_words(threshold, about.subject, sites),
                };
                let part = OpeningFrame::clone(frame).check(study, context.words).ok()?;
                let part = part.part(recipient)?;
                let part =
                    CheckedPart::check(&parties.identities[recipient], context, part).ok()?;
                let (offset, words) = part.unseal_words().ok()?;
                (offset, words.to_vec())
            }
        };
        if parts == 0 || words.len() % parts != 0 {
            return None;
        }
        let each = words.chunks(words.len() / parts).map(|words| {
            let mut words = words.to_vec();
            if !matches!(about.subject, Subject::Functionals { .. }) {
                // Polynomials that a stub leaves out carry nothing.
                words.resize(share_words(threshold), 0);
            }
            words
        });
        Some((offset, each.collect()))
    }

    /// Shares of one key or key sum, for the machine that reconstructs it.
    pub(crate) fn shares(&self, opened: &[Opened], place: usize) -> Option<Vec<(usize, Share)>> {
        let threshold = &self.parties.study.threshold;
        let share = |(offset, words): &Opened| {
            Some((*offset, Share::from_words(words.get(place)?, threshold)?))
        };
        opened.iter().map(share).collect()
    }

    /// The sum in the clear, or where it fails first.
    pub(crate) fn decode(
        &self,
        manifest: &Manifest,
        keys: &KeySum,
        (sum, members): (&[u8], &[Arc<Posted>]),
    ) -> Result<Vec<u64>, Position> {
        let sites = members.len();
        if self.level == Level::Statements {
            let keys: toy::Pair = std::array::from_fn(|at| keys.words()[at]);
            let plain = toy::sub(toy::pair(sum), keys);
            let failing = (0..).zip(plain).find(|(_, word)| !toy::in_bounds(*word, sites));
            return match failing {
                None => Ok(plain.map(toy::value).to_vec()),
                Some((coefficient, _)) => Err(Position { block: 0, coefficient }),
            };
        }
        let (parties, study) = (&*self.parties, &*self.parties.study);
        let (manifest, check_key) = (manifest.id(), &parties.check_key);
        // Of this very sum, which was added up or checked.
        let check = &check_key.words_of(study, manifest, &mut &sum[..]).unwrap();
        let summands = Summands::alike(sites, &study.packing);
        let context = SumContext { study, manifest, summands, keys, check, check_key };
        OpenedSum::open(context, &mut &sum[..]).map(|opened| opened.sums().to_vec()).map_err(
            |error| {
                let at = first_failure(context, &mut &sum[..]).unwrap();
                at.unwrap_or_else(|| panic!("{error}, and no position fails"))
            },
        )
    }

    /// Who is out of bounds at a position, once the functionals of all members are determined.
    pub(crate) fn culprits(
        &self,
        (members, opened): (&[Arc<Posted>], &[Opened]),
        at: Position,
        free: usize,
    ) -> Option<BTreeSet<SiteId>> {
        let (study, mut culprits) = (&self.parties.study, BTreeSet::new());
        for (place, posted) in members.iter().enumerate() {
            let values: BTreeMap<usize, &[u64]> =
                opened.iter().map(|(offset, words)| (*offset, &words[place][..])).collect();
            let found = Determined::of_answers(&values, &study.threshold, free).ok()?;
            let sound = match self.level {
                Level::Statements => {
                    let word = toy::pair(&posted.body)[usize::from(at.coefficient)];
                    toy::in_bounds(field::sub(word, found.value), 1)
                }
                Level::Full => {
                    let mut body = Cursor::new(&posted.body);
                    let word = wire_word(study, &posted.header.statement, at, &mut body).unwrap();
                    judge_coefficient(study, 0, at, word, found.value).is_ok()
                }
            };
            if !sound {
                culprits.insert(posted.site().clone());
            }
        }
        Some(culprits)
    }
}

fn check_of(sealed: &[u8]) -> u64 {
    u64::from_le_bytes(sealed[..8].try_into().unwrap())
}
