//! Adding up a certified set's bodies again, when the published sum does not fit its headers: the
//! true sum, and signed evidence of who is at fault.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use ringfence_crypto::Digest;
use ringfence_crypto::id::{ManifestId, SiteId};
use ringfence_crypto::ring::packing::PackingError;
use ringfence_crypto::ring::params::RING_DEGREE;
use ringfence_crypto::ring::words::{
    LengthError, WordSum, block_bytes, pack, reduce_wide, unpack, word_modulus,
};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Header, Study};
use serde::{Deserialize, Serialize};

use super::coefficient::{CoefficientFault, Position};
use crate::encrypt::check::{CheckKey, CheckVectors, CheckWords};

/// What shows that somebody broke the protocol: a signed statement that is false, and that anybody
/// on the roster can hold against the public bodies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Evidence {
    /// The check words in a site's header are not those of the body that the header names.
    CheckWords {
        /// The header.
        header: Signed<Header>,
    },
    /// The body that a header names breaks the format at a disputed coefficient.
    Format {
        /// The certified dispute, under which the holders' functionals were opened.
        dispute: Digest,
        /// The header.
        header: Signed<Header>,
        /// The disputed coefficient.
        position: Position,
        /// What is wrong there.
        fault: CoefficientFault,
    },
    /// The sum that the aggregator signed is not that of the set that it signed.
    WrongSum {
        /// The closing.
        closing: Signed<Closing>,
        /// Digest of the bodies' sum.
        expected: Digest,
    },
    /// The aggregator sent, or no longer had, another sum than the one it signed. It signs no
    /// answer: this shows others nothing.
    OtherSum {
        /// Digest of what came; none when nothing did.
        got: Option<Digest>,
    },
}

impl Evidence {
    /// The site that it is against; the aggregator if there is none.
    pub fn against(&self) -> Option<&SiteId> {
        match self {
            Self::CheckWords { header } | Self::Format { header, .. } => {
                Some(&header.statement.site)
            }
            Self::WrongSum { .. } | Self::OtherSum { .. } => None,
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CheckWords { header } => write!(
                f,
                "check words: {} signed check words that are not those of its body",
                header.statement.site
            ),
            Self::Format { dispute, header, position, fault } => write!(
                f,
                "format: the body of {} breaks the format at {position}: {fault} (dispute {dispute})",
                header.statement.site
            ),
            Self::WrongSum { closing, expected } => write!(
                f,
                "wrong sum: the aggregator signed the sum {}, the bodies of the set add up to {expected}",
                closing.statement.sum.map_or("none".into(), |sum| sum.to_string())
            ),
            Self::OtherSum { got: Some(got) } => {
                write!(f, "other sum: the aggregator sent the sum {got}, which it did not sign")
            }
            Self::OtherSum { got: None } => {
                write!(f, "other sum: the aggregator does not have the sum that it signed")
            }
        }
    }
}

/// A set's bodies could not be added up again.
#[derive(Debug, thiserror::Error)]
pub enum RecountError {
    /// A body or the running sum could not be read or written.
    #[error("could not add up the bodies again: {0}")]
    Io(#[from] io::Error),
    /// A body is not the one that its header names.
    #[error(
        "the body of {site} has digest {got}, its signed header says {expected}: the aggregator sent another one; try again, and report it if it stays so"
    )]
    Body {
        /// Whose body.
        site: SiteId,
        /// By the header.
        expected: Digest,
        /// What came.
        got: Digest,
    },
    /// No such coefficient.
    #[error(
        "expected a position below block {blocks} and coefficient {RING_DEGREE}, got {position}"
    )]
    Position {
        /// What was asked for.
        position: Position,
        /// Blocks of a body.
        blocks: usize,
    },
    /// The study's own numbers.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// The study's own numbers.
    #[error(transparent)]
    Words(#[from] LengthError),
}

