//! The course that a study takes under played faults, foreseen: whether each round ends with a mean,
//! and whom it bars. The dealings are judged by the code that judges them in the round itself.

use ringfence_crypto::dealing::{Answer, Judge, Judgement, Reviewed, Trust};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::threshold::Threshold;

use crate::fault::Fate;

/// A study with the recommended thresholds, before one of its rounds.
pub(crate) struct Course<'a> {
    /// In roster order.
    sites: &'a [SiteId],
    threshold: Threshold,
    trust: Trust,
}

/// What a round lacks that cannot end with a mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    /// Who is too few, and for what.
    pub(crate) what: &'static str,
    pub(crate) have: usize,
    pub(crate) needed: usize,
    /// Who is missing, each with its reason.
    pub(crate) missing: Vec<String>,
}

impl<'a> Course<'a> {
    pub(crate) fn new(sites: &'a [SiteId], threshold: Threshold) -> Self {
        Self { sites, threshold, trust: Trust::default() }
    }

    /// Whether a round before this one has barred the site.
    pub(crate) fn bars(&self, site: &SiteId) -> bool {
        self.trust.bars(site)
    }

    /// Goes through a round in which this befalls the sites, in roster order.
    ///
    /// # Errors
    /// [`Lacking`] where too few are left for one of its steps.
    pub(crate) fn round(&mut self, round: RoundNumber, fates: &[Fate]) -> Result<(), Lacking> {
        let min_sites = self.threshold.usual_min_sites(self.sites.len());
        let roster: Vec<(&SiteId, Fate)> = self.sites.iter().zip(fates.iter().copied()).collect();
        let start = round.0 as usize % roster.len().max(1);
        let window = roster.iter().cycle().skip(start).take(self.threshold.holders.into());
        let window: Vec<(&SiteId, Fate)> = window.copied().collect();
        let contributes = |site: &SiteId, fate: Fate| !fate.absent && !self.trust.bars(site);
        let mut dealers = roster.clone();
        dealers.retain(|(site, fate)| contributes(site, *fate));
        // As a freeze names them.
        dealers.sort_by_key(|(site, _)| *site);
        let barred = |site: &SiteId| self.trust.bars(site).then_some("is barred");
        let gone = |fate: Fate| {
            let silent = fate.silent.then_some("answers nothing");
            if fate.absent { Some("takes no part") } else { silent }
        };
        let lacks = |what, have, needed, missing| Err(Lacking { what, have, needed, missing });
        if dealers.len() < min_sites.into() {
            let missing = named(&roster, |site, fate| barred(site).or_else(|| gone(fate)));
            return lacks("contributions", dealers.len(), min_sites.into(), missing);
        }

        let reviews = reviews(&window, &dealers, self.threshold.collusion);
        let names: Vec<SiteId> = window.iter().map(|(site, _)| (*site).clone()).collect();
        let of: Vec<SiteId> = dealers.iter().map(|(site, _)| (*site).clone()).collect();
        let (threshold, trust) = (&self.threshold, &self.trust);
        let judge = Judge { threshold, min_sites, window: &names, dealers: &of, trust };
        let t = usize::from(self.threshold.opening);
        let Ok(judged) = judge.judge(&reviews) else {
            // More sites are shown to be corrupt than the study allows for: nothing counts any more.
            return lacks(REVIEWS, 0, t, Vec::new());
        };
        let Judgement { free, ref set, ref openers, ref aside, .. } = judged;
        let unheard = |site: &SiteId, fate| {
            let aside = aside.contains(site).then_some("is not trusted");
            gone(fate).or(aside)
        };
        if openers.len() < t + free {
            let missing = named(&window, unheard);
            return lacks(REVIEWS, openers.len(), t + free, missing);
        }
        if set.is_empty() {
            let left: Vec<_> =
                of.iter().filter(|site| !judged.excluded.contains_key(*site)).collect();
            let out = |site: &SiteId| judged.excluded.contains_key(site).then_some("is left out");
            let missing = named(&roster, |site, fate| {
                barred(site).or_else(|| fate.absent.then_some("takes no part")).or(out(site))
            });
            return lacks("contributions", left.len(), min_sites.into(), missing);
        }

        // A lying holder endorses nothing.
        let lies = |fate: Fate| fate.lies.then_some("lies");
        let endorses = |(_, fate): &&(&SiteId, Fate)| gone(*fate).or(lies(*fate)).is_none();
        let endorsing = window.iter().filter(endorses).count();
        if endorsing < self.threshold.endorsements.into() {
            let missing = named(&window, |_, fate| gone(fate).or_else(|| lies(fate)));
            return lacks(ENDORSEMENTS, endorsing, self.threshold.endorsements.into(), missing);
        }
        // What the opened sum must look like tells lies from it; a dispute has nothing of the kind.
        let spoilers: Vec<_> =
            dealers.iter().filter(|(site, fate)| fate.spoils && set.contains(site)).collect();
        let honest = window.iter().filter(|(site, fate)| openers.contains(*site) && !fate.lies);
        let (honest, needed) = (honest.count(), t + if spoilers.is_empty() { 0 } else { free });
        if honest < needed {
            let missing = named(&window, |site, fate| unheard(site, fate).or_else(|| lies(fate)));
            return lacks(OPENINGS, honest, needed, missing);
        }
        let spoilers = spoilers.into_iter().map(|(site, _)| (*site).clone()).collect();
        self.trust = judged.trust;
        self.trust.bar(&spoilers);
        Ok(())
    }
}

const REVIEWS: &str = "key holders whose reviews count";
const ENDORSEMENTS: &str = "key holders that endorse the round's closing";
const OPENINGS: &str = "key holders whose openings are true and count";

/// The sites that something is to be said of.
fn named<'a>(
    sites: &[(&'a SiteId, Fate)],
    reason: impl Fn(&'a SiteId, Fate) -> Option<&'static str>,
) -> Vec<String> {
    let said = |(site, fate): &(&'a SiteId, Fate)| Some(format!("{site} {}", reason(site, *fate)?));
    sites.iter().filter_map(said).collect()
}

/// The reviews of the holders that make one. Words are taken relative to the dealer's polynomials, so
/// that those of a sound share are zero; a bad dealer cheats the holders that
/// [`Misdeed`](crate::liar::Misdeed) says.
fn reviews(
    window: &[(&SiteId, Fate)],
    dealers: &[(&SiteId, Fate)],
    collusion: u16,
) -> Vec<Reviewed> {
    let answer = |holder: &SiteId, place: usize, (dealer, fate): (&SiteId, Fate)| {
        let mut others = window.iter().filter(|(site, _)| *site != dealer);
        let victim = others.position(|(site, _)| *site == holder);
        match victim.filter(|_| fate.deals_badly) {
            Some(victim) if victim < collusion.into() => {
                // Off by something else at each holder.
                let off = |factor: u64| (place as u64 + 2).wrapping_mul(factor) >> 1;
                Answer::Masked([off(0x9e37_79b9_7f4a_7c15), off(0xd1b5_4a32_d192_ed03)])
            }
            Some(victim) if victim == usize::from(collusion) => Answer::NoShare,
            _ => Answer::Masked([0, 0]),
        }
    };
    let there = window.iter().enumerate().filter(|(_, (_, fate))| !fate.absent && !fate.silent);
    there
        .map(|(place, (holder, _))| Reviewed {
            holder: (*holder).clone(),
            answers: dealers.iter().map(|dealer| answer(holder, place, *dealer)).collect(),
        })
        .collect()
}
