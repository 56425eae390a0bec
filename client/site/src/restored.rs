//! After a restore from a backup: how far this site abstains is what the other sites sign, or a number
//! that an operator gives, and never what the aggregator says.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ringfence_clock::Moment;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Epoch, HasSigned, RestoreRequest, SignedEpoch, Standing};
use ringfence_keys::duties::abstention::Abstention;
use ringfence_keys::duties::contributor::RuleError;
use ringfence_keys::duties::restored::{self, Recalled, recall};
use ringfence_words::listed;

use crate::error::SiteError;
use crate::event::Event;
use crate::journal::RestoreRecord;
use crate::site::{LOOK_AGAIN, Site};
use crate::transport::present;

/// How a restored site comes to know how far it abstains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreRun {
    /// By a new question to the other sites: after every restore.
    Ask,
    /// By the question of an earlier run that was not answered in time. Never after another restore:
    /// the answers might be of before it.
    Continue,
}

/// How often a site that waits asks whether another one was restored and waits for its answer.
const ANSWER_EVERY: Duration = Duration::from_secs(10);

/// What this site did last for those that were restored.
#[derive(Debug, Default)]
pub(crate) struct Answering {
    /// When it last asked who they are.
    asked: Mutex<Option<Moment>>,
    /// The question of each that was answered, and told of: it is answered again and again, for the
    /// aggregator forgets answers when it is started again.
    told: Mutex<BTreeMap<SiteId, Digest>>,
}

impl Answering {
    fn begun(&self, now: Moment) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether they are asked for again.
    pub(crate) fn is_due(&self, now: Moment) -> bool {
        let last = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| now.since(last) >= ANSWER_EVERY)
    }

    /// How long they need not be asked for.
    fn rests(&self, now: Moment) -> Duration {
        let last = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        last.map_or(Duration::ZERO, |last| ANSWER_EVERY.saturating_sub(now.since(last)))
    }

    /// Whether a site has not been told of with this question.
    fn is_news(&self, site: &SiteId, request: Digest) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(site.clone(), request) != Some(request)
    }
}

impl Site {
    /// Asks the other sites how far they know the study to be, waits for their signed answers within
    /// this site's patience, and abstains through one round more. Until then, and after an error, it
    /// takes part in no round at all.
    ///
    /// # Errors
    /// [`SiteError::RestoreUnanswered`] names who has answered and who is missing.
    pub async fn restored(&self, run: RestoreRun) -> Result<RoundNumber, SiteError> {
        let request = match run {
            RestoreRun::Ask => self.ask()?,
            RestoreRun::Continue => {
                let open = self.journal.restores(self.first_study)?.pop();
                let open = open.filter(|record| record.through.is_none());
                open.and_then(|record| record.request).ok_or(SiteError::NoRestoreRequest)?
            }
        };
        // It is noted before a server is asked: one that is away, or a stranger, forgets it for nobody.
        self.meet().await?;
        let end = self.clock.moment().after(self.patience);
        loop {
            // Again and again: the aggregator forgets requests when it is started again.
            self.transport.put_restore_request(self.first_study, &request).await?;
            let of = (self.first_study, self.id());
            let answers = present(self.transport.standings(of.0, of.1).await)?.unwrap_or_default();
            self.keep_shown(&answers)?;
            let recalled = self.recalled(&request, &answers).await;
            if let Some(through) = recalled.through {
                self.recall_epoch().await?;
                // Whatever this site still knows, it must not sign again either.
                let through = self.least_through()?.map_or(through, |least| through.max(least));
                self.note(request.statement.restored_at, Some(request), Some(through))?;
                return Ok(through);
            }
            if !recalled.can_suffice() || self.clock.moment() >= end {
                return Err(SiteError::RestoreUnanswered(Box::new(recalled)));
            }
            self.clock.sleep(LOOK_AGAIN).await;
        }
    }

