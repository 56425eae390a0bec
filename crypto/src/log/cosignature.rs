//! Cosignatures: a witness says under a checkpoint that at a time this was the largest state of the log
//! that it had seen, and that it continues all that it had seen before
//! (<https://c2sp.org/tlog-cosignature>, `cosignature/v1`, Ed25519).
//!
//! A site is a witness with the key of its statements. Nothing that the key signs elsewhere can be taken
//! for a cosignature: a statement's signed bytes begin with a 32-bit count and so hold zero bytes, those
//! of a request begin with a quotation mark, and those of a cosignature with the line
//! `cosignature/v1`. The name of the key holds study and site, and the text signed the study's origin.

use std::fmt;

use ed25519_dalek::{Signature, Signer};

use super::note::{KeyName, NoteError, NoteSignature, SignedNote, key_id};
use super::origin;
use crate::id::{SiteId, StudyId, UnixSeconds};
use crate::signature::PublicKey;

/// The signature type of an Ed25519 witness.
const COSIGNATURE: u8 = 4;

/// Most cosignatures of a note that everybody reads: its log's signature comes first.
pub const MAX_COSIGNATURES: usize = super::note::MAX_SIGNATURES - 1;

/// A witness: its name and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    name: KeyName,
    key: PublicKey,
}

/// One witness's signature of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, by the witness's clock.
    pub time: UnixSeconds,
    /// Over `cosignature/v1`, the time and the note's text.
    pub signature: [u8; 64],
}

impl Witness {
    /// A witness under a name.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, key: PublicKey) -> Result<Self, NoteError> {
        Ok(Self { name: name.parse()?, key })
    }

    /// A site of a study, as it was first signed, as a witness of its log: `ringfence/STUDY/SITE`.
    ///
    /// # Errors
    /// None: such names are sound.
    pub fn site(study: StudyId, site: &SiteId, key: PublicKey) -> Result<Self, NoteError> {
        Self::new(&format!("{}/{site}", origin(study)), key)
    }

    /// Its name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// `SHA-256(name || 0x0A || 0x04 || key)[:4]`.
    pub fn id(&self) -> [u8; 4] {
        key_id(&self.name, COSIGNATURE, &self.key)
    }

    /// Cosigns a note with `signer`, the secret half of this key. That its text is a checkpoint which
    /// continues all that was cosigned before, the caller has seen to.
    pub fn cosign(
        &self,
        note: &SignedNote,
        time: UnixSeconds,
        signer: &impl Signer<Signature>,
    ) -> Cosignature {
        let signature = signer.sign(&message(note.text(), time)).to_bytes();
        Cosignature { time, signature }
    }

    /// The witness's cosignature of a note, whoever else signed it.
    ///
    /// # Errors
    /// [`NoteError`] when it did not cosign, twice, or its signature does not hold (strictly).
    pub fn verify(&self, note: &SignedNote) -> Result<Cosignature, NoteError> {
        let refuse = || NoteError::Signature(self.name.as_str().to_owned());
        let bytes = note.by(&self.name, self.id())?;
        let (time, signature) = bytes.split_first_chunk::<8>().ok_or_else(refuse)?;
        let time = UnixSeconds(u64::from_be_bytes(*time));
        let signature: [u8; 64] = signature.try_into().map_err(|_| refuse())?;
        let holds = Signature::from_bytes(&signature);
        match self.key.verifies(&message(note.text(), time), &holds) {
            true => Ok(Cosignature { time, signature }),
            false => Err(refuse()),
        }
    }

    /// Adds a cosignature to a note, as its last line. It is not checked here.
    pub fn attach(&self, note: &mut SignedNote, cosignature: &Cosignature) {
        let Cosignature { time, signature } = cosignature;
        let bytes = [&time.0.to_be_bytes()[..], signature].concat();
        note.add(NoteSignature { name: self.name.clone(), id: self.id(), bytes });
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name.as_str())
    }
}

fn message(text: &str, time: UnixSeconds) -> Vec<u8> {
    format!("cosignature/v1\ntime {}\n{text}", time.0).into_bytes()
}
