//! A study with the signatures of its roster.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::study::{Study, StudyError};
use crate::digest::Digest;
use crate::id::{SiteId, StudyId};
use crate::protocol::ProtocolVersion;
use crate::signature::{PublicKey, SignatureError, Signed, Statement, sign, signature_hex};
use crate::wire::canonical::canonical;
use crate::wire::json::{self, JsonError, MAX_STUDY};

/// What a site signs: the study's name, so that checking a large roster hashes the study once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StudySignature {
    study: StudyId,
    site: SiteId,
}
canonical!(StudySignature { study, site });

impl Statement for StudySignature {
    const LABEL: &'static str = "study-signature";
    type Id = Digest;
}

/// One site's signature of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SiteSignature {
    /// Who signed.
    pub site: SiteId,
    /// Ed25519 over the study's digest and the site's name.
    #[serde(with = "signature_hex")]
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::schema::signature))]
    pub signature: Signature,
}

impl SiteSignature {
    /// Checks that the site has signed this study, by the key that the study's roster has for it.
    ///
    /// # Errors
    /// [`SignatureError`] when the signature does not hold under that key.
    pub fn verify_study(&self, study: StudyId, key: &PublicKey) -> Result<(), SignatureError> {
        let statement = StudySignature { study, site: self.site.clone() };
        Signed { statement, signature: self.signature }.verify(key, &self.site)
    }
}

/// A study with the signatures it has so far; complete when the whole roster signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedStudy {
    /// Which protocol the study runs under.
    pub protocol: ProtocolVersion,
    /// The study.
    pub study: Study,
    /// Signatures, in any order, one a site.
    pub signatures: Vec<SiteSignature>,
}

impl SignedStudy {
    /// A study that nobody has signed yet.
    pub fn unsigned(study: Study) -> Self {
        Self { protocol: ProtocolVersion, study, signatures: Vec::new() }
    }

    /// Reads a study file of at most [`MAX_STUDY`] bytes.
    ///
    /// # Errors
    /// [`JsonError::Protocol`] for a study of another version of the protocol, whatever its fields
    /// are; [`JsonError`] for anything else that is no study file.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        // Version 1 stated none.
        #[derive(Deserialize)]
        struct Stated {
            #[serde(rename = "study")]
            _study: IgnoredAny,
            protocol: Option<u32>,
        }
        let parsed = json::parse(bytes, MAX_STUDY, "study file");
        // Only a file that is none of this version is read again, to tell why.
        if let Err(JsonError::Malformed { .. }) = &parsed
            && let Ok(Stated { protocol, .. }) = serde_json::from_slice(bytes)
        {
            ProtocolVersion::of(protocol.unwrap_or(1))?;
        }
        parsed
    }

    /// Adds one site's signature.
    ///
    /// # Errors
    /// [`StudyError::Signer`] when `site` is not on the roster or signed already, and
    /// [`StudyError::Signature`] when `signer` is not the key that the roster names.
    pub fn sign(
        &mut self,
        site: &SiteId,
        signer: &impl Signer<Signature>,
    ) -> Result<(), StudyError> {
        let statement = StudySignature { study: self.study.id(), site: site.clone() };
        let signed = sign(statement, signer);
        let member = self.study.site(site).ok_or_else(|| StudyError::Signer(site.clone()))?;
        if self.signatures.iter().any(|signature| signature.site == *site) {
            return Err(StudyError::Signer(site.clone()));
        }
        signed.verify(&member.signature_key, site)?;
        self.signatures.push(SiteSignature { site: site.clone(), signature: signed.signature });
        Ok(())
    }

    /// Refuses anything but a sound study that the whole roster signed.
    ///
    /// # Errors
    /// [`StudyError`] names what is wrong or who has not signed.
    pub fn verify(&self) -> Result<(), StudyError> {
        let missing = self.missing()?;
        match missing.is_empty() {
            true => Ok(()),
            false => Err(StudyError::Unsigned(missing)),
        }
    }

    /// Whose signatures are missing, in the order of their names, after a check of the study and of
    /// the signatures that are there.
    ///
    /// # Errors
    /// [`StudyError`] for a study that is not sound, a signature that does not hold, one by nobody on
    /// the roster, and a second one of a site.
    pub fn missing(&self) -> Result<Vec<SiteId>, StudyError> {
        self.study.check()?;
        let study = self.study.id();
        let mut missing: BTreeMap<&SiteId, &PublicKey> =
            self.study.roster.iter().map(|site| (&site.id, &site.signature_key)).collect();
        for signature in &self.signatures {
            let Some(key) = missing.remove(&signature.site) else {
                return Err(StudyError::Signer(signature.site.clone()));
            };
            signature.verify_study(study, key)?;
        }
        Ok(missing.into_keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_of_version_1_is_told_from_a_broken_file() {
        let error = SignedStudy::parse(br#"{"study": {"name": "old"}, "signatures": []}"#);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("this is of protocol version 1, and this program"), "{error}");
        for broken in [&b"{}"[..], b"[]", br#"{"protocol": 2, "study": {}, "signatures": []}"#] {
            let error = SignedStudy::parse(broken).unwrap_err().to_string();
            assert!(error.starts_with("expected the JSON of a study file"), "{error}");
        }
    }
}