    /// Looks for a signature of the study's next epoch that this site has made and does not know of: its
    /// state came from a backup. The aggregator keeps it with what is proposed, and other sites, who do not
    /// lie with it, say so in their answers to this site's last restore request. From then on it binds
    /// this site as any that it has signed. Answers with the epoch's number where one was found now.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator does not answer.
    pub async fn recall_epoch(&self) -> Result<Option<u32>, SiteError> {
        let (first, site) = (self.first_study, self.id());
        let proposed = present(self.transport.proposed_epochs(first).await)?.unwrap_or_default();
        let key = self.identity.public().signature_key;
        let shown = proposed.iter().filter_map(|signed| signed.signed_by(site, &key));
        let by_proposals = self.keep_signed(shown)?;
        let asked = self.journal.restores(first)?.into_iter().any(|of| of.request.is_some());
        let answers = match asked {
            true => present(self.transport.standings(first, site).await)?.unwrap_or_default(),
            false => Vec::new(),
        };
        Ok(self.keep_shown(&answers)?.or(by_proposals))
    }

    /// Keeps what answers show of this site's own signatures. Whoever shows one cannot have made it up.
    fn keep_shown(&self, answers: &[Signed<Standing>]) -> Result<Option<u32>, SiteError> {
        let shown = answers.iter().filter_map(|answer| answer.statement.has_signed.as_deref());
        self.keep_signed(shown.cloned())
    }

    fn keep_signed(
        &self,
        shown: impl Iterator<Item = HasSigned>,
    ) -> Result<Option<u32>, SiteError> {
        let key = self.identity.public().signature_key;
        let number = self.epoch.saturating_add(1);
        let is_next = |epoch: &Epoch| {
            (epoch.study, epoch.before, epoch.epoch) == (self.first_study, self.study_id, number)
        };
        let own = shown.filter(|of| is_next(&of.epoch) && of.is_by(self.id(), &key));
        let Some(last) = own.max_by_key(|of| of.epoch.last_round) else { return Ok(None) };
        let known = self.journal.signed_epoch(self.first_study, number)?.map(|of| of.epoch);
        let recalled = self.journal.recalled_epoch(self.first_study, number)?.map(|of| of.epoch);
        let mut known = known.into_iter().chain(recalled);
        if known.any(|of| of == last.epoch || of.last_round > last.epoch.last_round) {
            return Ok(None);
        }
        self.journal.recall_epoch(self.first_study, &last)?;
        Ok(Some(number))
    }

    /// The next epoch that a site has signed, as its signature shows: among these that are proposed, or with
    /// the one that this site has signed.
    fn shown_of(
        &self,
        site: &SiteId,
        proposed: &[SignedEpoch],
    ) -> Result<Option<HasSigned>, SiteError> {
        let Some(member) = self.study.site(site) else { return Ok(None) };
        let own = self.journal.signed_epoch(self.first_study, self.epoch.saturating_add(1))?;
        let signed = own.iter().chain(proposed);
        let shown = signed.filter_map(|signed| signed.signed_by(site, &member.signature_key));
        Ok(shown.max_by_key(|signed| signed.epoch.last_round))
    }

    /// Abstains through a round that the operator gives: one more than the highest that any other
    /// site knows. An earlier, larger number stands: see [`Site::abstention`].
    ///
    /// # Errors
    /// [`SiteError::RestoreBeyond`] for one beyond the rounds of the study's plan: it was typed wrongly,
    /// and would never be taken back. [`SiteError::RestoreBelow`] for one that this site's own state
    /// contradicts. [`SiteError::Journal`].
    pub fn abstain(&self, through: RoundNumber) -> Result<(), SiteError> {
        self.check_through(through)?;
        self.note(self.clock.now(), None, Some(through))
    }

    /// Takes note of a restore.
    fn note(
        &self,
        restored_at: UnixSeconds,
        request: Option<Signed<RestoreRequest>>,
        through: Option<RoundNumber>,
    ) -> Result<(), SiteError> {
        let private = self.study.privacy.budget().is_some();
        let record = RestoreRecord { restored_at, request, through, private };
        Ok(self.journal.restored(self.first_study, record)?)
    }