/// The sum of the bodies that have been counted, in a file of the caller's, and what was found.
pub struct Recount<'a, F> {
    study: &'a Study,
    check_key: &'a CheckKey,
    vectors: CheckVectors<'a>,
    sum: F,
    check: CheckWords,
    found: Vec<Evidence>,
}

impl<'a, F: Read + Write + Seek> Recount<'a, F> {
    /// Counts nothing yet: `sum` becomes a body of zeros.
    ///
    /// # Errors
    /// [`RecountError`] when it cannot be written.
    pub fn new(
        study: &'a Study,
        manifest: ManifestId,
        check_key: &'a CheckKey,
        mut sum: F,
    ) -> Result<Self, RecountError> {
        sum.rewind()?;
        io::copy(&mut io::repeat(0).take(study.body_bytes()?), &mut sum)?;
        let wire_bits = study.packing.wire_bits;
        let (vectors, check) =
            (check_key.vectors(manifest, wire_bits), CheckWords::zero(wire_bits));
        Ok(Self { study, check_key, vectors, sum, check, found: Vec::new() })
    }

    /// Goes on from a sum whose check words are known, to take bodies out of it.
    pub fn resume(
        study: &'a Study,
        manifest: ManifestId,
        check_key: &'a CheckKey,
        sum: F,
        check: CheckWords,
    ) -> Self {
        let vectors = check_key.vectors(manifest, study.packing.wire_bits);
        Self { study, check_key, vectors, sum, check, found: Vec::new() }
    }

    /// Adds a body of the set; `header` is the one in the set, with a verified signature. Memory is
    /// that of a few blocks.
    ///
    /// # Errors
    /// [`RecountError`]; the sum is spoiled then.
    pub fn add(
        &mut self,
        header: &Signed<Header>,
        body: &mut impl Read,
    ) -> Result<(), RecountError> {
        let (digest, check) = self.merge(body, false)?;
        header_names(&header.statement, digest)?;
        let stated = self.check_key.header_words(&header.statement, self.study.packing.wire_bits);
        if !stated.is_ok_and(|stated| stated.matches(&check)) {
            self.found.push(Evidence::CheckWords { header: header.clone() });
        }
        self.check.add(&check);
        Ok(())
    }

    /// Takes out a body that is in the sum, with its check words. It is read twice: before it counts
    /// it is held against the header's digest. The caller takes out only sites of the set, and each
    /// once.
    ///
    /// # Errors
    /// [`RecountError::Body`] when it is another body, and nothing was taken out; after any other
    /// error the sum is spoiled.
    pub fn remove(
        &mut self,
        header: &Signed<Header>,
        body: &mut (impl Read + Seek),
    ) -> Result<(), RecountError> {
        body.rewind()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(body.by_ref().take(self.study.body_bytes()?))?;
        header_names(&header.statement, Digest::finish(&hasher))?;
        body.rewind()?;
        let (digest, check) = self.merge(body, true)?;
        if header_names(&header.statement, digest).is_err() {
            return Err(io::Error::other("a body changed while it was read").into());
        }
        self.check.add(&check);
        Ok(())
    }

    /// Adds the words of a body to the sum, or their negatives; returns the body's digest, and the
    /// check words of what was added.
    fn merge(
        &mut self,
        body: &mut impl Read,
        negative: bool,
    ) -> Result<(Digest, CheckWords), RecountError> {
        let wire_bits = self.study.packing.wire_bits;
        let (blocks, bytes) = (self.study.blocks()?, block_bytes(wire_bits));
        let batch = CheckVectors::batch().min(blocks);
        let (mut part, mut total) = (vec![0; batch * bytes], vec![0; batch * bytes]);
        let (mut hasher, mut check) = (blake3::Hasher::new(), CheckWords::zero(wire_bits));
        for first in (0..blocks).step_by(batch) {
            let length = batch.min(blocks - first) * bytes;
            part.truncate(length);
            total.truncate(length);
            body.read_exact(&mut part)?;
            hasher.update(&part);
            if negative {
                negate(&mut part, wire_bits);
            }
            // A linear function of the words: the negatives' are the negative check words.
            check.add(&self.vectors.of_blocks(first, &part));
            let at = SeekFrom::Start((first * bytes) as u64);
            self.sum.seek(at)?;
            self.sum.read_exact(&mut total)?;
            let mut words = WordSum::new(wire_bits, length)?;
            words.add(&total)?;
            words.add(&part)?;
            self.sum.seek(at)?;
            self.sum.write_all(&words.finish())?;
        }
        Ok((Digest::finish(&hasher), check))
    }

