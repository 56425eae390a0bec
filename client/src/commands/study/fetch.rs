//! `ringfence study fetch`: a study's file from the aggregator, checked.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use ringfence_clock::Clock;
use ringfence_crypto::id::StudyId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::SignedStudy;
use ringfence_crypto::wire::json;

use super::drafts::standing;
use crate::files::{self, Replacing, read_study};
use crate::member::{Reader, Server};

/// Arguments of `ringfence study fetch`.
#[derive(Debug, clap::Args)]
pub(crate) struct Fetch {
    /// The study's digest, as `ringfence study register` has printed it; unless given, that of the file
    /// at --out, which then gets the signatures that the aggregator has.
    #[arg(long, value_name = "DIGEST")]
    digest: Option<StudyId>,
    /// Where the study file is written. A file of the same study is replaced, and keeps its signatures.
    #[arg(long, default_value = "study.json")]
    out: PathBuf,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    reader: Reader,
    /// Fail unless the study is registered, and write nothing then.
    #[arg(long)]
    registered: bool,
    #[command(flatten)]
    replacing: Replacing,
}

impl Fetch {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let here = self.here()?;
        let digest = self.digest.or(here.as_ref().map(|study| study.study.id()));
        let digest = digest.with_context(|| {
            format!(
                "there is no study file at {}: give the study's digest by --digest, as whoever made the study knows it",
                self.out.display()
            )
        })?;
        let here = here.filter(|study| study.study.id() == digest);
        if here.is_none() {
            self.replacing.check(&self.out)?;
        }
        let transport = self.reader.connect(&self.server, Clock::system())?;
        if let Some(study) = &here {
            transport.meet(&study.study.aggregator_key).await?;
        }
        let status = transport.draft_status(digest).await?;
        ensure!(
            status.registered || !self.registered,
            "study {digest} is not registered yet: {}; nothing was written",
            standing(&status)
        );
        let mut study = match status.registered {
            true => transport.study(digest).await?,
            false => transport.draft(digest).await?,
        };
        let got = study.study.id();
        ensure!(
            got == digest,
            "the aggregator sent study {got}, expected {digest}; nothing was written: tell whoever runs it"
        );
        let missing = study.missing()?;
        if here.is_none() {
            transport.meet(&study.study.aggregator_key).await?;
        }
        if status.registered {
            study.verify()?;
        } else if !missing.is_empty() {
            keep_signatures(&mut study, here);
        }
        files::write(&self.out, &json::pretty(&study))?;
        println!("study {digest}: {}", standing(&status));
        match missing.is_empty() {
            true => println!("written to {}, sound and signed by all", self.out.display()),
            false => println!(
                "written to {} as it stands; `ringfence study show` shows what it says, and `ringfence study sign --server` signs it",
                self.out.display()
            ),
        }
        Ok(())
    }

    /// The study file that lies there, if one does.
    fn here(&self) -> anyhow::Result<Option<SignedStudy>> {
        match (self.out.exists(), self.digest) {
            (false, _) => Ok(None),
            (true, None) => read_study(&self.out).map(Some),
            // Whatever it is, it is no file of this study, and replaced with leave only.
            (true, Some(_)) => Ok(read_study(&self.out).ok()),
        }
    }
}

/// Adds the signatures of a file of the same study that the aggregator does not have, and that hold.
fn keep_signatures(study: &mut SignedStudy, here: Option<SignedStudy>) {
    let id = study.study.id();
    for signature in here.into_iter().flat_map(|here| here.signatures) {
        if study.signatures.iter().all(|known| known.site != signature.site) {
            let key = study.study.site(&signature.site).map(|entry| entry.signature_key);
            if key.is_some_and(|key| signature.verify_study(id, &key).is_ok()) {
                study.signatures.push(signature);
            }
        }
    }
}
