//! `ringfence witness`: one look at a study's log, held against what this site and others have seen.

use std::path::PathBuf;

use anyhow::Context;
use ringfence_crypto::log::SignedNote;
use ringfence_crypto::log::note::MAX_NOTE;
use ringfence_durable as durable;
use ringfence_site::Witnessed;

use crate::member::Member;

/// Arguments of `ringfence witness`.
#[derive(Debug, clap::Args)]
pub(crate) struct WitnessLog {
    #[command(flatten)]
    member: Member,
    /// A checkpoint that another site or an auditor has of this study's log, to compare with: the file
    /// `checkpoint` of a site's STATE/studies/STUDY, or `log/checkpoint` of an export. Give it as often as
    /// there are some.
    #[arg(long, value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// Write this site's cosigned checkpoint here, to be shown to others.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl WitnessLog {
    /// Looks at the log, keeps and cosigns its head, and compares.
    ///
    /// # Errors
    /// That the log was forked, among others: both signed heads are in this site's state then.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let mut others = Vec::new();
        for path in &self.seen {
            let named = || path.display().to_string();
            let bytes = durable::read(path, MAX_NOTE).with_context(named)?;
            let text = String::from_utf8(bytes).with_context(named)?;
            others.push((path, text.parse::<SignedNote>().with_context(named)?));
        }
        let site = self.member.open().await?;
        site.meet().await?;
        let Witnessed { checkpoint, note, refused, like } = site.witness().await?;
        println!("the log continues all that this site has seen: {checkpoint}");
        if let Some(like) = like {
            println!("{like} has cosigned the same log");
        }
        match refused {
            None => println!("cosigned; the aggregator shows it to everybody"),
            Some(reason) => println!("cosigned; the aggregator did not take it: {reason}"),
        }
        for (path, note) in others {
            let shown = path.display().to_string();
            let (other, _) = site.compare(note, &shown).await.with_context(|| shown.clone())?;
            println!("{shown}: the same log: {other}");
        }
        if let Some(out) = &self.out {
            durable::write_result(out, note.as_bytes())
                .with_context(|| out.display().to_string())?;
            println!("this site's cosigned checkpoint is in {}", out.display());
        }
        Ok(())
    }
}
