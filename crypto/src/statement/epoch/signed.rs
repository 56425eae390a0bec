//! An epoch with the study after it and the signatures that it has; who must sign.

use std::collections::BTreeSet;
use std::fmt;

use ed25519_dalek::{Signature, Signer};
use serde::{Deserialize, Serialize};

use super::{Change, Epoch, EpochError, EpochSignature, WhichKey};
use crate::id::SiteId;
use crate::protocol::ProtocolVersion;
use crate::signature::{PublicKey, SignatureError, Signed, Statement, sign, signature_hex};
use crate::statement::{SiteSignature, Study};
use crate::wire::canonical::Canonical;
use crate::wire::json::{self, JsonError, MAX_STUDY};

/// An epoch, the study after it, and the signatures that it has so far: what sites pass on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedEpoch {
    /// Which protocol the study runs under.
    pub protocol: ProtocolVersion,
    /// The epoch.
    pub epoch: Epoch,
    /// The study after it.
    pub after: Study,
    /// Signatures, in any order; two by a site that has new keys.
    pub signatures: Vec<SiteSignature>,
}

/// That a site has signed an epoch, shown by its own signature: nobody else can say so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HasSigned {
    /// The epoch.
    pub epoch: Epoch,
    /// Ed25519 over the canonical bytes of the site's [`EpochSignature`].
    #[serde(with = "signature_hex")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::schema::signature))]
    pub signature: Signature,
}

impl HasSigned {
    /// Whether it was this site, with this key.
    pub fn is_by(&self, site: &SiteId, key: &PublicKey) -> bool {
        let statement = EpochSignature { epoch: self.epoch.id(), site: site.clone() };
        Signed { statement, signature: self.signature }.verify(key, site).is_ok()
    }
}

impl Canonical for HasSigned {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self { epoch, signature } = self;
        epoch.encode(out);
        out.extend_from_slice(&signature.to_bytes());
    }
}

/// How many sites of the roster before an epoch needs: `floor((n + c) / 2) + 1` of `n`, so that two
/// epochs of one number share an honest signer.
pub fn signers_needed(before: &Study) -> usize {
    (before.roster.len() + usize::from(before.threshold.collusion)) / 2 + 1
}

/// Whose signatures an epoch lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissingSignatures {
    /// Sites that must sign, and with which key.
    pub named: Vec<(SiteId, WhichKey)>,
    /// How many sites of the roster before must sign besides, whichever.
    pub more: usize,
}

impl MissingSignatures {
    /// Whether none is missing.
    pub fn is_complete(&self) -> bool {
        self.named.is_empty() && self.more == 0
    }
}

impl fmt::Display for MissingSignatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> =
            self.named.iter().map(|(site, key)| format!("{site} (with {key})")).collect();
        match (named.as_slice(), self.more) {
            ([], 0) => f.write_str("nothing is missing"),
            ([], more) => write!(f, "{more} more of the roster before must sign it"),
            (_, 0) => write!(f, "it lacks the signatures of {}", named.join(", ")),
            (_, more) => write!(
                f,
                "it lacks the signatures of {}, and {more} more of the roster before",
                named.join(", ")
            ),
        }
    }
}

impl SignedEpoch {
    /// An epoch that nobody has signed yet.
    pub fn unsigned(epoch: Epoch, after: Study) -> Self {
        Self { protocol: ProtocolVersion, epoch, after, signatures: Vec::new() }
    }

