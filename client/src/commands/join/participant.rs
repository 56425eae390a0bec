//! One site at work in its rounds.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringfence_crypto::id::RoundNumber;
use ringfence_durable::advice_on_room;
use ringfence_exit::failure;
use ringfence_learning::{SiteData, TrainingPlan};
use ringfence_site::{Done, Own, Participation, RoundEnd, Site, SiteError, model};
use ringfence_weights::Weights;
use tokio::sync::oneshot;

use super::opened::OpenedRound;
use super::output::Output;
use super::said::Said;
use super::state::State;
use super::stop::Writes;
use super::{report, training};
use crate::commands::study::given_up_in_words;

/// The pause between two looks at whether an epoch is made.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The pause between two looks at whether others have gone on without it.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(10);

/// One site at work.
#[derive(Clone, Copy)]
pub(super) struct Participant<'a> {
    pub(super) site: &'a Site,
    pub(super) plan: &'a TrainingPlan,
    pub(super) data: &'a Arc<SiteData>,
    /// Seconds that a round which this site opens takes contributions.
    pub(super) round_seconds: u32,
    /// Whether it trains on images with the shadow defence's noise.
    pub(super) defended: bool,
    /// Where what is said goes; the site's own events go there, too.
    pub(super) out: &'a Output,
    /// The training's writes.
    pub(super) writes: &'a Writes,
    /// What has failed while the duty as key holder goes on.
    pub(super) failed: &'a Failed,
}

/// This site's own part that has failed, with its round: what ends the command says it again.
#[derive(Debug, Default)]
pub(super) struct Failed(Mutex<Option<(RoundNumber, String)>>);

impl Failed {
    fn set(&self, round: RoundNumber, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((round, reason));
    }

    /// Why it has failed, if it has in this round.
    pub(super) fn of(&self, round: RoundNumber) -> Option<String> {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(of, _)| *of == round).map(|(_, reason)| reason.clone())
    }
}