    /// One more than the highest round that this site's own state knows; none where it knows none.
    fn least_through(&self) -> Result<Option<RoundNumber>, SiteError> {
        Ok(self.highest_round()?.map(RoundNumber::next))
    }

    /// Refuses a round that the study's plan does not have, and one with which this site would take
    /// part in a round after the highest that its own state knows: the others know that one, too, and
    /// in the next it may have signed something. A budget bounds no numbers: rounds that
    /// were aborted, and those of others, use them up and spend nothing of this site's; what is charged
    /// for them is bounded where it is charged.
    fn check_through(&self, through: RoundNumber) -> Result<(), SiteError> {
        match self.study.training.rounds() {
            Some(rounds) if through.0 > rounds => {
                return Err(SiteError::RestoreBeyond { through, rounds });
            }
            _ => {}
        }
        match self.least_through()? {
            Some(least) if through < least => Err(SiteError::RestoreBelow { through, least }),
            _ => Ok(()),
        }
    }

    /// Whether this site may open a round, or train for one that it does not see yet: after a restore
    /// it takes part in none up to the end of its abstention, and in none at all before that is known.
    ///
    /// # Errors
    /// [`SiteError::Rule`] says why not.
    pub fn check_abstention(&self, round: RoundNumber) -> Result<(), SiteError> {
        let Some(abstention) = self.abstention()? else { return Ok(()) };
        abstention.reaches_not(round).map_err(|abstains| RuleError::Abstains(abstains).into())
    }

    /// A new question, on disk before it leaves.
    fn ask(&self) -> Result<Signed<RestoreRequest>, SiteError> {
        let mut rng =
            ringfence_keys::system_rng().map_err(|e| SiteError::Randomness(e.to_string()))?;
        let restored_at = self.clock.now();
        let request = restored::request(&self.identity, self.study_id, restored_at, &mut rng);
        self.note(restored_at, Some(request.clone()), None)?;
        Ok(request)
    }

    /// What the answers come to. A round counts as certified once its certificate, fetched like any
    /// other, has passed its check.
    async fn recalled(
        &self,
        request: &Signed<RestoreRequest>,
        answers: &[Signed<Standing>],
    ) -> Recalled {
        let mut proven = Vec::new();
        for before in answers.iter().filter_map(|signed| signed.statement.round?.before()) {
            if !proven.contains(&before) && self.ended(before).await.is_ok() {
                proven.push(before);
            }
        }
        recall(&self.study, request, answers, |round| proven.contains(&round))
    }

    /// This site's abstention after restores from backups, if there were any.
    ///
    /// # Errors
    /// [`SiteError::Journal`].
    pub fn abstention(&self) -> Result<Option<Abstention>, SiteError> {
        let records = self.journal.restores(self.first_study)?;
        let last = records.last().map(|record| record.through);
        // Only the last may be open: an earlier one that was never answered is superseded by it.
        let known = records.iter().filter_map(|record| {
            let through = Some(record.through?);
            Some(Abstention { restored_at: record.restored_at, through })
        });
        let known = known.reduce(Abstention::and);
        // The last run was the latest. A time before it that lies ahead of it came from a wrong clock
        // and would shut this site out until then.
        let latest = records.last().map(|record| record.restored_at);
        let known =
            known.zip(latest).map(|(known, restored_at)| Abstention { restored_at, ..known });
        Ok(match last {
            Some(None) => records.last().map(|record| {
                let open = Abstention { restored_at: record.restored_at, through: None };
                known.map_or(open, |known| known.and(open))
            }),
            _ => known,
        })
    }

