//! What the parties sign. A statement's digest is that of its canonical bytes; it excludes the
//! signature, so nobody can give one statement two digests.

mod acknowledgement;
mod closing;
mod contribution;
mod manifest;
mod name;
mod opening;
mod round_keys;
mod signed;
mod study;
mod weights;

pub use acknowledgement::{Acknowledgement, FailureClass, Outcome};
pub use closing::{
    Certificate, CertificateError, Closing, ClosingError, Endorsement, Excluded, Included, Review,
};
pub use contribution::{Header, Receipt};
pub use manifest::{Manifest, ManifestError, Previous};
pub use name::{SiteId, SiteIdError};
pub use opening::Opening;
pub use round_keys::{HolderKeys, MAX_ROUND_KEYS, RoundKeys, RoundKeysError};
pub use signed::{PublicKey, SignatureError, Signed, Statement, sign};
pub use study::{
    CheckKeySeals, HexBytes, KEM_KEY_BYTES, PrivacyPolicy, SignedStudy, Site, SiteSignature, Study,
    StudyError,
};
pub use weights::{WeightPolicy, WeightsError};