impl Participant<'_> {
    /// Asks the server who it is, before anything is sent to it; whether this site's rounds can be
    /// charged to its privacy ledger, and what it has signed that the ledger does not know.
    pub(super) async fn meet(&self) -> Result<(), SiteError> {
        self.patiently(|| self.site.meet()).await?;
        self.patiently(|| async { self.site.check_ledger() }).await?;
        self.patiently(|| self.site.compare_ledger_with_log()).await
    }

    /// One round: this site trains while it answers as key holder, where it is one. Whether its
    /// contribution came in time to a round that was opened: such a round takes as long as others will.
    pub(super) async fn round(&self, state: &mut State) -> anyhow::Result<bool> {
        let (round, taking) = (state.next(), self.participation());
        self.until_epoch_is_made(round).await?;
        self.site.check_unspent(round, state.model())?;
        self.out.say(&Said::RoundBegun { round, rounds: self.plan.rounds });
        self.patiently(|| self.site.publish_round_keys()).await?;
        let base = model::id(state.model());
        let known = self.patiently(|| self.site.opened(round)).await?;
        let is_known = known.is_some();
        let (opened, is_open) = oneshot::channel();
        let part = async {
            // A round that cannot be opened ends it at once: nobody waits for a training in vain. Nor
            // is one begun for a round that is open and takes nothing of this site, nor beyond its
            // budget: of a round that is over the budget says nothing any more.
            let own = async {
                if is_known && !taking.is_taken(round, base).await? {
                    return Ok(Own::Nothing);
                }
                // Of one that is open the manifest has said so already.
                if !taking.may_open(round).await? || !taking.affords(round).await? {
                    return Ok(Own::Nothing);
                }
                match self.site.has_contribution(round)? {
                    true => Ok(Own::OnDisk),
                    false => training::update(self, state).await.map(Own::Trained),
                }
            };
            let opening = async {
                let opened = taking.opened(round, base, (known, opened)).await;
                opened.map_err(anyhow::Error::from)
            };
            let ((), own) = tokio::try_join!(opening, own)?;
            let is_trained = matches!(own, Own::Trained(_));
            let (end, sealing) = taking.take_part(round, state.model(), &own, &|_| ()).await?;
            anyhow::Ok((end, sealing, is_trained))
        };
        let duty = async {
            // No word comes when the round cannot be opened: there is nothing to hold then.
            if self.site.holds(round) && is_open.await.is_ok() {
                taking.hold(round).await;
            }
        };
        let (end, sealing, is_trained) = tokio::select! {
            biased;
            ended = self.both(round, part, duty) => ended?,
            never = taking.attend() => match never {},
        };
        // One that was trained and came too late has none.
        let took_part = is_trained && sealing.is_some();
        if let Some(sealing) = sealing {
            report::record_sealing(self.out, state, round, &sealing)?;
        }
        match end {
            RoundEnd::Aborted(abort) => {
                self.out.say(&Said::Aborted(&abort));
                state.aborted()?;
                return Ok(false);
            }
            RoundEnd::Done(mut done) => {
                if let Some(reason) = &done.left_out {
                    self.out.say(&Said::LeftOut { round, reason: reason.to_string() });
                }
                for (holder, reason) in &done.unusable {
                    self.out.say(&Said::UnusableOpening { round, holder, reason });
                }
                let opened = OpenedRound::of(round, &done);
                self.out.say(&Said::Opened(&opened));
                report::record(self.out, state, opened)?;
                let mean = Weights::from_values(&state.model().shapes(), done.take_mean())?;
                state.opened(&mean)?;
                self.acknowledge(done, state).await?;
            }
        }
        Ok(took_part)
    }

    /// In the first round under a roster, seals the common model to the sites that have come with it.
    pub(super) async fn seal_to_newcomers(&self, state: &State) {
        let (site, round) = (self.site, state.next());
        let Some(last) = round.before() else { return };
        for to in &site.seals_to(round) {
            let sent =
                || async { site.send_snapshot(to, (last, state.model(), state.memory())).await };
            let text = match self.patiently(sent).await {
                Ok(()) => format!("sealed the model after round {last} to {to}, which has come"),
                Err(error) => format!("{to} has no model after round {last} of this site: {error}"),
            };
            self.out.say(&Said::Remark { text });
        }
    }

    /// Refuses a round that this site has no part in. One that it must not take part in before an epoch is
    /// made, which it has signed, is waited for, within its patience.
    async fn until_epoch_is_made(&self, round: RoundNumber) -> Result<(), SiteError> {
        let clock = self.site.clock();
        let end = clock.moment().after(self.site.patience());
        let (mut said, mut looked) = (false, None);
        while let Err(error) = self.site.takes_part(round) {
            let SiteError::EpochPending { .. } = &error else { return Err(error) };
            if clock.moment() >= end {
                return Err(error);
            }
            if !std::mem::replace(&mut said, true) {
                self.out.say(&Said::Remark { text: format!("waiting: {error}") });
            }
            if looked.is_none_or(|last| clock.moment().since(last) >= LOOK_FOR_OTHERS) {
                looked = Some(clock.moment());
                if let Some(epoch) = self.patiently(|| self.site.give_up_epoch()).await? {
                    self.out.say(&Said::Remark { text: given_up_in_words(epoch) });
                    continue;
                }
            }
            self.site.attend().await?;
            clock.sleep(LOOK_AGAIN).await;
            // Once it is made, this says so.
            self.patiently(|| self.site.next_round()).await?;
        }
        Ok(())
    }

    /// Ends when this site's own part in a round and its duty as key holder have: the others depend on
    /// the duty also where the part has failed. That is said at once, for a round may take hours.
    async fn both<T>(
        &self,
        round: RoundNumber,
        part: impl Future<Output = anyhow::Result<T>>,
        duty: impl Future<Output = ()>,
    ) -> anyhow::Result<T> {
        let (mut part, mut duty) = (pin!(part), pin!(duty));
        let ended = tokio::select! {
            biased;
            ended = &mut part => ended,
            () = &mut duty => return part.await,
        };
        let Err(error) = &ended else {
            duty.await;
            return ended;
        };
        tokio::select! {
            biased;
            // There is none, or it has ended, too: what the command ends with says it all.
            () = &mut duty => return ended,
            () = std::future::ready(()) => {}
        }
        let reason = failure(error.as_ref(), advice_on_room);
        self.failed.set(round, reason.clone());
        self.out.say_error(&Said::PartFailed { round, reason });
        duty.await;
        ended
    }

    /// After a restart: the last round may have been opened and not acknowledged.
    pub(super) async fn acknowledge_again(&self, state: &State) {
        let Some(last) = state.next().before() else { return };
        let site = self.site.for_round(last);
        if site.takes_part(last).is_err() {
            return;
        }
        let of = Participation { site, ..self.participation() };
        let again = of.acknowledge_again(last, model::id(state.model())).await;
        self.tell_acknowledged(last, again);
    }

    async fn acknowledge(&self, done: Done<'_>, state: &State) -> anyhow::Result<()> {
        let round = done.round();
        let said = self.participation().acknowledge(done, model::id(state.model())).await?;
        self.tell_acknowledged(round, said);
        Ok(())
    }

    fn tell_acknowledged(&self, round: RoundNumber, said: Result<(), SiteError>) {
        if let Err(error) = said {
            self.out.say(&Said::NotAcknowledged { round, reason: error.to_string() });
        }
    }

    fn participation(&self) -> Participation<'_> {
        Participation { site: self.site, round_seconds: self.round_seconds }
    }

    pub(super) async fn patiently<T, F>(&self, step: impl FnMut() -> F) -> Result<T, SiteError>
    where
        F: Future<Output = Result<T, SiteError>>,
    {
        self.site.patiently(step).await
    }
}