    /// Answers restored sites while this one waits for something else or trains, however long that
    /// takes; asks who they are every ten seconds at most. An aggregator that does not
    /// answer is no error here: whatever is waited for meets it, too.
    ///
    /// # Errors
    /// [`SiteError`] for what is wrong at this site.
    pub async fn attend(&self) -> Result<(), SiteError> {
        if !self.answering.is_due(self.clock.moment()) {
            return Ok(());
        }
        match self.answer_restored().await {
            Ok(_) | Err(SiteError::Transport(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sleeps until [`Site::attend`] has something to ask again, and a little at least.
    pub(crate) async fn rest_between_answers(&self) {
        let rests = self.answering.rests(self.clock.moment());
        self.clock.sleep(rests.max(LOOK_AGAIN)).await;
    }

    /// Answers the sites that were restored from backups and ask how far the study is; tells and
    /// returns them. Every site does so whenever it runs, see [`Site::attend`].
    ///
    /// # Errors
    /// [`SiteError`].
    pub async fn answer_restored(&self) -> Result<Vec<SiteId>, SiteError> {
        self.answering.begun(self.clock.moment());
        let requests = self.transport.restore_requests(self.first_study).await?;
        let asking = requests.iter().filter(|signed| {
            let RestoreRequest { study, site, .. } = &signed.statement;
            let member = self.study.site(site).filter(|_| site != self.id());
            *study == self.study_id
                && member.is_some_and(|member| signed.verify(&member.signature_key, site).is_ok())
        });
        let asking: Vec<_> = asking.collect();
        if asking.is_empty() {
            return Ok(Vec::new());
        }
        let round = self.highest_round()?;
        // A site that was restored itself may have forgotten the highest round that it has signed
        // something in: it does not answer before it knows one after those.
        if let Some(abstention) = self.abstention()? {
            let known = abstention.through.zip(round);
            if known.is_none_or(|(through, round)| round <= through) {
                return Ok(Vec::new());
            }
        }
        let proposed = self.transport.proposed_epochs(self.first_study).await;
        let proposed = present(proposed)?.unwrap_or_default();
        let mut answered = Vec::new();
        for request in asking {
            let site = &request.statement.site;
            let standing = self.identity.sign(Standing {
                study: self.study_id,
                request: request.id(),
                site: self.id().clone(),
                round,
                has_signed: self.shown_of(site, &proposed)?.map(Box::new),
            });
            match self.transport.put_standing(self.first_study, site, &standing).await {
                Ok(()) => {
                    if self.answering.is_news(site, request.id()) {
                        self.tell(&Event::ToldRestored { site: site.clone() });
                    }
                    answered.push(site.clone());
                }
                // It has asked anew meanwhile, or the aggregator was started again, or is of a version that
                // takes no answer with an epoch.
                Err(error) if matches!(error.status(), Some(400 | 404 | 409)) => {
                    let wanted = format!("the answer to {site}, which was restored");
                    self.tell_refused(&wanted, &error, "it is answered when it asks again");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(answered)
    }
}

/// Names in a line, or that there are none.
fn names<'a>(sites: impl IntoIterator<Item = &'a SiteId>) -> String {
    let names = listed(sites);
    if names.is_empty() { "nobody".to_owned() } else { names }
}

/// What is missing, in words.
pub(crate) fn unanswered(recalled: &Recalled) -> String {
    let Recalled { highest, needed, counted, missing, set_aside, .. } = recalled;
    let next = highest.map_or(RoundNumber::FIRST, RoundNumber::next);
    let mut text = format!(
        "how far this site must abstain is not known yet, so it takes part in no round: of the key holders of round {next} beside it, {needed} must answer its restore request; answered: {}; missing: {}",
        names(counted),
        names(missing)
    );
    for (site, round) in set_aside {
        text += &format!(
            "; {site} says round {round}, and the round before is not shown to be certified: {site} lies, or the aggregator withholds that certificate"
        );
    }
    let number = "ask every other site (and not the aggregator) for the highest round that it knows, the number of the last file in its STATE/studies/<study>/rounds that ends in .journal, and give one more than the highest by `ringfence restored --through N`";
    match recalled.can_suffice() {
        true => {
            text + "; the others answer while they run: go on waiting by `ringfence restored --continue`, or "
                + number
        }
        false => text + "; so many holders do not exist: " + number,
    }
}
