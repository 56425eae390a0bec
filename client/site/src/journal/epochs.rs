//! A study's epochs in a site's state: those that are made, and those that this site has signed.

use std::sync::Arc;

use ringfence_crypto::Digest;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Epoch, HasSigned, HexBytes, Lineage, SignedEpoch, Study};
use ringfence_crypto::wire::json;
use ringfence_keys::encrypt::check::CheckKey;

use super::Journal;
use super::error::JournalError;
use super::records::Record;
use crate::error::SiteError;

fn made(number: u32) -> String {
    format!("epoch-{number}")
}

fn own(number: u32) -> String {
    format!("signed-epoch-{number}")
}

fn given_up(number: u32) -> String {
    format!("given-up-epoch-{number}")
}

fn recalled(number: u32) -> String {
    format!("recalled-epoch-{number}")
}

fn given(number: u32) -> String {
    format!("given-check-key-{number}")
}

impl Journal {
    /// A study with the epochs that are on disk, each checked again.
    ///
    /// # Errors
    /// [`SiteError::Epoch`] for one that does not hold any more, [`SiteError::Journal`].
    pub(crate) fn lineage(&self, study: Study) -> Result<Lineage, SiteError> {
        let mut lineage = Lineage::of(Arc::new(study));
        let records = self.study_unbegun(lineage.first().id);
        while let Some(signed) = records.read(&made(lineage.epochs().saturating_add(1)))? {
            lineage.add(signed)?;
        }
        Ok(lineage)
    }

    /// Keeps an epoch that is made, durably.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub(crate) fn save_epoch(
        &self,
        first: StudyId,
        signed: &SignedEpoch,
    ) -> Result<(), JournalError> {
        self.keep(first, &made(signed.epoch.epoch), &json::compact(signed))
    }

    /// The epoch with this number that this site has signed.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub(crate) fn signed_epoch(
        &self,
        first: StudyId,
        number: u32,
    ) -> Result<Option<SignedEpoch>, JournalError> {
        self.study_unbegun(first).read(&own(number))
    }

    /// Keeps an epoch that this site has signed, durably, before it leaves.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub(crate) fn sign_epoch(
        &self,
        first: StudyId,
        signed: &SignedEpoch,
    ) -> Result<(), JournalError> {
        self.keep(first, &own(signed.epoch.epoch), &json::compact(signed))
    }

    /// The epoch with this number that this site has signed and forgotten, as its own signature has shown.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub(crate) fn recalled_epoch(
        &self,
        first: StudyId,
        number: u32,
    ) -> Result<Option<HasSigned>, JournalError> {
        self.study_unbegun(first).read(&recalled(number))
    }

    /// Keeps such an epoch, durably.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub(crate) fn recall_epoch(
        &self,
        first: StudyId,
        signed: &HasSigned,
    ) -> Result<(), JournalError> {
        self.keep(first, &recalled(signed.epoch.epoch), &json::compact(signed))
    }

    /// The epoch with this number that this site has signed and given up, for it cannot be made any more.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub(crate) fn given_up_epoch(
        &self,
        first: StudyId,
        number: u32,
    ) -> Result<Option<Digest>, JournalError> {
        self.study_unbegun(first).read(&given_up(number))
    }

    /// Gives up an epoch that this site has signed, durably.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub(crate) fn give_up_epoch(&self, first: StudyId, epoch: &Epoch) -> Result<(), JournalError> {
        self.keep(first, &given_up(epoch.epoch), &json::compact(&epoch.id()))
    }

    /// The check key of a roster that this site is not on, if another site has given it; none that is
    /// another key.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be read.
    pub(crate) fn given_check_key(
        &self,
        first: StudyId,
        number: u32,
        study: &Study,
    ) -> Result<Option<CheckKey>, JournalError> {
        let kept: Option<HexBytes> = self.study_unbegun(first).read(&given(number))?;
        let key = kept.and_then(|bytes| CheckKey::from_bytes(&bytes.0).ok());
        Ok(key.filter(|key| key.commitment() == study.check_key.commitment))
    }

    /// Keeps such a key, durably.
    ///
    /// # Errors
    /// [`JournalError`] when the record cannot be written.
    pub(crate) fn save_check_key(
        &self,
        first: StudyId,
        number: u32,
        key: &CheckKey,
    ) -> Result<(), JournalError> {
        let bytes = HexBytes(key.expose().to_vec());
        self.keep(first, &given(number), &json::compact(&bytes))
    }

    fn keep(&self, first: StudyId, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let journal = self.study(first)?;
        journal.note(&[Record::new(name, bytes)])?;
        journal.sync()
    }
}
