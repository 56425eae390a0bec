//! `ringfence study accept`: what a proposed change of the roster does, and a site's signature of it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{bail, ensure};
use ringfence_crypto::Digest;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{Lineage, SignedEpoch};
use ringfence_site::transport::Transport;
use ringfence_site::{NoPart, Site, SiteError, known_epochs, sign_enrolment};

use super::epochs::in_words;
use crate::identity::read_identity;
use crate::member::Member;

/// Arguments of `ringfence study accept`.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    #[command(flatten)]
    member: Member,
    /// Which of the proposed epochs, where there are several: its digest.
    #[arg(long, value_name = "DIGEST")]
    epoch: Option<Digest>,
    /// Sign it. Without this it is shown only.
    #[arg(long)]
    yes: bool,
    /// This site's new secret identity file, where it has new keys: it signs, too.
    #[arg(long, value_name = "FILE")]
    new_identity: Option<PathBuf>,
}

/// What is said of an epoch that this site has given up.
pub(crate) fn given_up_in_words(epoch: u32) -> String {
    format!(
        "this site gives up epoch {epoch}, which it has signed: others have gone on without it, so many that it cannot be made any more"
    )
}

/// The site that signs a change, with all epochs that are made.
///
/// # Errors
/// When a file is wrong, the state is in use, or the server is not the study's aggregator.
pub(super) async fn signing(member: &Member) -> anyhow::Result<Site> {
    let site = member.open().await?;
    site.meet().await?;
    let site = site.renewed().await?.unwrap_or(site);
    if let Some(recalled) = site.recall_epoch().await? {
        println!(
            "this site has signed epoch {recalled} before, which its state does not know of (it came from a backup): its signature was found, and binds it"
        );
    }
    if let Some(given_up) = site.give_up_epoch().await? {
        println!("{}", given_up_in_words(given_up));
    }
    Ok(site)
}

impl Accept {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match signing(&self.member).await {
            Ok(site) => {
                let epoch = self.proposed(site.transport(), site.lineage(), site.pending_epoch()?);
                let epoch = epoch.await?;
                if !self.yes {
                    return Ok(());
                }
                site.check_not_missed(&epoch).await?;
                let renewed = self.new_identity.as_deref().map(read_identity).transpose()?;
                let signed = site.sign_epoch(epoch, renewed.as_ref())?;
                post(site.transport(), site.lineage(), &signed).await
            }
            Err(error) if is_new(&error) => self.enrolled().await,
            Err(error) => Err(error),
        }
    }

    /// Accepts as a site that is let in, and has no state yet.
    async fn enrolled(&self) -> anyhow::Result<()> {
        let (study, identity) = (self.member.study()?, self.member.identity()?);
        study.verify()?;
        // Nothing else uses its state meanwhile.
        let (transport, identity, _newcomer) = self.member.joining(identity)?;
        transport.meet(&study.study.aggregator_key).await?;
        let lineage = known_epochs(&transport, Lineage::of(Arc::new(study.study))).await?;
        let epoch = self.proposed(&transport, &lineage, None).await?;
        if !self.yes {
            return Ok(());
        }
        let signed = sign_enrolment(&lineage, epoch, &identity)?;
        post(&transport, &lineage, &signed).await
    }

    /// The epoch that is meant, shown. One that this site has signed is among them, though the aggregator,
    /// which was started again, has none of it any more.
    async fn proposed(
        &self,
        transport: &Transport,
        lineage: &Lineage,
        own: Option<SignedEpoch>,
    ) -> anyhow::Result<SignedEpoch> {
        let first = lineage.first().id;
        let mut proposed = transport.proposed_epochs(first).await?;
        if let Some(own) = &own
            && proposed.iter().all(|known| known.epoch != own.epoch)
        {
            proposed.push(own.clone());
        }
        proposed.retain(|signed| self.epoch.is_none_or(|epoch| signed.epoch.id() == epoch));
        let before = &lineage.latest().study;
        let mut sound = Vec::new();
        for signed in proposed {
            match lineage.check(&signed) {
                Ok(missing) => {
                    print!("{}", in_words(before, &signed, Some(&missing)));
                    sound.push(signed);
                }
                Err(error) => println!("a proposed epoch does not hold: {error}"),
            }
        }
        // A site that has signed one signs no other.
        if sound.len() > 1
            && let Some(own) = own
        {
            sound.retain(|signed| signed.epoch == own.epoch);
        }
        ensure!(
            sound.len() < 2 || !self.yes,
            "expected one epoch to sign, got {}: name it by --epoch DIGEST",
            sound.len()
        );
        let Some(signed) = sound.pop() else {
            bail!("no change of the roster is proposed{}", self.named());
        };
        if !self.yes {
            println!("not signed; to sign it run this with --yes");
        }
        Ok(signed)
    }

    fn named(&self) -> String {
        self.epoch.map_or_else(String::new, |epoch| format!(" with the digest {epoch}"))
    }
}

/// Whether this identity is on no roster of the study yet.
fn is_new(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<SiteError>() {
        Some(SiteError::NoPart(no_part)) => matches!(**no_part, NoPart::Never(_)),
        _ => false,
    }
}

/// Sends what this site has signed; says what has become of it.
///
/// # Errors
/// When the aggregator refuses.
pub(super) async fn post(
    transport: &Transport,
    lineage: &Lineage,
    signed: &SignedEpoch,
) -> anyhow::Result<()> {
    let status = transport.post_epoch(lineage.first().id, signed).await?;
    match status.made {
        true => println!(
            "signed; epoch {} is made: the roster changes after round {}",
            status.number, signed.epoch.last_round
        ),
        false => {
            let named: Vec<&str> = status.missing.iter().map(|site| site.as_str()).collect();
            let mut wanted = named.join(", ");
            if status.more > 0 {
                let more = format!("{} more of the present roster", status.more);
                wanted = if wanted.is_empty() { more } else { format!("{wanted}, and {more}") };
            }
            println!(
                "signed; to be made, epoch {} needs the signatures of {wanted} (`ringfence study accept`)",
                status.number
            );
        }
    }
    Ok(())
}
