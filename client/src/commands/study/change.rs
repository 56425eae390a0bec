//! `ringfence study change`: a change of the roster, proposed to the others.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Change as RosterChange, Epoch};
use ringfence_keys::study::change::change;
use ringfence_site::Site;

use super::accept::{post, signing};
use super::epochs::in_words;
use crate::files;
use crate::identity::read_identity;
use crate::member::Member;

/// Most rounds between the next one and an epoch's last one.
const FARTHEST: u32 = 100;

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
    /// Propose it beside one that is proposed already. Only where nobody signs that one any more: a site
    /// signs one of them, and takes part in no round after its last one before it is made.
    #[arg(long)]
    beside: bool,
    /// This site's new secret identity file, where --rotate is of this site: it signs, too.
    #[arg(long, value_name = "FILE")]
    new_identity: Option<PathBuf>,
}

fn samples(text: &str) -> Result<(SiteId, u32), String> {
    let expected = || format!("expected SITE=NUMBER, got {text}");
    let (site, count) = text.split_once('=').ok_or_else(expected)?;
    Ok((site.parse().map_err(|error| format!("{error}"))?, count.parse().map_err(|_| expected())?))
}

/// Refuses to propose a change beside one that may be made still: the signatures would be parted between
/// them.
async fn alone(site: &Site, last_round: RoundNumber) -> anyhow::Result<()> {
    let lineage = site.lineage();
    let next = site.next_round().await?;
    for signed in site.transport().proposed_epochs(lineage.first().id).await? {
        if lineage.check(&signed).is_err() || signed.epoch.last_round.next() < next {
            continue;
        }
        let by: Vec<&str> = signed.signatures.iter().map(|of| SiteId::as_str(&of.site)).collect();
        bail!(
            "a change of the roster after round {} is proposed already ({}, signed by {}), and a site signs one of the two only: accept that one (`ringfence study accept`), make this change after it, or, where nobody signs it any more, propose this one with --beside; nothing was signed (this one would be after round {last_round})",
            signed.epoch.last_round,
            signed.epoch.id(),
            by.join(", ")
        );
    }
    Ok(())
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
        let next = site.next_round().await?;
        let last_round = match self.last_round {
            Some(round) => round,
            None => next,
        };
        let lineage = site.lineage();
        // The same command again sends the same signature: the aggregator may have been started again.
        let same = site.pending_epoch()?.filter(|signed| {
            let Epoch { changes: known, last_round, .. } = &signed.epoch;
            *known == changes && self.last_round.is_none_or(|round| round == *last_round)
        });
        let epoch = match same {
            Some(signed) => signed,
            None => {
                ensure!(
                    last_round.0 <= next.0.saturating_add(FARTHEST),
                    "--last-round: expected {} at most, {FARTHEST} after the next, got {last_round}: the study can have no other epoch before this one is made, and what is signed is not taken back",
                    next.0.saturating_add(FARTHEST)
                );
                if !self.beside {
                    alone(&site, last_round).await?;
                }
                let mut rng = ringfence_keys::system_rng().context("no randomness")?;
                change(lineage, changes, &self.sample_count, last_round, &mut rng)?
            }
        };
        site.check_not_missed(&epoch).await?;
        let renewed = self.new_identity.as_deref().map(read_identity).transpose()?;
        let signed = site.sign_epoch(epoch, renewed.as_ref())?;
        let missing = lineage.check(&signed)?;
        print!("{}", in_words(&lineage.latest().study, &signed, Some(&missing)));
        post(site.transport(), lineage, &signed).await
    }
}
