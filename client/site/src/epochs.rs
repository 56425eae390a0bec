//! A study's epochs, as a site keeps to them: which study is in force in a round, and whether this
//! site has a part in it.
//!
//! A [`Site`] is a site under one roster. Behind it stand the sites that it was under the rosters before:
//! [`Site::for_round`] gives the one that a round is of. They share state, connection and identity.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::log::{CheckpointText, LogEntry, NoteKey, origin};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Change, Closing, Epoch, InForce, Lineage, SignedEpoch};
use ringfence_keys::encrypt::check::CheckKey;
use ringfence_keys::identity::Identity;

use crate::charging::Charging;
use crate::error::SiteError;
use crate::headers::Headers;
use crate::journal::Journal;
use crate::lately::{Lately, LatelyOf, LatelySaid};
use crate::restored::Answering;
use crate::seen::Seen;
use crate::site::{Membership, Site};
use crate::telling::Telling;
use crate::transport::Transport;

/// Why this site has no part in a round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPart {
    /// It was put out.
    #[error(
        "this site, {site}, was revoked from the study by epoch {epoch}: it takes part in rounds up to {last} and in none after; what it contributed up to then stays in the sums that it is in, and nothing more is asked of it"
    )]
    Revoked {
        /// This site.
        site: SiteId,
        /// The epoch.
        epoch: u32,
        /// The last round under the roster before.
        last: RoundNumber,
    },
    /// It has gone.
    #[error(
        "this site, {site}, has left the study by epoch {epoch}: it takes part in rounds up to {last} and in none after; what it contributed up to then stays in the sums that it is in, and nothing more is asked of it"
    )]
    Left {
        /// This site.
        site: SiteId,
        /// The epoch.
        epoch: u32,
        /// The last round under the roster before.
        last: RoundNumber,
    },
    /// It has come later.
    #[error("this site, {site}, takes part from round {from} on, and in none before")]
    NotYet {
        /// This site.
        site: SiteId,
        /// The first round of the roster that it came to.
        from: RoundNumber,
    },
    /// Its keys in this round are others.
    #[error(
        "the keys of this site, {site}, change with epoch {epoch}, whose last round before it is {last}: this identity's are not those of round {round}; run this with the other identity file"
    )]
    OtherKeys {
        /// This site.
        site: SiteId,
        /// The epoch.
        epoch: u32,
        /// The last round under the keys before.
        last: RoundNumber,
        /// The round.
        round: RoundNumber,
    },
    /// The roster's check key is not sealed to it.
    #[error(
        "this site, {site}, cannot open the check key of epoch {epoch} ({reason}): whoever proposed that epoch has sealed another, and this site takes part under it in nothing; propose another epoch that rotates its keys (`ringfence keygen`, `ringfence study change --rotate`), which seals a fresh check key"
    )]
    CheckKey {
        /// This site.
        site: SiteId,
        /// The epoch.
        epoch: u32,
        /// Why it does not open.
        reason: String,
    },
    /// It has none under any roster.
    #[error("this site, {0}, is on no roster of this study")]
    Never(SiteId),
}

/// What a site is under every roster.
#[derive(Clone, Debug)]
struct Shared {
    identity: Arc<Identity>,
    journal: Arc<Journal>,
    transport: Transport,
    patience: Duration,
    clock: Clock,
    keeps_sums: bool,
    telling: Telling,
    charging: Option<Arc<Charging>>,
}

impl Site {
    /// Opens a site's state, as [`Site::open`], and asks the aggregator for the study's epochs first if
    /// this site is not on the roster as it was first signed: it may have come later.
    ///
    /// # Errors
    /// As for [`Site::open`], and [`SiteError::Epoch`] for an epoch that does not hold.
    pub async fn enter(membership: Membership) -> Result<Self, SiteError> {
        let own = membership.identity.public();
        let listed = membership.study.study.site(&own.id);
        if listed.is_some_and(|entry| entry.signature_key == own.signature_key) {
            return Self::open(membership);
        }
        let Membership { study, identity, state, transport, patience, clock } = membership;
        study.verify()?;
        let journal = Arc::new(Journal::open(&state)?);
        let identity = Arc::new(identity);
        let transport = transport.with_patience(patience).of_site(Arc::clone(&identity));
        let lineage = journal.lineage(study.study)?;
        let lineage = learn(&transport, &journal, lineage).await?;
        let (keeps_sums, telling, charging) = (false, Telling::default(), None);
        let shared =
            Shared { identity, journal, transport, patience, clock, keeps_sums, telling, charging };
        Self::under(shared, Arc::new(lineage))
    }

