//! A site's part in a round as a long-running process plays it: waiting and repeating as long as its
//! patience says, and going on with the others where it cannot contribute.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::id::{ModelId, RoundNumber, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use ringfence_weights::Weights;
use tokio::sync::oneshot;

use crate::contribute::Sealing;
use crate::done::{Done, RoundEnd};
use crate::error::SiteError;
use crate::event::Event;
use crate::model;
use crate::site::Site;

/// What a site has to contribute to a round.
#[derive(Debug)]
pub enum Own {
    /// Nothing; why was told.
    Nothing,
    /// What is on disk since an earlier start, and is sent as it is.
    OnDisk,
    /// The update that it trained, values in layout order.
    Trained(Vec<f32>),
}

/// One site that takes part in all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Participation<'a> {
    /// The site.
    pub site: &'a Site,
    /// Seconds that a round which this site opens takes contributions.
    pub round_seconds: u32,
}

impl<'a> Participation<'a> {
    /// Waits until the round is open, as it may be known to be, and opens it when that falls to this
    /// site; says at once whose turn it is, and tells `opened` once it is open.
    ///
    /// # Errors
    /// What waiting does not help against.
    pub async fn opened(
        &self,
        round: RoundNumber,
        base: ModelId,
        (known, opened): (Option<RoundStatus>, oneshot::Sender<()>),
    ) -> Result<(), SiteError> {
        let status = match known {
            Some(status) => status,
            // After a restore, it may have opened it before with another manifest.
            None if !self.may_open(round).await? => self.seen(round).await?,
            None => {
                match self.site.patiently(|| self.site.turn(round)).await {
                    Ok(turn) => {
                        self.site.tell(&Event::Turn(turn.clone()));
                        // As long as this site's turn may take to come, and its patience beyond that.
                        let wait = turn.from.since(turn.now).saturating_add(self.site.patience());
                        let end = self.site.clock().moment().after(wait);
                        tokio::select! {
                            status = self.open(round, base, (turn.from, end)) => status?,
                            status = self.seen(round) => status?,
                        }
                    }
                    // It goes on as key holder, and with the others' means.
                    Err(barred @ SiteError::Barred { .. }) => {
                        let reason = barred.to_string();
                        self.site.tell(&Event::NotContributing { round, reason });
                        self.seen(round).await?
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let RoundStatus { initiator, deadline, .. } = status;
        self.site.tell(&Event::RoundOpened { round, initiator, deadline });
        // Whoever waits for it has gone where this is not heard.
        let _ = opened.send(());
        Ok(())
    }

    /// Opens the round in this site's turn. A refusal is an error, unless another site that may open
    /// the round was faster.
    async fn open(
        &self,
        round: RoundNumber,
        base: ModelId,
        (from, end): (UnixSeconds, Moment),
    ) -> Result<RoundStatus, SiteError> {
        let seconds = self.round_seconds;
        // Again and again: the time of day may be set meanwhile.
        while self.site.clock().now() < from && self.site.clock().moment() < end {
            self.pause().await;
        }
        loop {
            let opened = self.site.patiently(|| self.site.initiate(round, base, seconds)).await;
            let now = self.site.clock().moment();
            match opened {
                Err(error @ SiteError::OutOfTurn { .. }) if now < end => {
                    let until = self.site.clock().now().after(end.since(now).as_secs());
                    self.site.tell(&Event::Repeating { reason: error.to_string(), until });
                }
                opened => return opened,
            }
        }
    }

    /// Waits until somebody who may has opened the round. Ends with what waits beside it.
    async fn seen(&self, round: RoundNumber) -> Result<RoundStatus, SiteError> {
        loop {
            if let Some(status) = self.site.patiently(|| self.site.opened_soon(round)).await? {
                return Ok(status);
            }
            self.site.attend().await?;
        }
    }

    /// A holder's duties. What stands in their way concerns this holder alone, and is told: the others'
    /// shares do without it up to the study's bound, so that this site's own part goes on.
    pub async fn hold(&self, round: RoundNumber) {
        let trouble = |reason| self.site.tell(&Event::HolderTrouble { round, reason });
        match self.site.patiently(|| self.site.hold(round)).await {
            Ok(report) => {
                for complaint in &report.complaints {
                    trouble(format!("complained: {complaint}"));
                }
                for dealer in &report.cheated_by {
                    trouble(format!("{dealer} dealt no share; the others open without it"));
                }
            }
            Err(error) => trouble(error.to_string()),
        }
    }

    /// Whether the privacy budget suffices for a round, where the study has one. Where it does not,
    /// this site trains no more and goes on as key holder, and with the others' means.
    ///
    /// # Errors
    /// What does not keep this site out of this round alone.
    pub async fn affords(&self, round: RoundNumber) -> Result<bool, SiteError> {
        match self.site.patiently(|| async { self.site.check_budget(round) }).await {
            Ok(_) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Whether this site may open a round, or train for one that it does not see yet: see
    /// [`check_abstention`](Site::check_abstention). Where it may not, it goes on with the others'
    /// means.
    ///
    /// # Errors
    /// As for [`Participation::affords`].
    pub async fn may_open(&self, round: RoundNumber) -> Result<bool, SiteError> {
        match self.site.check_abstention(round) {
            Ok(()) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Whether a round that is open takes a contribution of this site. Where it does not, nothing is
    /// trained for it; this site goes on as key holder, and with the others' means.
    ///
    /// # Errors
    /// As for [`Participation::affords`].
    pub async fn is_taken(&self, round: RoundNumber, base: ModelId) -> Result<bool, SiteError> {
        if self.site.has_contribution(round)? {
            return Ok(true);
        }
        match self.site.patiently(|| self.site.check_takes(round, base)).await {
            Ok(()) => Ok(true),
            Err(error) => self.site.refrain(error, (round, false)).await.map(|()| false),
        }
    }

    /// Contributes what it has, if it is not too late, and opens what comes of the round; repeated while
    /// only waiting helps. Answers with how the contribution's shares were sealed, if there is one.
    /// `sent` is shown the integers that are encrypted, as in
    /// [`Joined::contribute`](crate::Joined::contribute).
    ///
    /// # Errors
    /// What waiting does not help against.
    pub async fn take_part(
        &self,
        round: RoundNumber,
        base: &Weights,
        own: &Own,
        sent: &(dyn Fn(&mut dyn Iterator<Item = u32>) + Sync),
    ) -> Result<(RoundEnd<'a>, Option<Sealing>), SiteError> {
        self.site.patiently(|| self.try_part(round, base, own, sent)).await
    }

    async fn try_part(
        &self,
        round: RoundNumber,
        base: &Weights,
        own: &Own,
        sent: &(dyn Fn(&mut dyn Iterator<Item = u32>) + Sync),
    ) -> Result<(RoundEnd<'a>, Option<Sealing>), SiteError> {
        let site = self.site;
        let joined = site.join(round).await?;
        let update: &[f32] = match own {
            Own::Nothing => return Ok((joined.finish().await?, None)),
            // Not looked at: what is on disk is sent.
            Own::OnDisk => &[],
            Own::Trained(update) => update,
        };
        joined.check_origin(base)?;
        match joined.contribute(model::id(base), update, sent).await {
            Ok(contributed) => {
                let sealing = contributed.sealing().clone();
                site.tell(&Event::Contributed {
                    round,
                    bytes: contributed.bytes(),
                    clipped: contributed.clipping().map(ToString::to_string),
                    sealing: sealing.clone(),
                });
                Ok((contributed.finish().await?, Some(sealing)))
            }
            Err(error) => {
                site.refrain(error, (round, true)).await?;
                Ok((site.join(round).await?.finish().await?, None))
            }
        }
    }

    /// Says which model this site holds after a round, whose mean is on disk. Where the answer is lost,
    /// the round is opened again to say so.
    ///
    /// # Errors
    /// What waiting does not help against; the `Ok` within says why it could not be said again, which
    /// the next start does.
    pub async fn acknowledge(
        &self,
        done: Done<'_>,
        model: ModelId,
    ) -> Result<Result<(), SiteError>, SiteError> {
        let round = done.round();
        match done.acknowledge(model).await {
            Ok(()) => Ok(Ok(())),
            Err(error) if error.is_transient() => Ok(self.acknowledge_again(round, model).await),
            Err(error) => Err(error),
        }
    }

    /// After a restart: the last round may have been opened and not acknowledged, and the others wait
    /// for that. Acknowledging twice does no harm.
    ///
    /// # Errors
    /// What waiting does not help against.
    pub async fn acknowledge_again(
        &self,
        round: RoundNumber,
        model: ModelId,
    ) -> Result<(), SiteError> {
        let again = || async {
            match self.site.join(round).await?.finish().await? {
                RoundEnd::Done(done) => done.acknowledge(model).await,
                RoundEnd::Aborted(_) => Ok(()),
            }
        };
        self.site.patiently(again).await
    }

    /// Answers restored sites as long as a round takes: they need it while this site trains, too.
    pub async fn attend(&self) -> Infallible {
        // What is wrong with this site's own files is met and said by the round's own steps.
        while self.site.attend().await.is_ok() {
            self.site.rest_between_answers().await;
        }
        pending().await
    }

    /// Between two looks at what changes without a sign.
    async fn pause(&self) {
        self.site.clock().sleep(Duration::from_secs(1)).await;
    }
}