    /// Ends the count, once every body of the closing's set was added: the check words of the sum,
    /// which is the caller's file, and what was found.
    ///
    /// # Errors
    /// [`RecountError`] when the sum cannot be read.
    pub fn finish(
        mut self,
        closing: &Signed<Closing>,
    ) -> Result<(CheckWords, Vec<Evidence>), RecountError> {
        self.sum.rewind()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut self.sum)?;
        let expected = Digest::finish(&hasher);
        if closing.statement.sum != Some(expected) {
            self.found.push(Evidence::WrongSum { closing: closing.clone(), expected });
        }
        Ok((self.check, self.found))
    }

    /// The check words of the sum, once the bodies were taken out: the sum is the caller's file.
    pub fn into_check(self) -> CheckWords {
        self.check
    }
}

/// Refuses a body of another digest than its header's.
pub(super) fn header_names(header: &Header, got: Digest) -> Result<(), RecountError> {
    let Header { site, body: expected, .. } = header;
    match got == *expected {
        true => Ok(()),
        false => Err(RecountError::Body { site: site.clone(), expected: *expected, got }),
    }
}

/// Replaces the words of whole blocks by their negatives modulo `p`.
fn negate(blocks: &mut [u8], wire_bits: u8) {
    let modulus = word_modulus(wire_bits);
    let mut words = [0; RING_DEGREE];
    for block in blocks.chunks_exact_mut(block_bytes(wire_bits)) {
        unpack(block, wire_bits, words.as_mut_slice());
        for word in &mut words {
            let residue = reduce_wide((*word).into(), wire_bits);
            *word = if residue == 0 { 0 } else { modulus - residue };
        }
        pack(&words, wire_bits, block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encrypt::check::CheckBinding;
    use crate::testing::study;
    use ringfence_crypto::id::RoundNumber;
    use ringfence_crypto::signature::Statement;

    /// A site whose check words open well and are those of another body is named, the others not.
    #[test]
    fn well_sealed_check_words_of_another_body_are_evidence() {
        let (study, identities) = study(3);
        let check_key = identities[0].check_key(&study).unwrap();
        let manifest = Digest::of(b"round").into();
        let bytes = study.body_bytes().unwrap() as usize;
        let body = |k: usize| (0..bytes).map(|i| (i * (k + 7)) as u8).collect::<Vec<u8>>();
        let header = |k: usize, checked: usize| {
            let (site, digest) = (identities[k].site(), Digest::of(&body(k)));
            let words = check_key.words_of(&study, manifest, &mut &body(checked)[..]).unwrap();
            identities[k].sign(Header {
                study: study.id(),
                round: RoundNumber(0),
                manifest,
                site: site.clone(),
                body_bytes: bytes as u64,
                body: digest,
                check: check_key.seal_words(CheckBinding { manifest, site, body: digest }, &words),
                envelopes: Vec::new(),
                spent: None,
            })
        };
        let headers = [header(0, 0), header(1, 2), header(2, 2)];
        let mut sum = io::Cursor::new(Vec::new());
        let mut count = Recount::new(&study, manifest, &check_key, &mut sum).unwrap();
        for (k, header) in headers.iter().enumerate() {
            count.add(header, &mut &body(k)[..]).unwrap();
        }
        assert_eq!(count.found, [Evidence::CheckWords { header: headers[1].clone() }]);
        let again = check_key.words_of(&study, manifest, &mut count.sum.get_ref().as_slice());
        assert!(again.unwrap().matches(&count.check), "the sum has the bodies' check words");
    }
}