    /// Opens a site's state, with the epochs that are in it.
    pub(crate) fn open_known(membership: Membership) -> Result<Self, SiteError> {
        let Membership { study, identity, state, transport, patience, clock } = membership;
        study.verify()?;
        let own = identity.public();
        let listed = study.study.site(&own.id);
        let is_first = listed.is_some_and(|entry| *entry == own);
        if is_first {
            // Before anything is written for a study that it does not belong to.
            identity.check_key(&study.study)?;
        }
        let journal = Arc::new(Journal::open(&state)?);
        let lineage = journal.lineage(study.study)?;
        if !is_first && lineage.epochs() == 0 {
            identity.check_key(&lineage.first().study)?;
        }
        let identity = Arc::new(identity);
        let transport = transport.with_patience(patience).of_site(Arc::clone(&identity));
        let (keeps_sums, telling, charging) = (false, Telling::default(), None);
        let shared =
            Shared { identity, journal, transport, patience, clock, keeps_sums, telling, charging };
        Self::under(shared, Arc::new(lineage))
    }

    /// The site under the newest roster of a lineage, and behind it those under the ones before.
    fn under(shared: Shared, lineage: Arc<Lineage>) -> Result<Self, SiteError> {
        let own = shared.identity.public();
        let keys = lineage.all().filter_map(|study| study.study.site(&own.id));
        let keys: Vec<_> = keys.map(|entry| entry.signature_key).collect();
        if !keys.contains(&own.signature_key) {
            return Err(NoPart::Never(own.id).into());
        }
        // The state stays bound to the keys that it was first used with.
        shared.journal.bind(&own, &keys)?;
        let froms = lineage.all().skip(1).map(|next| next.from.before());
        let lasts = froms.chain(std::iter::once(None));
        let mut newest: Option<Self> = None;
        for ((in_force, last), epoch) in lineage.all().zip(lasts).zip(0..) {
            let InForce { study, id, from, .. } = in_force;
            let entry = study.site(&own.id);
            let is_own = entry.is_some_and(|entry| *entry == own);
            let own_key = match is_own.then(|| shared.identity.check_key(study)) {
                // Whoever proposed an epoch has sealed it: this site goes on under the other rosters.
                Some(Err(_)) if epoch > 0 => None,
                own_key => own_key.transpose()?,
            };
            let is_own = own_key.is_some();
            let check_key = match own_key {
                None => shared.journal.given_check_key(lineage.first().id, epoch, study)?,
                own_key => own_key,
            };
            let Shared {
                identity,
                journal,
                transport,
                patience,
                clock,
                keeps_sums,
                telling,
                charging,
            } = shared.clone();
            newest = Some(Self {
                study: Arc::clone(study),
                study_id: *id,
                first_study: lineage.first().id,
                first: *from,
                last,
                epoch,
                lineage: Arc::clone(&lineage),
                earlier: newest.map(Box::new),
                is_own,
                identity,
                check_key,
                journal,
                transport,
                patience,
                clock,
                keeps_sums,
                telling,
                charging,
                answering: Answering::default(),
                headers: Headers::default(),
                looked: LatelySaid::default(),
                seen: Seen::default(),
                same_manifest: LatelyOf::default(),
                agreed_on: Mutex::default(),
                proved: Lately::default(),
                published: Lately::default(),
            });
        }
        // A lineage has its first study.
        newest.ok_or_else(|| NoPart::Never(own.id).into())
    }

    fn shared(&self) -> Shared {
        Shared {
            identity: Arc::clone(&self.identity),
            journal: Arc::clone(&self.journal),
            transport: self.transport.clone(),
            patience: self.patience,
            clock: self.clock.clone(),
            keeps_sums: self.keeps_sums,
            telling: self.telling.clone(),
            charging: self.charging.clone(),
        }
    }

