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
        for site in self.all().filter(|site| site.study.site(to).is_none()) {
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
    /// # Errors
    /// [`SiteError::NoSnapshot`] where there is none that holds, and why.
    pub async fn fetch_snapshot(&self, round: RoundNumber) -> Result<(Self, Start), SiteError> {
        let mut found = Vec::new();
        for entry in &self.study.roster {
            let (from, to) = (&entry.id, self.id());
            if from == to {
                continue;
            }
            let Some(sealed) = present(self.at(round).snapshot(to, from).await)? else { continue };
            match self.opened_snapshot((round, from), &sealed).await {
                Ok(start) => return Ok(start),
                Err(error) => found.push(format!("that of {from}: {error}")),
            }
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
