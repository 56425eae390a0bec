//! The common model for a site that comes later: sealed by a site that has it, and checked against
//! what the sites have acknowledged.

use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::Outcome;
use ringfence_keys::snapshot::{Snapshot, SnapshotBinding};
use ringfence_weights::Weights;

use crate::error::SiteError;
use crate::model;
use crate::site::Site;
use crate::transport::present;

/// What a site that comes later begins with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The first round that it takes part in.
    pub round: RoundNumber,
    /// The model that the round starts from.
    pub model: Weights,
    /// What the mean step remembers, in its own order.
    pub memory: Vec<f64>,
}

impl Site {
    /// Sites of the newest roster that were not on the one before it: each needs a snapshot.
    pub fn newcomers(&self) -> Vec<SiteId> {
        let Some(earlier) = &self.earlier else { return Vec::new() };
        let roster = self.study.roster.iter().map(|entry| &entry.id);
        roster.filter(|id| earlier.study.site(id).is_none()).cloned().collect()
    }

    /// Those to whom this site is to seal the common model before a round, the first under its roster: of
    /// all sites the first c + 1 on the round's ring do so, one of which is honest.
    pub fn seals_to(&self, round: RoundNumber) -> Vec<SiteId> {
        let newcomers = match round == self.first_round() && self.takes_part(round).is_ok() {
            true => self.newcomers(),
            false => return Vec::new(),
        };
        let window = self.study.window(round).into_iter().filter(|id| !newcomers.contains(id));
        let mut first = window.take(usize::from(self.study.threshold.collusion) + 1);
        match first.any(|id| id == *self.id()) {
            true => newcomers,
            false => Vec::new(),
        }
    }

    /// Whether this site has come with its roster, and does not know the check keys of those before: a
    /// snapshot brings them.
    pub fn lacks_check_keys(&self) -> bool {
        self.is_own && self.earlier.as_ref().is_some_and(|earlier| earlier.check_key.is_none())
    }

    /// Seals the model after a round to a site that has come, and sends it. Enough sites must have
    /// acknowledged the model.
    ///
    /// # Errors
    /// [`SiteError::NotAgreed`] for another model; [`SiteError::NotOnRoster`].
    pub async fn send_snapshot(
        &self,
        to: &SiteId,
        (round, model, memory): (RoundNumber, &Weights, Vec<f64>),
    ) -> Result<(), SiteError> {
        let member = self.study.site(to);
        let member = member.ok_or_else(|| SiteError::NotOnRoster(to.clone()))?;
        self.agreed(round.next(), model::id(model)).await?;
        let mut check_keys = Vec::new();
        // By its name another site may have been on them, or this one with keys that are lost.
        for site in self.all().filter(|site| site.study.site(to) != Some(member)) {
            check_keys.push((site.epoch, site.copied_check_key()?));
        }
        let snapshot = Snapshot { check_keys, model: model.values().collect(), memory };
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        let binding = self.binding(round, self.id(), to);
        let sealed = snapshot.seal(&member.kem_key, &binding, &mut rng)?;
        Ok(self.at(round).put_snapshot(to, self.id(), &sealed).await?)
    }

    /// The model after a round, from whichever site has sealed it to this one, once it is the one that
    /// enough sites have acknowledged. With this site, which knows the check keys of the rosters before.
    ///
    /// `fits` says whether what the mean step is to remember can be so; another's is looked at where not.
    ///
    /// # Errors
    /// [`SiteError::NoSnapshot`] where there is none that holds, and why.
    pub async fn fetch_snapshot(
        &self,
        round: RoundNumber,
        fits: impl Fn(&Start) -> Result<(), String>,
    ) -> Result<(Self, Start), SiteError> {
        let (mut found, mut to_come) = (Vec::new(), None);
        for entry in &self.study.roster {
            let (from, to) = (&entry.id, self.id());
            if from == to {
                continue;
            }
            let sealed = match present(self.at(round).snapshot(to, from).await) {
                Ok(Some(sealed)) => sealed,
                Ok(None) => continue,
                // All of them are asked for in one bundle.
                Err(error) if error.is_by_hand() => {
                    to_come = Some(error);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            match self.opened_snapshot((round, from), &sealed).await {
                Ok((site, start)) => match fits(&start) {
                    Ok(()) => return Ok((site, start)),
                    Err(reason) => found.push(format!("that of {from}: {reason}")),
                },
                Err(SiteError::Transport(error)) if !error.is_refusal() => return Err(error.into()),
                Err(error) => found.push(format!("that of {from}: {error}")),
            }
        }
        if let Some(error) = to_come {
            return Err(error.into());
        }
        let found = if found.is_empty() { "there is none".to_owned() } else { found.join("; ") };
        Err(SiteError::NoSnapshot { round, found })
    }

    async fn opened_snapshot(
        &self,
        (round, from): (RoundNumber, &SiteId),
        sealed: &[u8],
    ) -> Result<(Self, Start), SiteError> {
        let binding = self.binding(round, from, self.id());
        let Snapshot { check_keys, model, memory } =
            Snapshot::open(&self.identity, &binding, sealed)?;
        for (epoch, key) in &check_keys {
            let of = self.all().find(|site| site.epoch == *epoch && !site.is_own);
            // Another key than the one that the roster committed to is none.
            if of.is_some_and(|of| of.study.check_key.commitment == key.commitment()) {
                self.journal.save_check_key(self.first_study, *epoch, key)?;
            }
        }
        let site = self.again()?;
        let tensors = site.study.layout.tensors.iter();
        let shapes: Vec<(String, Vec<usize>)> = tensors
            .map(|tensor| {
                (tensor.name.clone(), tensor.shape.iter().map(|side| *side as usize).collect())
            })
            .collect();
        let model = Weights::from_values(&shapes, model)
            .map_err(|error| SiteError::SnapshotModel(error.to_string()))?;
        site.acknowledged(round.next(), &model).await?;
        Ok((site, Start { round: round.next(), model, memory }))
    }

    /// Refuses a model that fewer than Q sites acknowledged last before a round.
    async fn acknowledged(&self, round: RoundNumber, model: &Weights) -> Result<(), SiteError> {
        let id = model::id(model);
        let Some((last, closing)) = self.last_opened(round).await? else {
            let expected = self.study.initial_model;
            return match id == expected {
                true => Ok(()),
                false => Err(SiteError::NotInitialModel { expected, got: id }),
            };
        };
        let of = self.for_round(last);
        let own = Outcome::Applied { model: of.check_key()?.model(&id) };
        let needed = of.study.threshold.endorsements;
        let agreeing = of.agreeing(last, closing, &own).await?;
        match agreeing >= needed.into() {
            true => Ok(()),
            false => Err(SiteError::NotAgreed { round: last, needed, agreeing }),
        }
    }

    fn binding(&self, round: RoundNumber, from: &SiteId, to: &SiteId) -> SnapshotBinding {
        let study = self.first_study;
        SnapshotBinding { study, round, from: from.clone(), to: to.clone() }
    }
}