    /// Reads an epoch's file of at most [`MAX_STUDY`] bytes.
    ///
    /// # Errors
    /// [`JsonError`] for anything that is no such file.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        json::parse(bytes, MAX_STUDY, "signed epoch")
    }

    /// Adds a site's signature; the same one twice stands there once.
    pub fn sign(&mut self, site: &SiteId, signer: &impl Signer<Signature>) {
        let statement = EpochSignature { epoch: self.epoch.id(), site: site.clone() };
        let signature = sign(statement, signer).signature;
        self.add(SiteSignature { site: site.clone(), signature });
    }

    /// Adds the signatures of others that are not there yet. Of two by one site with one key the first
    /// stands: a site can make many, and whoever has another one must not be kept from sending its own.
    pub fn merge(&mut self, others: impl IntoIterator<Item = SiteSignature>, before: &Study) {
        let epoch = self.epoch.id();
        let holds = |of: &Self, added: &SiteSignature| {
            let statement = EpochSignature { epoch, site: added.site.clone() };
            let signed = Signed { statement, signature: added.signature };
            let which = [WhichKey::Old, WhichKey::New].into_iter();
            which
                .filter_map(|which| Some((which, of.key(before, &added.site, which)?)))
                .find(|(_, key)| signed.verify(key, &added.site).is_ok())
                .map(|(which, _)| which)
        };
        for added in others {
            let known: Vec<SiteSignature> =
                self.signatures.iter().filter(|of| of.site == added.site).cloned().collect();
            if known.contains(&added) {
                continue;
            }
            let which = holds(self, &added);
            // One that holds under no key is added, and refused by the check of all.
            if which.is_none() || !known.iter().any(|of| holds(self, of) == which) {
                self.signatures.push(added);
            }
        }
    }

    /// A site's signature with this key, if it is among these.
    pub fn signed_by(&self, site: &SiteId, key: &PublicKey) -> Option<HasSigned> {
        let own = self.signatures.iter().filter(|signature| signature.site == *site);
        own.map(|own| HasSigned { epoch: self.epoch.clone(), signature: own.signature })
            .find(|signed| signed.is_by(site, key))
    }

    /// Adds a signature that is not there yet.
    pub fn add(&mut self, signature: SiteSignature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// Whose signatures are missing, after a check of those that are there. Everybody who comes, goes
    /// by itself or has new keys must sign, who has new keys with both; where somebody comes, all that
    /// stay; and in any case [`signers_needed`] of the roster before.
    ///
    /// # Errors
    /// [`EpochError::Signer`] and [`EpochError::Signature`] for one that does not belong there.
    pub fn missing(&self, before: &Study) -> Result<MissingSignatures, EpochError> {
        let signed = self.signers(before)?;
        let mut needed = BTreeSet::new();
        for change in &self.epoch.changes {
            let site = change.site();
            match change {
                Change::Enrol { .. } => _ = needed.insert((site, WhichKey::New)),
                Change::Rotate { .. } => {
                    needed.insert((site, WhichKey::Old));
                    if self.key(before, site, WhichKey::New).is_some() {
                        needed.insert((site, WhichKey::New));
                    }
                }
                Change::Leave { .. } => _ = needed.insert((site, WhichKey::Old)),
                Change::Revoke { .. } => {}
            }
        }
        if self.epoch.changes.iter().any(|change| matches!(change, Change::Enrol { .. })) {
            let stay = before.roster.iter().filter(|site| self.after.site(&site.id).is_some());
            needed.extend(stay.map(|site| (&site.id, WhichKey::Old)));
        }
        let named = needed.into_iter().filter(|needed| !signed.contains(needed));
        let named: Vec<_> = named.map(|(site, key)| (site.clone(), key)).collect();
        let of_before = signed.iter().filter(|(_, key)| *key == WhichKey::Old).count();
        let to_come = named.iter().filter(|(_, key)| *key == WhichKey::Old).count();
        Ok(MissingSignatures {
            named,
            more: signers_needed(before).saturating_sub(of_before + to_come),
        })
    }

    /// Who has signed, with which key.
    fn signers(&self, before: &Study) -> Result<BTreeSet<(&SiteId, WhichKey)>, EpochError> {
        let mut signed = BTreeSet::new();
        let epoch = self.epoch.id();
        for SiteSignature { site, signature } in &self.signatures {
            let statement = EpochSignature { epoch, site: site.clone() };
            let signature = Signed { statement, signature: *signature };
            let mut tried: Option<SignatureError> = None;
            let mut holds = |which| {
                let key = self.key(before, site, which)?;
                match signature.verify(&key, site) {
                    Ok(()) => Some(which),
                    Err(error) => {
                        tried = Some(error);
                        None
                    }
                }
            };
            match holds(WhichKey::Old).or_else(|| holds(WhichKey::New)) {
                Some(which) if signed.insert((site, which)) => {}
                Some(_) => return Err(EpochError::Signer(site.clone())),
                None => {
                    return Err(tried.map_or(EpochError::Signer(site.clone()), Into::into));
                }
            }
        }
        Ok(signed)
    }

    /// A site's key of the roster before, or of the one after where it is another.
    fn key(&self, before: &Study, site: &SiteId, which: WhichKey) -> Option<PublicKey> {
        let of = |study: &Study| study.site(site).map(|entry| entry.signature_key);
        match which {
            WhichKey::Old => of(before),
            WhichKey::New => of(&self.after).filter(|key| of(before) != Some(*key)),
        }
    }
}
