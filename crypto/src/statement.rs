//! What the parties sign: one file for each kind of statement. A statement's name is the digest of
//! its canonical bytes; it excludes the signature, so nobody can give one statement two names.
#![warn(clippy::indexing_slicing, reason = "statements come from strangers")]

mod acknowledgement;
mod carrier_permit;
mod certificate;
mod check_key;
mod closing;
mod dispute;
mod epoch;
mod freeze;
mod groups;
mod header;
mod kem_key;
mod manifest;
mod opening;
mod privacy_check;
mod privacy_policy;
mod proceedings;
mod quorum;
mod reach;
mod receipt;
pub mod reserved;
mod restore;
mod review;
mod roster_entry;
mod round_keys;
mod signed_study;
mod spent;
mod study;
mod summands;
mod training;
mod weighting;

pub use acknowledgement::{Acknowledgement, Outcome};
pub use carrier_permit::{CarrierPermit, MAX_PERMIT_SECONDS, PermitError};
pub use certificate::{Certificate, CertificateError, Endorsement};
pub use check_key::CheckKeySeals;
pub use closing::{Closing, ClosingError, Excluded, ExclusionReason, Included, SetView};
pub use dispute::{Dispute, DisputeError, Verdict};
pub use epoch::{
    Change, Epoch, EpochError, EpochSignature, HasSigned, InForce, Lineage, MissingSignatures,
    SignedEpoch, WhichKey, change_roster, min_sites_after, signers_needed, threshold_after,
};
pub use freeze::{Freeze, FreezeError};
pub use groups::group_lengths;
pub use header::{CHECK_BYTES, Header, HeaderError};
pub use kem_key::{KemKeyError, check_kem_key};
pub use manifest::{Manifest, ManifestError, Previous};
pub use opening::{Opening, Subject};
pub use privacy_check::PolicyError;
pub use privacy_policy::{Budget, PrivacyPolicy, PrivacyUnit, RecordLevel, SiteLevel};
pub use proceedings::{Proceedings, Settled};
pub use quorum::{Certifiable, Endorses, Quorum, QuorumError};
pub use reach::Reach;
pub use receipt::Receipt;
pub use restore::{RestoreRequest, Standing};
pub use review::{Review, ReviewError};
pub use roster_entry::{HexBytes, KEM_KEY_BYTES, RosterEntry};
pub use round_keys::{
    HolderKey, HolderKeys, MAX_ROUND_KEYS, RoundKeys, RoundKeysError, UNSEEN_SECONDS,
};
pub use signed_study::{SignedStudy, SiteSignature};
pub use spent::{Spent, SpentError};
pub use study::{MAX_ROUND_SECONDS, MOST_NAMED, Study, StudyError};
pub use summands::Summands;
pub use training::{
    MAX_SETTING_NAME, MAX_SETTING_VALUE, MAX_SETTINGS, Setting, Training, TrainingDifference,
    TrainingError,
};
pub use weighting::{MAX_LOST_BITS, MIN_LEFT_BITS, Weighting, WeightingError};

/// A holder's endorsement of a dispute.
pub type DisputeEndorsement = Endorses<Dispute>;
/// A holder's endorsement of a verdict.
pub type VerdictEndorsement = Endorses<Verdict>;
/// A dispute that Q holders endorsed.
pub type DisputeCertificate = Quorum<Dispute>;
/// A verdict that Q holders endorsed.
pub type VerdictCertificate = Quorum<Verdict>;
