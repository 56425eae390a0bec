//! What a replay comes to: noted from outside, so that no crash of a site forgets it, and held against
//! what must be so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::statement::Study;
use ringfence_keys::open::OpenedSum;
use ringfence_keys::update::quantize;
use ringfence_site::{Done, Event};
use serde::Serialize;

/// What is counted of one replay.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Counts {
    /// Times a site's line was cut.
    pub cuts: u32,
    /// Of those, with a request whose answer was lost, or of which half came.
    pub cut_requests: u32,
    /// Times a site was killed.
    pub kills: u32,
    /// Of those, by a power cut.
    pub power_cuts: u32,
    /// Times the aggregator was killed.
    pub aggregator_kills: u32,
    /// Sites that were gone for good.
    pub dead: u32,
    /// Local epochs that were trained, again or for the first time.
    pub epochs: u32,
    /// Those that were trained again.
    pub epochs_again: u32,
    /// Means that were opened, one for each site and round.
    pub means: u32,
    /// Of those, the ones that are not the plain mean.
    pub wrong_means: u32,
    /// Rounds that ended without a mean.
    pub aborted: u32,
    /// Contributions of living sites that are in no mean.
    pub left_out: u32,
    /// Sites that another one named, or complained of.
    pub named: u32,
    /// The longest that a round waited for a dead site after all others had contributed, in seconds,
    /// but for the two rounds after which it counts as gone.
    pub dead_site_cost: u64,
    /// The same for a dead key holder's review, after those of all others.
    pub dead_holder_cost: u64,
    /// How long the study took by the mock clock, in hours.
    pub hours: f64,
}

/// What came at the aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Contribution,
    Review,
}

/// One round as it was seen.
#[derive(Debug, Default)]
struct Round {
    /// What each site encrypted, when it did so last.
    sent: BTreeMap<SiteId, Vec<u32>>,
    /// When the last contribution came, and the last review.
    received: UnixSeconds,
    reviewed: UnixSeconds,
    /// The sites in the opened set.
    opened: Option<BTreeSet<SiteId>>,
}

#[derive(Debug, Default)]
struct Noted {
    rounds: BTreeMap<u32, Round>,
    /// How often each epoch was begun, by site and round.
    epochs: BTreeMap<(usize, u32, u32), u32>,
    counts: Counts,
    /// How often each site was killed.
    kills: BTreeMap<usize, u32>,
    /// Requests that were answered and change something.
    heard: u64,
    /// What sites said that is of note, at most so many lines.
    said: Vec<String>,
}

/// What is noted of one replay.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Noted>);

