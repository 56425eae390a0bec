//! Asking an aggregator round by round, and checking what it shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use ringfence_clock::Clock;
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::cohorts::{CohortReport, OpenedSet, measure};
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Lineage, Manifest, SignedStudy, Study};

use super::error::OverviewError;
use super::steps::Known;
use super::{OpenTurn, Overview, RoundOverview, planned_rounds};
use crate::judged::proceedings;
use crate::transport::Transport;

/// Most rounds of a study that is looked at.
pub const MOST_ROUNDS: u32 = 10_000;

/// Of so many of the last rounds the status is asked for in every look; what comes late to a round
/// before them is seen in a first look only.
const RECENT: u32 = 4;

/// Looks at a study again and again; what cannot change is asked for once.
#[derive(Debug)]
pub struct Onlooker {
    /// With the epochs that are known by now.
    lineage: Lineage,
    /// The study as it was first signed.
    study_id: StudyId,
    transport: Transport,
    clock: Clock,
    known: BTreeMap<RoundNumber, Known>,
    manifests: BTreeMap<RoundNumber, Manifest>,
    /// Trust after rounds, final.
    trust: BTreeMap<RoundNumber, Trust>,
    /// Trust after the last round by a version of its status.
    latest: Option<(RoundNumber, u64, Trust)>,
    /// What was measured, of which certified sets, and who was barred.
    measured: Option<(Vec<RoundNumber>, Vec<SiteId>, CohortReport)>,
}

