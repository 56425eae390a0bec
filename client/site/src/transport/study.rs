//! The resources of a study: the study itself, where it stands, and the sites' round keys.

use std::time::Duration;

use ringfence_crypto::api::{
    EpochStatus, LoggedKeys, Recovery, Returned, StudyPart, StudyStatus, With,
};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::LogHash;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, RoundKeys, SignedEpoch, SignedStudy, Standing};
use ringfence_crypto::wire::json::{self, MAX_MESSAGE, MAX_STUDY};

use super::connection::{JSON, POLL, Transport};
use super::error::TransportError;

impl Transport {
    /// Registers a signed study with the admin's token.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn register(
        &self,
        study: &SignedStudy,
        token: &str,
    ) -> Result<StudyStatus, TransportError> {
        let bytes = json::compact(study);
        let request = |url| {
            self.client
                .post(url)
                .bearer_auth(token)
                .header("content-type", JSON)
                .body(bytes.clone())
        };
        self.json("studies", MAX_MESSAGE, "study status", request).await
    }

    /// Fetches a signed study.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn study(&self, study: StudyId) -> Result<SignedStudy, TransportError> {
        let path = format!("studies/{study}");
        let bytes = self.bytes(&path, MAX_STUDY, |url| self.client.get(url)).await?;
        Ok(SignedStudy::parse(&bytes)?)
    }

    /// The epoch of a study with this number; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn epoch(&self, study: StudyId, number: u32) -> Result<SignedEpoch, TransportError> {
        let path = format!("studies/{study}/epochs/{number}");
        let bytes = self.bytes(&path, MAX_STUDY, |url| self.client.get(url)).await?;
        Ok(SignedEpoch::parse(&bytes)?)
    }

    /// The epochs that are proposed for a study's next one; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn proposed_epochs(
        &self,
        study: StudyId,
    ) -> Result<Vec<SignedEpoch>, TransportError> {
        self.get(&format!("studies/{study}/epochs"), MAX_STUDY, "list of signed epochs").await
    }

    /// Drops what is proposed for a study's next epoch, as its administrator; what it was.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn drop_proposed_epochs(
        &self,
        study: StudyId,
    ) -> Result<Vec<SignedEpoch>, TransportError> {
        let path = format!("studies/{study}/epochs");
        let bytes = self.bytes(&path, MAX_STUDY, |url| self.client.delete(url)).await?;
        Ok(json::parse(&bytes, MAX_STUDY, "list of signed epochs")?)
    }

    /// Sends an epoch that this site proposes, or has signed.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn post_epoch(
        &self,
        study: StudyId,
        signed: &SignedEpoch,
    ) -> Result<EpochStatus, TransportError> {
        let bytes = json::compact(signed);
        let request = |url| self.client.post(url).header("content-type", JSON).body(bytes.clone());
        self.json(&format!("studies/{study}/epochs"), MAX_MESSAGE, "epoch's status", request).await
    }

    /// Where a study stands.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn status(&self, study: StudyId) -> Result<StudyStatus, TransportError> {
        self.get(&format!("studies/{study}/status"), MAX_MESSAGE, "study status").await
    }

    /// Where a study stands, as soon as more than `rounds` rounds are open or `wait` is over.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn status_after(
        &self,
        study: StudyId,
        rounds: u32,
        wait: Duration,
    ) -> Result<StudyStatus, TransportError> {
        self.status_of(study, Some((rounds, wait)), (&With(Vec::new()), &[])).await
    }

    /// Where a study stands: at once, or as [`Transport::status_after`]. What is asked for `with` it comes
    /// along as far as it is there then, and is taken by whoever asks for it next; a checkpoint with the
    /// proofs that it has these leaves.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn status_of(
        &self,
        study: StudyId,
        after: Option<(u32, Duration)>,
        (with, leaves): (&With<StudyPart>, &[LogHash]),
    ) -> Result<StudyStatus, TransportError> {
        let query = after.map_or_else(String::new, |(rounds, wait)| {
            format!("wait={}&after={rounds}", wait.min(POLL).as_secs().max(1))
        });
        let mut asked = String::new();
        if !with.0.is_empty() {
            asked = format!("with={with}");
            let leaves: Vec<String> = leaves.iter().map(ToString::to_string).collect();
            if !leaves.is_empty() {
                asked += &format!("&leaves={}", leaves.join(","));
            }
        }
        self.status_with((study, "status"), &query, &asked, "study status").await
    }

    /// Which statements of a study the aggregator lost.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn lost(&self, study: StudyId) -> Result<Recovery, TransportError> {
        self.get(&format!("studies/{study}/recovered"), MAX_MESSAGE, "recovery").await
    }

    /// Sends statements back that the aggregator lost; answers with what is missing then.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn give_back(
        &self,
        study: StudyId,
        statements: &[Returned],
    ) -> Result<Recovery, TransportError> {
        let bytes = json::compact(&statements);
        let request = |url| self.client.post(url).header("content-type", JSON).body(bytes.clone());
        self.json(&format!("studies/{study}/recovered"), MAX_MESSAGE, "recovery", request).await
    }

    /// Asks the other sites, after a restore from a backup.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_restore_request(
        &self,
        study: StudyId,
        request: &Signed<RestoreRequest>,
    ) -> Result<(), TransportError> {
        let RestoreRequest { site, .. } = &request.statement;
        let bytes = json::compact(request);
        let put = |url| self.client.put(url).header("content-type", JSON).body(bytes.clone());
        let path = format!("studies/{study}/restored/{site}");
        self.bytes(&path, MAX_MESSAGE, put).await.map(|_| ())
    }

    /// The restore requests of sites that were restored; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn restore_requests(
        &self,
        study: StudyId,
    ) -> Result<Vec<Signed<RestoreRequest>>, TransportError> {
        let path = format!("studies/{study}/restored");
        self.get(&path, MAX_MESSAGE, "list of restore requests").await
    }

    /// Answers the restore request of a site.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_standing(
        &self,
        study: StudyId,
        of: &SiteId,
        standing: &Signed<Standing>,
    ) -> Result<(), TransportError> {
        let Standing { site, .. } = &standing.statement;
        let bytes = json::compact(standing);
        let put = |url| self.client.put(url).header("content-type", JSON).body(bytes.clone());
        let path = format!("studies/{study}/restored/{of}/standings/{site}");
        self.bytes(&path, MAX_MESSAGE, put).await.map(|_| ())
    }

    /// The answers to the last restore request of a site; not yet checked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn standings(
        &self,
        study: StudyId,
        of: &SiteId,
    ) -> Result<Vec<Signed<Standing>>, TransportError> {
        let path = format!("studies/{study}/restored/{of}/standings");
        self.get(&path, MAX_MESSAGE, "list of standings").await
    }

    /// Publishes a site's KEM keys for coming rounds.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn put_round_keys(
        &self,
        study: StudyId,
        keys: &Signed<RoundKeys>,
    ) -> Result<(), TransportError> {
        let RoundKeys { site, .. } = &keys.statement;
        let bytes = json::compact(keys);
        let request = |url| self.client.put(url).header("content-type", JSON).body(bytes.clone());
        let path = format!("studies/{study}/round-keys/{site}");
        self.bytes(&path, MAX_MESSAGE, request).await.map(|_| ())
    }

    /// Which round keys the log has of each key holder of a round; unchecked.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn logged_keys(
        &self,
        study: StudyId,
        round: RoundNumber,
    ) -> Result<Vec<LoggedKeys>, TransportError> {
        let path = format!("studies/{study}/round-keys?round={round}");
        self.get(&path, MAX_MESSAGE, "list of round keys").await
    }

    /// The KEM keys of a site that cover a round.
    ///
    /// # Errors
    /// [`TransportError`].
    pub async fn round_keys(
        &self,
        study: StudyId,
        site: &SiteId,
        round: RoundNumber,
    ) -> Result<Signed<RoundKeys>, TransportError> {
        self.get(&keys_path(study, site, round), MAX_MESSAGE, "round keys").await
    }

    /// Whether those have come with a status and need not come again.
    pub(crate) fn has_round_keys(&self, study: StudyId, site: &SiteId, round: RoundNumber) -> bool {
        self.has_brought(&keys_path(study, site, round))
    }
}

fn keys_path(study: StudyId, site: &SiteId, round: RoundNumber) -> String {
    format!("studies/{study}/round-keys/{site}?round={round}")
}
