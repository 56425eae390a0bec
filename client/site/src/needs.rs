//! What a site needs next, and asks for with a status: what it would otherwise ask for one by one.
//! What has come with a status before and was not taken yet does not come again.

use std::time::Duration;

use ringfence_crypto::api::{RoundPart, StudyPart, StudyStatus, With};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{LogEntry, LogHash};
use ringfence_crypto::round::RoundState;

use crate::error::SiteError;
use crate::round_keys::PROVED;
use crate::site::Site;
use crate::transport::TransportError;

/// From when on a look at the study is like a first one.
const ANEW: Duration = Duration::from_secs(10);

/// The last of this site's statements of round keys whose proofs are asked for with a status: one, or
/// two for a few rounds.
const STATEMENTS: usize = 2;

impl Site {
    /// Where the study stands: at once, or as soon as more rounds are open than `after` says, or after
    /// so much time. What a round begins with comes along.
    pub(crate) async fn study_status(
        &self,
        after: Option<(RoundNumber, Duration)>,
    ) -> Result<StudyStatus, TransportError> {
        let awaited = after.map(|(round, _)| round);
        let (with, leaves) = match self.transport.brings() {
            // What is wrong with the files is met where they are needed.
            true => self.needs_of_study(awaited).unwrap_or_default(),
            false => Default::default(),
        };
        let after = after.map(|(round, wait)| (round.0, wait));
        let status = self.transport.status_of(self.first_study, after, (&with, &leaves)).await?;
        if let Some(latest) = &status.latest {
            self.for_round(latest.round).saw(latest);
        }
        Ok(status)
    }

    fn needs_of_study(
        &self,
        awaited: Option<RoundNumber>,
    ) -> Result<(With<StudyPart>, Vec<LogHash>), SiteError> {
        let now = self.clock.moment();
        let mut with = With(Vec::new());
        if let Some(round) = awaited {
            with.0.push(StudyPart::Manifest);
            if self.lacks_holder_keys(Some(round))? {
                with.0.push(StudyPart::HolderKeys);
            }
            return Ok((with, Vec::new()));
        }
        if self.looked.within(ANEW, now).is_some() {
            return Ok((with, Vec::new()));
        }
        with.0.extend([StudyPart::Manifest, StudyPart::Agreed, StudyPart::RoundKeys]);
        if self.lacks_holder_keys(None)? {
            with.0.push(StudyPart::HolderKeys);
        }
        let mut leaves = Vec::new();
        if self.is_own && !self.proved.is_within(PROVED, now) {
            let kept = self.journal.round_keys(self.study_id)?.in_use(RoundNumber::FIRST)?;
            let last = kept.iter().rev().take(STATEMENTS);
            leaves.extend(last.map(|signed| LogEntry::of_signed(signed).leaf()));
        }
        if !leaves.is_empty() {
            with.0.push(StudyPart::Checkpoint);
        }
        if self.answering.is_due(now) {
            with.0.push(StudyPart::Restored);
        }
        Ok((with, leaves))
    }

    /// What this site lacks of a round for its next step, as far as it knows where the round stands, and
    /// the size of the log that it has seen.
    pub(crate) fn needs_of_round(&self, round: RoundNumber) -> (With<RoundPart>, Option<u64>) {
        match self.transport.brings() {
            true => self.lacks_of_round(round).unwrap_or_default(),
            false => Default::default(),
        }
    }

    fn lacks_of_round(
        &self,
        round: RoundNumber,
    ) -> Result<(With<RoundPart>, Option<u64>), SiteError> {
        use RoundPart::{Certificate, Closing, Dealt, Freeze, Headers, Opened, Proofs, Reviews};
        use RoundState::{Certified, Closed, Collecting, Reviewing};
        let journal = self.journal.round(self.study_id, round)?;
        let state = self.seen.of(round).last().map(|status| status.state);
        let at = |of: &[RoundState]| state.is_none_or(|state| of.contains(&state));
        let (to, own) = (self.at(round), self.id());
        let has_come = |rest: &str| to.has_brought(rest);
        let (mut with, mut seen) = (Vec::new(), None);
        if !at(&[Collecting, Reviewing, Closed, Certified]) {
            return Ok((With(with), seen));
        }
        if journal.freeze()?.is_none() && !has_come("/freeze") {
            with.push(Freeze);
        }
        if self.headers.listed(round) == 0 && !has_come("/headers?from=0") {
            with.push(Headers);
        }
        let is_certified = journal.certificate()?.is_some();
        let holds = self.holds(round) && !is_certified;
        if holds && at(&[Collecting]) && journal.review()?.is_none() {
            with.push(Dealt);
        }
        if holds && at(&[Reviewing, Closed]) && journal.endorsement()?.is_none() {
            with.extend([Closing, Proofs]);
            seen = self.last_closing()?.map(|last| last.statement.checkpoint.size);
        }
        if (holds && at(&[Reviewing]) || at(&[Closed, Certified]))
            && journal.reviews().is_none()
            && !has_come("/reviews")
        {
            with.push(Reviews);
        }
        if !is_certified && at(&[Closed, Certified]) && !has_come("/certificate") {
            with.push(Certificate);
        }
        // Whoever has its duty as holder before it does not need them yet.
        let opened = format!("/opened/{own}?from=0");
        if at(&[Certified]) && (state.is_some() || !holds) && !has_come(&opened) {
            with.push(Opened);
        }
        Ok((With(with), seen))
    }
}