    /// This site, with whatever epochs the aggregator has more than it knows of: fetched, checked, in the
    /// log and on disk. None where there are none.
    ///
    /// # Errors
    /// [`SiteError::Epoch`] for one that does not hold, [`SiteError::EpochNotLogged`].
    pub async fn renewed(&self) -> Result<Option<Self>, SiteError> {
        let known = self.lineage.epochs();
        let lineage = learn(&self.transport, &self.journal, (*self.lineage).clone()).await?;
        match lineage.epochs() == known {
            true => Ok(None),
            false => Self::under(self.shared(), Arc::new(lineage)).map(Some),
        }
    }

    /// This site, with what has come to its state since.
    pub(crate) fn again(&self) -> Result<Self, SiteError> {
        Self::under(self.shared(), Arc::clone(&self.lineage))
    }

    /// The check key of this roster, for who comes later.
    pub(crate) fn copied_check_key(&self) -> Result<CheckKey, SiteError> {
        match self.is_own {
            true => Ok(self.identity.check_key(&self.study)?),
            false => {
                let given =
                    self.journal.given_check_key(self.first_study, self.epoch, &self.study)?;
                given.ok_or_else(|| self.no_part(self.first).into())
            }
        }
    }

    /// This site under the roster of a round.
    pub fn for_round(&self, round: RoundNumber) -> &Self {
        let mut site = self;
        while let Some(earlier) = site.earlier.as_deref().filter(|_| round < site.first) {
            site = earlier;
        }
        site
    }

