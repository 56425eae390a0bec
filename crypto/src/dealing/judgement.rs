//! The judgement of a round's dealings: a pure function of trust, dealers and reviews.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Answer;
use super::trust::{Broken, Trust};
use crate::id::SiteId;
use crate::ring::codeword::{Words, holder_point, lagrange};
use crate::ring::field;
use crate::statement::Study;
use crate::threshold::Threshold;

/// One holder's review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewed {
    /// Whose review.
    pub holder: SiteId,
    /// An answer for each dealer, in the order of [`Judge::dealers`].
    pub answers: Vec<Answer>,
}

/// What a judgement is made of, beside the reviews.
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    /// The study's thresholds.
    pub threshold: &'a Threshold,
    /// Fewest contributions that a sum is opened for.
    pub min_sites: u16,
    /// The round's key holders, in window order.
    pub window: &'a [SiteId],
    /// The contributors, in the order of the freeze.
    pub dealers: &'a [SiteId],
    /// Trust before the round.
    pub trust: &'a Trust,
}

/// Why a contribution is not in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// Its site is certainly corrupt.
    Barred,
    /// Too few of its shares lie on one codeword to tell which are wrong.
    Undetermined,
    /// A holder whose share of it is not sound is still needed.
    Accused,
}

/// What everybody concludes from a round's reviews.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Trust after the round.
    pub trust: Trust,
    /// `c'` from here on in this round: how many holders that are not set aside may lie.
    pub free: usize,
    /// Who is left out, and why.
    pub excluded: BTreeMap<SiteId, Exclusion>,
    /// The set; empty if the round is to be aborted.
    pub set: Vec<SiteId>,
    /// Holders whose openings count: not set aside, and with a sound share of every dealer of the
    /// set.
    pub openers: BTreeSet<SiteId>,
    /// Holders set aside in this round: in an entry of the trust before it or after it.
    pub aside: BTreeSet<SiteId>,
}

/// What the reviews show of one dealer.
struct Dealing {
    /// Holders whose share is not sound, or who say so falsely.
    edges: BTreeSet<SiteId>,
    determined: bool,
    corrupt: bool,
}

impl<'a> Judge<'a> {
    /// The judge of a study's round.
    pub fn of(
        study: &'a Study,
        window: &'a [SiteId],
        dealers: &'a [SiteId],
        trust: &'a Trust,
    ) -> Self {
        let (threshold, min_sites) = (&study.threshold, study.min_sites);
        Self { threshold, min_sites, window, dealers, trust }
    }
}

