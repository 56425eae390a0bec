//! `ringfence study change`: a change of the roster, proposed to the others.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::Change as RosterChange;
use ringfence_keys::study::change::change;

use super::accept::{post, signing};
use super::epochs::in_words;
use crate::files;
use crate::identity::read_identity;
use crate::member::Member;

/// Arguments of `ringfence study change`.
#[derive(Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    member: Member,
    /// Let a site in: its public file. Give it for each.
    #[arg(long, value_name = "FILE")]
    enrol: Vec<PathBuf>,
    /// Give a site new keys: its new public file, under the same name.
    #[arg(long, value_name = "FILE")]
    rotate: Vec<PathBuf>,
    /// Put a site out.
    #[arg(long, value_name = "SITE")]
    revoke: Vec<SiteId>,
    /// Leave the study: this site.
    #[arg(long)]
    leave: bool,
    /// Training samples of a site that is let in, in a study that weights by them.
    #[arg(long, value_name = "SITE=N", value_parser = samples)]
    sample_count: Vec<(SiteId, u32)>,
    /// The last round under the present roster: the one after the last that is open, unless given. The
    /// others must have signed before the round after it begins.
    #[arg(long, value_name = "ROUND")]
    last_round: Option<RoundNumber>,
    /// This site's new secret identity file, where --rotate is of this site: it signs, too.
    #[arg(long, value_name = "FILE")]
    new_identity: Option<PathBuf>,
}

fn samples(text: &str) -> Result<(SiteId, u32), String> {
    let expected = || format!("expected SITE=NUMBER, got {text}");
    let (site, count) = text.split_once('=').ok_or_else(expected)?;
    Ok((site.parse().map_err(|error| format!("{error}"))?, count.parse().map_err(|_| expected())?))
}

impl Change {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let site = signing(&self.member).await?;
        let entries = |files: &[PathBuf]| {
            files.iter().map(|path| files::read_public(path)).collect::<anyhow::Result<Vec<_>>>()
        };
        // Those that go before those that come: there is room for them then.
        let mut changes: Vec<RosterChange> =
            self.revoke.into_iter().map(|site| RosterChange::Revoke { site }).collect();
        if self.leave {
            changes.push(RosterChange::Leave { site: site.id().clone() });
        }
        let rotated = entries(&self.rotate)?.into_iter();
        changes.extend(rotated.map(|entry| RosterChange::Rotate { entry }));
        let enrolled = entries(&self.enrol)?.into_iter();
        changes.extend(enrolled.map(|entry| RosterChange::Enrol { entry }));
        ensure!(
            !changes.is_empty(),
            "expected what changes: --enrol FILE, --rotate FILE, --revoke SITE or --leave"
        );
        let last_round = match self.last_round {
            Some(round) => round,
            None => site.next_round().await?,
        };
        let mut rng = ringfence_keys::system_rng().context("no randomness")?;
        let lineage = site.lineage();
        let epoch = change(lineage, changes, &self.sample_count, last_round, &mut rng)?;
        let renewed = self.new_identity.as_deref().map(read_identity).transpose()?;
        let signed = site.sign_epoch(epoch, renewed.as_ref())?;
        let missing = lineage.check(&signed)?;
        print!("{}", in_words(&lineage.latest().study, &signed, Some(&missing)));
        post(site.transport(), lineage, &signed).await
    }
}