    /// This site under every roster, the newest first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |site| site.earlier.as_deref())
    }

    /// Changes something of this site under every roster.
    #[must_use]
    pub(crate) fn with(mut self, change: impl Fn(&mut Self)) -> Self {
        let mut site = Some(&mut self);
        while let Some(of) = site {
            change(of);
            site = of.earlier.as_deref_mut();
        }
        self
    }

    /// The study with its epochs, as far as this site knows them.
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The study as it was first signed: its log, its folder of models and its ledger are called by it.
    pub fn first_study(&self) -> StudyId {
        self.first_study
    }

    /// The first round under this roster.
    pub fn first_round(&self) -> RoundNumber {
        self.first
    }

    /// Refuses a round that this site has no part in: one of another roster, or of one that it is not on;
    /// and one after the last round of an epoch that it has signed and that is not made yet, for what it
    /// did in such a round under the roster before would contradict what it has signed.
    ///
    /// # Errors
    /// [`SiteError::NoPart`], [`SiteError::EpochOver`], [`SiteError::EpochPending`].
    pub fn takes_part(&self, round: RoundNumber) -> Result<(), SiteError> {
        self.is_under(round)?;
        if !self.is_own {
            return Err(self.no_part(round).into());
        }
        if self.last.is_some() {
            return Ok(());
        }
        match self.bound_epoch()? {
            Some(Epoch { epoch, last_round: last, .. }) if round > last => {
                Err(SiteError::EpochPending { round, epoch, last })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a round of another roster.
    pub(crate) fn is_under(&self, round: RoundNumber) -> Result<(), SiteError> {
        match self.last {
            Some(last) if round > last => {
                Err(SiteError::EpochOver { round, epoch: self.epoch.saturating_add(1), last })
            }
            _ => Ok(()),
        }
    }

    /// Why this site is not on this roster with its keys. A name says little: who has lost its keys is
    /// revoked, and comes again by the same name.
    fn no_part(&self, round: RoundNumber) -> NoPart {
        let (site, own) = (self.id().clone(), self.identity.public());
        let has = |study: &InForce| study.study.site(&site) == Some(&own);
        if self.study.site(&site) == Some(&own)
            && let Err(error) = self.identity.check_key(&self.study)
        {
            return NoPart::CheckKey { site, epoch: self.epoch, reason: error.to_string() };
        }
        let mut from_first = self.lineage.all().skip_while(|study| !has(study));
        let Some(came) = from_first.next() else {
            let (epoch, last) = (self.epoch, round);
            return match self.study.site(&site) {
                Some(_) => NoPart::OtherKeys { site, epoch, last, round },
                None => NoPart::Never(site),
            };
        };
        // The epoch by which it came to these keys, or the one that ended them.
        let is_before = self.first < came.from;
        let changed = if is_before { Some(came) } else { from_first.find(|study| !has(study)) };
        let Some((from, signed)) = changed.and_then(|of| Some((of.from, of.epoch.as_ref()?)))
        else {
            return NoPart::OtherKeys { site, epoch: self.epoch, last: round, round };
        };
        let (epoch, last) = (signed.epoch.epoch, signed.epoch.last_round);
        let change = signed.epoch.changes.iter().find(|change| *change.site() == site);
        match (is_before, change) {
            (true, Some(Change::Enrol { .. })) => NoPart::NotYet { site, from },
            (false, Some(Change::Revoke { .. })) => NoPart::Revoked { site, epoch, last },
            (false, Some(Change::Leave { .. })) => NoPart::Left { site, epoch, last },
            _ => NoPart::OtherKeys { site, epoch, last, round },
        }
    }

    /// The check key of this roster.
    pub(crate) fn check_key(&self) -> Result<&CheckKey, SiteError> {
        self.check_key.as_ref().ok_or_else(|| self.no_part(self.first).into())
    }

    /// The closing of the last round of which this site has endorsed one or holds a certificate, under
    /// whatever roster.
    pub(crate) fn last_closing(&self) -> Result<Option<Signed<Closing>>, SiteError> {
        for site in self.all() {
            if let Some(closing) = site.journal.last_closing(site.study_id)? {
                return Ok(Some(closing));
            }
        }
        Ok(None)
    }

    /// The highest round that this site knows, under whatever roster.
    pub(crate) fn highest_round(&self) -> Result<Option<RoundNumber>, SiteError> {
        for site in self.all() {
            if let Some(round) = site.journal.highest_round(site.study_id)? {
                return Ok(Some(round));
            }
        }
        Ok(None)
    }

    /// Whether a study is this one, under whatever roster.
    pub(crate) fn is_this_study(&self, study: StudyId) -> bool {
        self.lineage.all().any(|of| of.id == study)
    }

    /// Signs the study's next epoch with this identity, and with the one that takes its place if it has
    /// new keys. It is on disk before it leaves: a site signs one epoch a number, and none that ends
    /// before a round that it knows.
    ///
    /// # Errors
    /// [`SiteError::Epoch`] for one that does not hold, [`SiteError::EpochSigned`] where this site has
    /// signed another one with its number, [`SiteError::EpochForgotten`] where it may have, before its
    /// state came from a backup, [`SiteError::EpochTooLate`].
    pub fn sign_epoch(
        &self,
        mut signed: SignedEpoch,
        renewed: Option<&Identity>,
    ) -> Result<SignedEpoch, SiteError> {
        self.lineage.check(&signed)?;
        let epoch = signed.epoch.epoch;
        if self.abstention()?.is_some_and(|abstention| abstention.through.is_none()) {
            return Err(SiteError::EpochForgotten { epoch });
        }
        if let Some(known) = self.bound_epoch()?.filter(|known| *known != signed.epoch) {
            return Err(SiteError::EpochSigned { epoch, known: known.id() });
        }
        if let Some(known) = self.pending_epoch()? {
            signed.merge(known.signatures, &self.study);
        }
        let last = signed.epoch.last_round;
        match self.highest_round()? {
            Some(known) if known > last => {
                return Err(SiteError::EpochTooLate { last, known });
            }
            _ => {}
        }
        self.check_own_keys(&signed, renewed)?;
        for identity in std::iter::once(&*self.identity).chain(renewed) {
            signed.sign(identity.site(), identity.signer());
        }
        let rotates =
            |change: &Change| matches!(change, Change::Rotate { entry } if entry.id == *self.id());
        if signed.epoch.changes.iter().any(rotates) {
            // With the new keys it could not open those of the rosters before any more.
            for site in self.all() {
                if let Some(key) = &site.check_key {
                    self.journal.save_check_key(self.first_study, site.epoch, key)?;
                }
            }
        }
        // Its own signatures among them: an identity that has no say is refused here.
        self.lineage.check(&signed)?;
        self.journal.sign_epoch(self.first_study, &signed)?;
        Ok(signed)
    }
}

impl Site {
    /// Refuses an epoch that gives this site other keys than it has, or a check key that it cannot open:
    /// whoever proposes one seals it, and this site could not take part under it.
    fn check_own_keys(
        &self,
        signed: &SignedEpoch,
        renewed: Option<&Identity>,
    ) -> Result<(), SiteError> {
        let entry = signed.after.site(self.id());
        let own = self.identity.public();
        let other = |site: &SiteId| {
            let (epoch, site, own) = (signed.epoch.epoch, site.clone(), self.id().clone());
            Err(SiteError::OtherNewKeys { epoch, site, own })
        };
        let identity = match (renewed, entry) {
            (Some(renewed), entry) if entry != Some(&renewed.public()) => {
                return other(renewed.site());
            }
            (Some(renewed), _) => renewed,
            (None, Some(entry)) if *entry == own => &*self.identity,
            // Its signature alone would give it a KEM key that may be anybody's.
            (None, Some(entry)) if entry.signature_key == own.signature_key => {
                return other(self.id());
            }
            // It goes, or signs once more with its new keys.
            (None, _) => return Ok(()),
        };
        identity.check_key(&signed.after)?;
        Ok(())
    }
}

/// Signs an epoch by which a site comes that has no part in the study yet: nothing of it can contradict
/// what it signed before.
///
/// # Errors
/// [`SiteError::Epoch`] for one that does not hold.
pub fn sign_enrolment(
    lineage: &Lineage,
    mut signed: SignedEpoch,
    identity: &Identity,
) -> Result<SignedEpoch, SiteError> {
    lineage.check(&signed)?;
    signed.sign(identity.site(), identity.signer());
    lineage.check(&signed)?;
    identity.check_key(&signed.after)?;
    Ok(signed)
}

/// A lineage with the epochs that the aggregator has made since, each checked.
///
/// # Errors
/// [`SiteError::Epoch`] for one that does not hold.
pub async fn known_epochs(
    transport: &Transport,
    mut lineage: Lineage,
) -> Result<Lineage, SiteError> {
    let first = lineage.first().id;
    let made = transport.status(first).await?.epochs;
    while lineage.epochs() < made {
        let signed = transport.epoch(first, lineage.epochs().saturating_add(1)).await?;
        lineage.add(signed)?;
    }
    Ok(lineage)
}

/// The same, for a site: the log is proved to have each, and each is on disk.
async fn learn(
    transport: &Transport,
    journal: &Journal,
    lineage: Lineage,
) -> Result<Lineage, SiteError> {
    let known = lineage.epochs();
    let lineage = known_epochs(transport, lineage).await?;
    let (first, key) = (lineage.first().id, lineage.first().study.aggregator_key);
    for signed in lineage.all().filter_map(|study| study.epoch.as_ref()) {
        if signed.epoch.epoch <= known {
            continue;
        }
        let epoch = signed.epoch.epoch;
        let not_logged = |reason: String| SiteError::EpochNotLogged { epoch, reason };
        let note = transport.checkpoint(first).await?;
        let text = NoteKey::new(&origin(first), key)
            .map_err(CheckpointError::from)
            .and_then(|key| CheckpointText::verified(&note, &key))
            .map_err(|error| not_logged(error.to_string()))?;
        let checkpoint = text.checkpoint();
        let leaf = LogEntry::of::<Epoch>(signed.epoch.id()).leaf();
        let proofs = match transport.inclusion(first, checkpoint.size, &[leaf]).await {
            Err(error) if error.is_refusal() => return Err(not_logged(error.to_string())),
            // One that is away, or not asked yet, hides nothing.
            proofs => proofs?,
        };
        let proof = proofs.first().ok_or_else(|| not_logged("no proof came".into()))?;
        proof.verify(leaf, &checkpoint).map_err(|error| not_logged(error.to_string()))?;
        journal.save_epoch(first, signed)?;
    }
    Ok(lineage)
}