impl Onlooker {
    /// Looks at a study that its whole roster signed.
    ///
    /// # Errors
    /// [`OverviewError::Study`].
    pub fn new(
        study: SignedStudy,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, OverviewError> {
        study.verify()?;
        let (lineage, known) = (Lineage::of(Arc::new(study.study)), BTreeMap::new());
        let study_id = lineage.first().id;
        let (manifests, trust, latest, measured) = (BTreeMap::new(), BTreeMap::new(), None, None);
        Ok(Self { lineage, study_id, transport, clock, known, manifests, trust, latest, measured })
    }

    /// Looks at a study whose file the aggregator has.
    ///
    /// # Errors
    /// [`OverviewError`] when it has not, or sends another one.
    pub async fn fetch(
        id: StudyId,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, OverviewError> {
        let study = transport.study(id).await?;
        let got = study.study.id();
        if got != id {
            return Err(OverviewError::OtherStudy { expected: id, got });
        }
        Self::new(study, transport, clock)
    }

    /// The study as it was first signed.
    pub fn study(&self) -> &Study {
        &self.lineage.first().study
    }

    /// The study that is in force in a round.
    fn under(&self, round: RoundNumber) -> Arc<Study> {
        Arc::clone(&self.lineage.in_force(round).study)
    }

    /// The study as it stands, with so many of its last rounds.
    ///
    /// # Errors
    /// [`OverviewError`].
    pub async fn look(&mut self, last: u32) -> Result<Overview, OverviewError> {
        let StudyStatus { rounds: opened, epochs, .. } =
            self.transport.status(self.study_id).await?;
        while self.lineage.epochs() < epochs {
            let next = self.lineage.epochs().saturating_add(1);
            self.lineage.add(self.transport.epoch(self.study_id, next).await?)?;
        }
        if opened > MOST_ROUNDS {
            return Err(OverviewError::Rounds(opened));
        }
        let first = opened.saturating_sub(last.max(1));
        self.known.retain(|round, _| round.0 >= first);
        let mut rounds = Vec::new();
        for number in first..opened {
            let round = RoundNumber(number);
            let known = self.round(round, number.saturating_add(RECENT) >= opened).await?;
            rounds.push(RoundOverview::of(&self.under(round), &known, self.clock.now()));
        }
        let study = self.under(RoundNumber(opened));
        let (needed, planned) = (study.threshold.endorsements, planned_rounds(&study));
        let latest = RoundNumber(opened).before();
        let latest = latest.and_then(|latest| self.known.get(&latest)).cloned();
        let trust = match &latest {
            None => Trust::default(),
            Some(known) => self.trust_by_now(known).await?,
        };
        let over = rounds.last().is_none_or(|round| round.is_over(needed));
        let ended = over && planned.is_some_and(|planned| opened >= planned);
        let last = latest.as_ref().map(|known| (known, &trust));
        let turn = OpenTurn::of(&study, last, self.clock.now());
        let cohorts = self.cohorts(&trust.barred);
        Ok(Overview {
            study: self.study_id,
            name: study.name.clone(),
            opened_rounds: opened,
            planned_rounds: planned,
            ended,
            endorsements_needed: needed,
            openings_needed: study.threshold.opening,
            barred: trust.barred,
            cohorts_in_words: cohorts.sentences(study.threshold.collusion),
            cohorts,
            rounds,
            turn: turn.filter(|_| over && !ended),
        })
    }

    /// What the sums over the certified sets that are known could tell of few sites. Whether they were
    /// opened, whoever colludes with holders may know alone.
    fn cohorts(&mut self, barred: &[SiteId]) -> CohortReport {
        let certified = self.known.values().filter_map(|known| known.certificate.as_ref());
        let opened: Vec<OpenedSet<'_>> = certified
            .filter_map(|certificate| OpenedSet::of(&certificate.closing.statement))
            .collect();
        let rounds: Vec<RoundNumber> = opened.iter().map(|set| set.round).collect();
        match &self.measured {
            Some((of, without, report)) if *of == rounds && without == barred => report.clone(),
            _ => {
                // Of those who are gone only the rounds before tell.
                let before = self.known.values().flat_map(|known| &known.trust.barred);
                let report = measure(&opened, &barred.iter().chain(before).cloned().collect());
                self.measured = Some((rounds, barred.to_vec(), report.clone()));
                report
            }
        }
    }

    /// What is known of a round; asked for again where it may have changed.
    async fn round(&mut self, round: RoundNumber, recent: bool) -> Result<Known, OverviewError> {
        if let Some(known) = self.known.get(&round) {
            let complete =
                RoundOverview::of(&self.under(round), known, self.clock.now()).is_complete();
            if complete || !recent {
                return Ok(known.clone());
            }
        }
        let status = self.status(round).await?;
        let manifest = self.manifest(round).await?;
        let trust = self.trust_before(round, &manifest).await?;
        let at = self.transport.round(self.study_id, round);
        let before = self.known.remove(&round);
        let (mut freeze, mut certificate) =
            before.map_or((None, None), |known| (known.freeze, known.certificate));
        if status.state != RoundState::Collecting && freeze.is_none() {
            let signed = at.freeze().await?;
            signed.verify(&self.study().aggregator_key, &"the aggregator")?;
            if signed.statement.manifest != manifest.id() {
                return Err(OverviewError::NotTheRound { round, what: "a freeze" });
            }
            freeze = Some(signed.statement);
        }
        if is_certified(status.state) && certificate.is_none() {
            let fetched = at.certificate().await?;
            fetched.check(&self.under(round), &manifest)?;
            certificate = Some(fetched);
        }
        let known = Known { status, manifest, freeze, certificate, trust };
        self.known.insert(round, known.clone());
        Ok(known)
    }

    /// The status of a round, as far as it can be checked.
    async fn status(&self, round: RoundNumber) -> Result<RoundStatus, OverviewError> {
        let status = self.transport.round(self.study_id, round).status().await?;
        let study = self.under(round);
        let (window, id) = (study.window(round), self.lineage.in_force(round).id);
        if status.study != id || status.round != round || status.holders != window {
            return Err(OverviewError::NotTheRound { round, what: "a status" });
        }
        let RoundStatus { received, reviewed, endorsed, opened, acknowledged, .. } = &status;
        let sets = [received, reviewed, endorsed, opened, acknowledged];
        if !sets.map(|set| set.fits(study.roster.len())).iter().all(|fits| *fits) {
            return Err(OverviewError::NotTheRound { round, what: "a status" });
        }
        let stranger = status.wanted.iter().find(|of| study.site(&of.site).is_none());
        match stranger.map(|of| of.site.clone()) {
            Some(site) => Err(OverviewError::Stranger { round, site }),
            None => Ok(status),
        }
    }

    /// The manifest of a round, signed by whom it names.
    async fn manifest(&mut self, round: RoundNumber) -> Result<Manifest, OverviewError> {
        if let Some(known) = self.manifests.get(&round) {
            return Ok(known.clone());
        }
        let signed = self.transport.round(self.study_id, round).manifest().await?;
        let manifest = &signed.statement;
        let (study, id) = (self.under(round), self.lineage.in_force(round).id);
        let Some(initiator) = study.site(&manifest.initiator) else {
            return Err(OverviewError::Stranger { round, site: manifest.initiator.clone() });
        };
        signed.verify(&initiator.signature_key, &initiator.id)?;
        if manifest.study != id || manifest.round != round {
            return Err(OverviewError::NotTheRound { round, what: "a manifest" });
        }
        self.manifests.insert(round, manifest.clone());
        Ok(signed.statement)
    }

    /// Trust before a round, which its manifest names by its digest. Mostly nobody is barred; else it
    /// is followed from the first round on, and judged where a manifest says that it has changed.
    async fn trust_before(
        &mut self,
        round: RoundNumber,
        manifest: &Manifest,
    ) -> Result<Trust, OverviewError> {
        let mut trust = Trust::default();
        if manifest.trust == trust.digest() {
            return Ok(trust);
        }
        let mut number = RoundNumber::FIRST;
        if let Some((last, known)) = self.trust.range(..round).next_back() {
            (number, trust) = (last.next(), known.clone());
        }
        while number < round {
            let after = self.manifest(number.next()).await?.trust;
            let carried = |of: &Self, trust| of.lineage.carried(&trust, number, number.next());
            if after != carried(self, trust.clone()).digest() {
                let status = self.status(number).await?;
                trust = self.trust_after(number, trust, &status).await?;
            }
            trust = carried(self, trust);
            if after != trust.digest() {
                return Err(OverviewError::Trust(number.next()));
            }
            self.trust.insert(number, trust.clone());
            number = number.next();
        }
        Ok(trust)
    }

    /// Trust after the last round, as far as it has come.
    async fn trust_by_now(&mut self, known: &Known) -> Result<Trust, OverviewError> {
        if !is_certified(known.status.state) {
            return Ok(known.trust.clone());
        }
        let (round, version) = (known.status.round, known.status.version);
        match &self.latest {
            Some((of, at, trust)) if (*of, *at) == (round, version) => return Ok(trust.clone()),
            _ => {}
        }
        let trust = self.trust_after(round, known.trust.clone(), &known.status).await?;
        self.latest = Some((round, version, trust.clone()));
        Ok(trust)
    }

    /// Trust after a certified round: by its reviews and its verdicts.
    async fn trust_after(
        &mut self,
        round: RoundNumber,
        before: Trust,
        status: &RoundStatus,
    ) -> Result<Trust, OverviewError> {
        let manifest = self.manifest(round).await?;
        let at = self.transport.round(self.study_id, round);
        let certificate = at.certificate().await?;
        let study = self.under(round);
        certificate.check(&study, &manifest)?;
        let (freeze, reviews) = (at.freeze().await?.statement, at.reviews().await?);
        let closing = &certificate.closing.statement;
        // That the freeze is the closing's is checked there.
        let judgement = closing.judge(&study, &before, &freeze, &reviews)?;
        let proceedings = proceedings(at, &study, &certificate, status).await?;
        Ok(proceedings.bar(judgement.trust))
    }
}

fn is_certified(state: RoundState) -> bool {
    matches!(state, RoundState::Certified | RoundState::Opened | RoundState::Aborted)
}