impl Judge<'_> {
    /// Judges the dealings. Reviews by others than holders, a holder's second review, and reviews
    /// with another number of answers than dealers are not counted: the caller has refused them.
    ///
    /// # Errors
    /// [`Broken`] when more sites are shown to be corrupt than the study allows for.
    pub fn judge(&self, reviews: &[Reviewed]) -> Result<Judgement, Broken> {
        let free = self.trust.remaining(self.threshold.collusion)?;
        let reviews = self.usable(reviews);
        let dealings: Vec<(&SiteId, Dealing)> = (self.dealers.iter().enumerate())
            .map(|(place, dealer)| (dealer, self.dealing(place, &reviews, free)))
            .collect();

        let mut trust = self.trust.clone();
        trust.bar(&self.corrupt(&dealings, free));
        let edges: Vec<(&SiteId, &SiteId)> = (dealings.iter())
            .flat_map(|(dealer, dealing)| {
                let accusing = self.window.iter().filter(|holder| dealing.edges.contains(*holder));
                accusing.map(|holder| (holder, *dealer))
            })
            .filter(|(holder, dealer)| !trust.bars(holder) && !trust.bars(dealer))
            .collect();
        edges.iter().for_each(|(holder, dealer)| trust.pair(holder, dealer));
        let free = trust.remaining(self.threshold.collusion)?;

        // The partner of a pair that was dissolved is a holder again from the next round on.
        let aside = |site: &SiteId| trust.sets_aside(site) || self.trust.sets_aside(site);
        let mut excluded = BTreeMap::new();
        for (dealer, dealing) in &dealings {
            let accused = edges.iter().any(|(holder, of)| of == dealer && !aside(holder));
            let why = match () {
                () if trust.bars(dealer) => Exclusion::Barred,
                () if !dealing.determined => Exclusion::Undetermined,
                () if accused => Exclusion::Accused,
                () => continue,
            };
            excluded.insert((*dealer).clone(), why);
        }
        let openers: BTreeSet<SiteId> = (reviews.keys())
            .filter(|holder| !aside(holder))
            .map(|holder| (*holder).clone())
            .collect();
        let mut set = self.dealers.to_vec();
        set.retain(|dealer| !excluded.contains_key(dealer));
        let enough = openers.len() >= usize::from(self.threshold.opening) + free;
        if !enough || set.len() < usize::from(self.min_sites) {
            set.clear();
        }
        let aside = self.window.iter().filter(|holder| aside(holder)).cloned().collect();
        if !self.threshold.names() {
            // With so few holders nobody is sure to be corrupt: an accusation counts in its round.
            trust = self.trust.clone();
        }
        Ok(Judgement { trust, free, excluded, set, openers, aside })
    }

    /// The holders whose openings count: those of the judgement, and whoever reviewed later, is not
    /// set aside, and agrees with every dealer of `set`. `listed` are the reviews that were judged.
    pub fn openers(
        &self,
        judgement: &Judgement,
        set: &[SiteId],
        listed: &[Reviewed],
        late: &[Reviewed],
    ) -> BTreeSet<SiteId> {
        let mut openers = judgement.openers.clone();
        // As many as might have lied when these reviews were judged.
        let Ok(free) = self.trust.remaining(self.threshold.collusion) else { return openers };
        let listed = self.usable(listed);
        for review in late {
            let fresh =
                !judgement.aside.contains(&review.holder) && !openers.contains(&review.holder);
            if fresh && self.agrees(&listed, set, review, free) {
                openers.insert(review.holder.clone());
            }
        }
        openers
    }

    /// Whether a review's answers lie on the codewords that the judged ones determine, for every
    /// dealer of the set.
    fn agrees(
        &self,
        listed: &BTreeMap<&SiteId, (u64, &[Answer])>,
        set: &[SiteId],
        review: &Reviewed,
        free: usize,
    ) -> bool {
        let Some(offset) = self.window.iter().position(|holder| *holder == review.holder) else {
            return false;
        };
        let t = usize::from(self.threshold.opening);
        let of_set = self.dealers.iter().enumerate().filter(|(_, dealer)| set.contains(dealer));
        review.answers.len() == self.dealers.len()
            && of_set.into_iter().all(|(place, _)| {
                let Some(Answer::Masked(own)) = review.answers.get(place) else { return false };
                let sound = self.sound(place, listed, free);
                let (Some(points), true) = (sound.0.get(..t), sound.0.len() >= t + free) else {
                    return false;
                };
                let weights = lagrange(points, holder_point(offset));
                let at = |word: &dyn Fn(&[u64; 2]) -> u64| {
                    weights.iter().zip(&sound.1).fold(0, |sum, (weight, words)| {
                        field::add(sum, field::mul(*weight, word(words)))
                    })
                };
                [at(&|[first, _]| *first), at(&|[_, second]| *second)] == *own
            })
    }

    /// Points and words of the judged answers for one dealer that lie on its codewords.
    fn sound(
        &self,
        place: usize,
        listed: &BTreeMap<&SiteId, (u64, &[Answer])>,
        free: usize,
    ) -> (Vec<u64>, Vec<[u64; 2]>) {
        let edges = self.dealing(place, listed, free).edges;
        let sound = listed.iter().filter(|(holder, _)| !edges.contains(**holder));
        let words = sound.filter_map(|(_, (point, answers))| match answers.get(place) {
            Some(Answer::Masked(words)) => Some((*point, *words)),
            _ => None,
        });
        words.unzip()
    }

    /// The reviews that count, by holder, with the holder's evaluation point.
    fn usable<'b>(&'b self, reviews: &'b [Reviewed]) -> BTreeMap<&'b SiteId, (u64, &'b [Answer])> {
        let counts = |review: &&Reviewed| {
            !self.trust.sets_aside(&review.holder) && review.answers.len() == self.dealers.len()
        };
        let mut usable = BTreeMap::new();
        for review in reviews.iter().filter(counts) {
            let offset = self.window.iter().position(|holder| *holder == review.holder);
            if let Some(offset) = offset {
                let answers = (holder_point(offset), review.answers.as_slice());
                usable.entry(&review.holder).or_insert(answers);
            }
        }
        usable
    }

    /// Step 1: what the answers for one dealer show, with at most `free` lies among them.
    fn dealing(
        &self,
        place: usize,
        reviews: &BTreeMap<&SiteId, (u64, &[Answer])>,
        free: usize,
    ) -> Dealing {
        let t = usize::from(self.threshold.opening);
        let (mut holders, mut points, mut values) = (Vec::new(), Vec::new(), [vec![], vec![]]);
        let mut edges = BTreeSet::new();
        for (holder, (point, answers)) in reviews {
            match answers.get(place) {
                Some(Answer::Masked([first, second])) => {
                    holders.push(*holder);
                    points.push(*point);
                    let [firsts, seconds] = &mut values;
                    firsts.push(*first);
                    seconds.push(*second);
                }
                Some(Answer::NoShare) | None => {
                    edges.insert((*holder).clone());
                }
            }
        }
        // An honest dealer's honest holders agree, and they are all but `free` of those who
        // answered. With fewer than `t + 2 free` answers, `t + free` that agree are needed to tell.
        let agreeing = (t + free).max(holders.len().saturating_sub(free));
        let mut strays: BTreeSet<usize> = BTreeSet::new();
        let determined = values.into_iter().all(|values| {
            let words = Words { points: points.clone(), values };
            let found = words.strays(t, agreeing);
            strays.extend(found.iter().flatten());
            found.is_some()
        });
        let determined = determined && holders.len() - strays.len() >= agreeing;
        if determined {
            edges.extend(
                strays.iter().filter_map(|i: &usize| holders.get(*i)).map(|h| (*h).clone()),
            );
        }
        let all = reviews.len() >= t + 2 * free;
        let corrupt = edges.len() > free || (!determined && all);
        Dealing { edges, determined, corrupt }
    }

    /// Steps 1 and 2: the sites that are certainly corrupt.
    fn corrupt(&self, dealings: &[(&SiteId, Dealing)], free: usize) -> BTreeSet<SiteId> {
        let mut corrupt: BTreeSet<SiteId> = (dealings.iter())
            .filter(|(_, dealing)| dealing.corrupt)
            .map(|(dealer, _)| (*dealer).clone())
            .collect();
        for holder in self.window {
            let accused = dealings.iter().filter(|(_, dealing)| dealing.edges.contains(holder));
            let (mut count, mut itself) = (0, false);
            for (dealer, _) in accused {
                itself |= *dealer == holder;
                // An honest holder may be cheated by every corrupt dealer in a pair, too.
                count += usize::from(!self.trust.sets_aside(dealer));
            }
            if count > free || itself {
                corrupt.insert(holder.clone());
            }
        }
        corrupt
    }
}

#[cfg(test)]
mod tests;
