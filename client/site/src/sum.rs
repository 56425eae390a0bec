//! The sum of a certified set: fetched and held against the signed headers before anything is
//! opened; added up again from the bodies where it does not fit.

use std::fs::File;
use std::io::{self, BufReader, Seek};

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Certificate, Manifest};
use ringfence_keys::encrypt::check::CheckWords;
use ringfence_keys::open::{Evidence, Recount};
use tempfile::NamedTempFile;

use crate::error::SiteError;
use crate::site::Site;
use crate::transport::TransportError;

/// The true sum of a set.
#[derive(Debug)]
pub(crate) struct VerifiedSum {
    /// Its wire words.
    pub(crate) file: NamedTempFile,
    /// Its check words.
    pub(crate) check: CheckWords,
    /// What was found out about others; in the journal already.
    pub(crate) evidence: Vec<Evidence>,
    /// Whether this site added up the bodies itself. Only then may it dispute what comes of it.
    pub(crate) recounted: bool,
}

impl VerifiedSum {
    /// Reads it from its start.
    pub(crate) fn reader(&self) -> io::Result<BufReader<File>> {
        let mut file = self.file.reopen()?;
        file.rewind()?;
        Ok(BufReader::with_capacity(1 << 20, file))
    }
}

/// A round's sum as the aggregator published it; unchecked.
#[derive(Debug)]
pub(crate) struct FetchedSum {
    file: NamedTempFile,
    /// Its digest; none where there was no sum to be had.
    got: Option<Digest>,
}

impl Site {
    /// Fetches the sum of a round that is closed.
    ///
    /// # Errors
    /// [`SiteError`] when the aggregator cannot be reached, or has lost it for longer than this site's
    /// patience.
    pub(crate) async fn fetch_sum(&self, round: RoundNumber) -> Result<FetchedSum, SiteError> {
        let file = self.journal.round(self.study_id, round)?.scratch()?;
        let bytes = self.study.body_bytes()?;
        let at = self.at(round);
        let fetch = || at.sum(file.path(), bytes);
        // An aggregator that lost bytes asks their sites for them: that is waited for.
        let got = match self.until_mended(round, |_| false, fetch).await {
            Ok(got) => got,
            // An aggregator that answers, and has no such sum: it must be made again.
            Err(SiteError::Transport(
                TransportError::Refused { .. } | TransportError::TooLong { .. },
            )) => None,
            Err(error) => return Err(error),
        };
        Ok(FetchedSum { file, got })
    }

    /// The sum of a certified set: as it was fetched, if it has the closing's digest and the check words
    /// that the set's headers promise, else the sum of the set's bodies.
    ///
    /// # Errors
    /// [`SiteError`] when headers or bodies are not those of the set, or cannot be had.
    pub(crate) async fn verified_sum(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
        FetchedSum { file, got }: FetchedSum,
    ) -> Result<VerifiedSum, SiteError> {
        let round = manifest.round;
        let headers = self.set_headers(certificate).await?;
        let closing = &certificate.closing;
        let signed = closing.statement.sum;
        if got.is_some() && got == signed {
            let stated = headers.iter().map(|header| &header.statement);
            let wire_bits = self.study.packing.wire_bits;
            let check_key = self.check_key()?;
            let stated = check_key.sum_of_headers(stated, wire_bits);
            let id = manifest.id();
            let check = tokio::task::block_in_place(|| {
                let mut sum = BufReader::with_capacity(1 << 20, file.reopen()?);
                check_key.words_of(&self.study, id, &mut sum)
            });
            if let (Ok(stated), Ok(check)) = (stated, check)
                && stated.matches(&check)
            {
                let evidence = Vec::new();
                return Ok(VerifiedSum { file, check, evidence, recounted: false });
            }
        }
        let mut recounted = self.recount(manifest, certificate).await?;
        if got != signed {
            recounted.evidence.push(Evidence::OtherSum { got });
            self.journal.round(self.study_id, round)?.save_evidence(&recounted.evidence)?;
        }
        Ok(recounted)
    }

    /// Adds up the bodies of a set, one after the other, each fetched into a scratch file.
    pub(crate) async fn recount(
        &self,
        manifest: &Manifest,
        certificate: &Certificate,
    ) -> Result<VerifiedSum, SiteError> {
        let (round, id) = (manifest.round, manifest.id());
        let headers = self.set_headers(certificate).await?;
        let journal = self.journal.round(self.study_id, round)?;
        let (file, part) = (journal.scratch()?, journal.scratch()?);
        let open = || file.reopen().map_err(|error| SiteError::Recount(error.into()));
        let mut count = Recount::new(&self.study, id, self.check_key()?, open()?)?;
        // What a carrier brings, it brings all of in one trip.
        self.at(round).want_bodies(headers.iter().map(|header| &header.statement.site))?;
        for header in &headers {
            self.body(round, &header.statement.site, &part).await?;
            tokio::task::block_in_place(|| {
                let mut body = part.reopen()?;
                body.rewind()?;
                count.add(header, &mut BufReader::with_capacity(1 << 20, body))
            })?;
        }
        let ended = tokio::task::block_in_place(|| count.finish(&certificate.closing));
        let (check, evidence) = ended?;
        if !evidence.is_empty() {
            journal.save_evidence(&evidence)?;
        }
        Ok(VerifiedSum { file, check, evidence, recounted: true })
    }

    pub(crate) async fn body(
        &self,
        round: RoundNumber,
        site: &SiteId,
        part: &NamedTempFile,
    ) -> Result<(), SiteError> {
        let bytes = self.study.body_bytes()?;
        let at = self.at(round);
        let fetch = || at.body(site, part.path(), bytes);
        self.until_mended(round, |_| false, fetch).await?;
        Ok(())
    }
}
