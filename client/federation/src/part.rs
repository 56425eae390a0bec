//! One site's part in a round, with what befalls it.

use std::sync::Mutex;

use anyhow::Context;
use ringfence_clock::Clock;
use ringfence_crypto::id::{ModelId, RoundNumber, SiteId, StudyId};
use ringfence_site::{Contributed, RoundEnd, Site};
use ringfence_weights::Weights;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::aggregator::{Aggregator, Flipped};
use crate::fault::Fate;
use crate::liar::{Liar, Misdeed, Rubbish, SPOILED};
use crate::plain::Plain;

/// What the parts of all sites in a round share.
pub(crate) struct Shared<'a> {
    pub(crate) round: RoundNumber,
    pub(crate) base: ModelId,
    pub(crate) model: &'a Weights,
    pub(crate) clock: &'a Clock,
    pub(crate) study: StudyId,
    pub(crate) aggregator: &'a Aggregator,
    pub(crate) plain: Mutex<Plain>,
    /// Held until bits are flipped: the others contribute after that, so that the sum is not made
    /// before.
    pub(crate) flips: RwLock<()>,
}

/// What one site is to do.
pub(crate) struct Role<'a> {
    pub(crate) place: usize,
    pub(crate) fate: Fate,
    pub(crate) update: Update<'a>,
    pub(crate) flip: Option<RwLockReadGuard<'a, ()>>,
    /// For a site that misbehaves in some round.
    pub(crate) liar: Option<Liar<'a>>,
}

/// What a site contributes.
pub(crate) enum Update<'a> {
    /// It is not there.
    None,
    /// Nothing: it is barred.
    Barred,
    Some(&'a [f32]),
}

/// What one site did.
pub(crate) struct Part<'a> {
    pub(crate) site: &'a Site,
    pub(crate) sent: Option<Sent>,
    pub(crate) held: bool,
    pub(crate) fate: Fate,
    pub(crate) flip: Option<Flipped>,
    /// `None` for a site that vanished.
    pub(crate) end: Option<RoundEnd<'a>>,
}

/// A contribution's size, and the time from joining to its receipt.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

impl Shared<'_> {
    /// One site's part; without an update it is not there. A silent site contributes and is gone.
    pub(crate) async fn part<'s>(
        &self,
        site: &'s Site,
        role: Role<'_>,
    ) -> anyhow::Result<Part<'s>> {
        let (round, fate, liar) = (self.round, role.fate, role.liar);
        let mut part = Part { site, sent: None, held: false, fate, flip: None, end: None };
        let mut contributed = None;
        match role.update {
            Update::None => return Ok(part),
            Update::Barred => {}
            Update::Some(update) => {
                match &role.flip {
                    Some(_) => {}
                    None => drop(self.flips.write().await),
                }
                let started = self.clock.moment();
                let bytes = match liar.filter(|_| fate.spoils || fate.deals_badly) {
                    Some(liar) => self.misbehave(liar, role.place, fate, update).await,
                    None => {
                        let made = self.contribute(site, (fate, role.flip.is_some()), update).await;
                        made.map(|made| contributed.insert(made).bytes())
                    }
                };
                let bytes = bytes.with_context(|| format!("{} could not contribute", site.id()))?;
                let seconds = self.clock.moment().since(started).as_secs_f64();
                part.sent = Some(Sent { bytes, seconds });
                if let Some(guard) = role.flip {
                    part.flip = Some(self.aggregator.flip_a_bit(self.study, round, site.id())?);
                    drop(guard);
                }
            }
        }
        if fate.silent {
            return Ok(part);
        }
        if site.holds(round) {
            let held = match liar.filter(|_| fate.lies) {
                Some(liar) => liar.lie(round).await.map(|()| true),
                None => site.hold(round).await.map(|report| report.opened).map_err(Into::into),
            };
            part.held = held.with_context(|| format!("key holder {}", site.id()))?;
        }
        let end = match contributed {
            Some(contributed) => contributed.finish().await,
            None => async { site.join(round).await?.finish().await }.await,
        };
        part.end = Some(end.with_context(|| format!("site {}", site.id()))?);
        Ok(part)
    }

    async fn contribute<'s>(
        &self,
        site: &'s Site,
        (fate, flips): (Fate, bool),
        update: &[f32],
    ) -> anyhow::Result<Contributed<'s>> {
        let joined = site.join(self.round).await?;
        joined.check_origin(self.model)?;
        let add = |values: &mut dyn Iterator<Item = u32>| {
            self.add(site.id(), &values.collect::<Vec<_>>(), fate.misbehaves());
        };
        let prepared = joined.prepare(self.base, update, add).await?;
        // A bit flips in a file.
        let sent = if flips { prepared.send_in_steps().await } else { prepared.send().await };
        Ok(sent?)
    }

    /// Spoilers spoil one place each, so that one dispute does not find them all.
    async fn misbehave(
        &self,
        liar: Liar<'_>,
        place: usize,
        fate: Fate,
        update: &[f32],
    ) -> anyhow::Result<u64> {
        let collusion = usize::from(liar.site.study().threshold.collusion);
        let wrong_shares = if fate.deals_badly { collusion } else { 0 };
        let misdeed = Misdeed {
            rubbish: fate.spoils.then_some(Rubbish::Noise(SPOILED * (1 + place % 32))),
            wrong_shares,
            no_shares: usize::from(fate.deals_badly),
            wrong_check_words: false,
        };
        let sent = liar.contribute(self.round, update, misdeed).await?;
        self.add(liar.site.id(), sent.quantized.expose(), true);
        Ok(sent.bytes)
    }

    fn add(&self, site: &SiteId, quantized: &[u32], suspect: bool) {
        // A sum that another part poisoned differs from the opened one, and that is found.
        if let Ok(mut plain) = self.plain.lock() {
            plain.add(site, quantized, suspect);
        }
    }
}
