//! A site that is not on the study's roster yet and has no network: it signs the epoch by which it comes
//! from bundles, in the state that it will have as a member.

use std::path::Path;
use std::sync::Arc;

use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, StudyId};
use ringfence_crypto::signature::{PublicKey, Statement};
use ringfence_crypto::statement::{CarrierPermit, SignedStudy};
use ringfence_keys::identity::Identity;

use crate::by_hand::{Exported, Mailbox};
use crate::error::SiteError;
use crate::journal::Journal;
use crate::transport::Transport;

/// Such a site, whose state nothing else uses meanwhile.
#[derive(Debug)]
pub struct Newcomer {
    study: StudyId,
    identity: Arc<Identity>,
    _state: Journal,
    mailbox: Arc<Mailbox>,
    clock: Clock,
}

impl Newcomer {
    /// Opens the state of a site that is let in.
    ///
    /// # Errors
    /// [`SiteError`] when the study is unsigned, or the state in use.
    pub fn open(
        study: &SignedStudy,
        identity: Identity,
        state: &Path,
        clock: Clock,
    ) -> Result<Self, SiteError> {
        study.verify()?;
        let journal = Journal::open(state)?;
        let mailbox = Arc::new(Mailbox::new(state, &study.study, &identity, clock.clone()));
        let (study, identity) = (study.study.id(), Arc::new(identity));
        Ok(Self { study, identity, _state: journal, mailbox, clock })
    }

    /// Its keys.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The last bundle that came, and what is to leave.
    pub fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// The mailbox in the aggregator's place.
    ///
    /// # Errors
    /// As for [`Transport::by_hand`].
    pub fn transport(&self) -> Result<Transport, SiteError> {
        let transport = Transport::by_hand(Arc::clone(&self.mailbox), self.clock.clone())?;
        Ok(transport.of_site(Arc::clone(&self.identity)))
    }

    /// Writes what it has to say and to ask to a bundle, for a carrier with this key, who may bring it for so
    /// many seconds.
    ///
    /// # Errors
    /// [`SiteError`]; no bundle was written then.
    pub fn export(
        &self,
        path: &Path,
        (carrier, seconds): (PublicKey, u64),
    ) -> Result<Exported, SiteError> {
        let from = self.clock.now();
        let permit = self.identity.sign(CarrierPermit {
            study: self.study,
            site: self.identity.site().clone(),
            carrier,
            from,
            until: from.after(seconds),
        });
        // It may ask of no round yet.
        Ok(self.mailbox.export(path, permit, RoundNumber(u32::MAX), None)?)
    }
}