impl Tally {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something.
    pub(crate) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.noted().counts);
    }

    /// A site is killed.
    pub(crate) fn kill(&self, site: usize, is_power_cut: bool) {
        let mut noted = self.noted();
        *noted.kills.entry(site).or_default() += 1;
        noted.counts.kills += 1;
        noted.counts.power_cuts += u32::from(is_power_cut);
    }

    /// How often a site was killed.
    pub(crate) fn kills(&self, site: usize) -> u32 {
        self.noted().kills.get(&site).copied().unwrap_or_default()
    }

    /// A request that changes something was answered.
    pub(crate) fn hear(&self) {
        self.noted().heard += 1;
    }

    /// How many were.
    pub(crate) fn heard(&self) -> u64 {
        self.noted().heard
    }

    /// A site begins a local epoch.
    pub(crate) fn epoch(&self, site: usize, round: u32, epoch: u32) {
        *self.noted().epochs.entry((site, round, epoch)).or_default() += 1;
    }

    /// Epochs that a site has trained again.
    pub(crate) fn again(&self, site: usize) -> u32 {
        let noted = self.noted();
        let of_site = noted.epochs.iter().filter(|((of, ..), _)| *of == site);
        of_site.map(|(_, times)| times - 1).sum()
    }

    /// A site encrypts these integers. What it encrypted before has not left then, and does not.
    pub(crate) fn sent(&self, site: &SiteId, round: RoundNumber, values: Vec<u32>) {
        self.noted().rounds.entry(round.0).or_default().sent.insert(site.clone(), values);
    }

    /// The aggregator has a contribution to a round, or a review.
    pub(crate) fn came(&self, round: u32, what: Came, now: UnixSeconds) {
        let mut noted = self.noted();
        let round = noted.rounds.entry(round).or_default();
        match what {
            Came::Contribution => round.received = now,
            Came::Review => round.reviewed = now,
        }
    }

    /// When the last contribution to a round came, and the last review.
    pub(crate) fn last_came(&self, round: RoundNumber) -> (UnixSeconds, UnixSeconds) {
        let noted = self.noted();
        let seen = noted.rounds.get(&round.0);
        seen.map(|seen| (seen.received, seen.reviewed)).unwrap_or_default()
    }

    /// A site says something.
    pub(crate) fn said(&self, site: &SiteId, now: UnixSeconds, event: &Event) {
        let mut noted = self.noted();
        match event {
            Event::TooLate { .. } | Event::NotContributing { .. } => {
                noted.counts.left_out += 1;
            }
            Event::HolderTrouble { .. } => {}
            _ => return,
        }
        let line = format!("{} {site}: {event:?}", now.utc());
        if noted.said.len() < 200 {
            noted.said.push(line);
        }
    }

    /// What was said of note.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.noted().said.clone()
    }

    /// A site opened a round: the set must be that of all others, and the sum and the mean the plain
    /// ones, bit for bit.
    ///
    /// # Errors
    /// What is not so.
    pub(crate) fn opened(
        &self,
        site: &SiteId,
        done: &Done<'_>,
        study: &Study,
    ) -> anyhow::Result<()> {
        let mut noted = self.noted();
        let Noted { rounds, counts, .. } = &mut *noted;
        let number = done.round();
        let round = rounds.entry(number.0).or_default();
        let set: BTreeSet<SiteId> = done.sites().cloned().collect();
        ensure!(
            round.opened.as_ref().is_none_or(|known| *known == set),
            "round {number}: {site} opened the set {set:?}, others {:?}",
            round.opened
        );
        let mut plain = vec![0u64; study.layout.values()];
        for member in &set {
            let sent = round.sent.get(member);
            let sent = sent.with_context(|| format!("round {number}: {member} sent nothing"))?;
            plain.iter_mut().zip(sent).for_each(|(sum, value)| *sum += u64::from(*value));
        }
        let expected = quantize::mean(&plain, set.len(), &study.layout, &study.packing);
        let bits = |mean: &[f32]| mean.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let opened = done.sums().map(OpenedSum::sums);
        let is_plain = opened == Some(plain.as_slice()) && bits(&done.mean()) == bits(&expected);
        round.opened = Some(set);
        counts.means += 1;
        counts.wrong_means += u32::from(!is_plain);
        let findings = done.findings();
        let is_clean = findings.is_empty() && done.unusable.is_empty();
        counts.named += u32::from(!is_clean);
        ensure!(is_plain, "round {number}: {site} opened {opened:?}, plainly {plain:?}");
        ensure!(is_clean, "round {number}: {site} found {findings:?}, {:?}", done.unusable);
        Ok(())
    }

    /// The sets that were opened, by round.
    pub(crate) fn sets(&self) -> BTreeMap<u32, BTreeSet<SiteId>> {
        let noted = self.noted();
        let opened = |(round, seen): (&u32, &Round)| Some((*round, seen.opened.clone()?));
        noted.rounds.iter().filter_map(opened).collect()
    }

    /// The counts, when all is over.
    pub(crate) fn counts(&self, took: Duration) -> Counts {
        let noted = self.noted();
        let times = noted.epochs.values();
        let epochs: u32 = times.clone().sum();
        Counts {
            epochs,
            epochs_again: times.map(|times| times - 1).sum(),
            hours: took.as_secs_f64() / 3600.0,
            ..noted.counts.clone()
        }
    }
}
