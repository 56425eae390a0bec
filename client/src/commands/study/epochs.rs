//! `ringfence study epochs`: how a study's roster has changed; and a change of it in words.

use std::path::PathBuf;
use std::sync::Arc;

use ringfence_clock::Clock;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{
    Change, Lineage, MissingSignatures, RosterEntry, SignedEpoch, Study,
};
use ringfence_site::{Site, known_epochs};

use ringfence_words::listed;

use super::describe::fingerprints;
use crate::files::read_study;
use crate::member::{Reader, Server};

/// Arguments of `ringfence study epochs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Epochs {
    /// The study file, as it was first signed.
    #[arg(long, default_value = "study.json")]
    study: PathBuf,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    reader: Reader,
    /// As the administrator (--token-file), drop what is proposed, where the others will not sign it:
    /// rounds are opened again. Whoever has signed gives it up once that shows.
    #[arg(long, conflicts_with = "identity")]
    drop: bool,
}

impl Epochs {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let study = read_study(&self.study)?;
        study.verify()?;
        let transport = self.reader.connect(&self.server, Clock::system())?;
        transport.meet(&study.study.aggregator_key).await?;
        let lineage = known_epochs(&transport, Lineage::of(Arc::new(study.study))).await?;
        let first = lineage.first();
        println!("study {}: {} sites as it was first signed", first.id, first.study.roster.len());
        let mut before = &first.study;
        for made in lineage.all() {
            if let Some(signed) = &made.epoch {
                print!("\n{}", in_words(before, signed, None));
                before = &made.study;
            }
        }
        if self.drop {
            let dropped = transport.drop_proposed_epochs(first.id).await?;
            let dropped = dropped.iter().map(|signed| signed.epoch.id());
            match dropped.len() {
                0 => println!("\nnothing was proposed"),
                _ => println!("\ndropped what was proposed: {}", listed(dropped)),
            }
            return Ok(());
        }
        let opened = transport.status(first.id).await?.rounds;
        for signed in transport.proposed_epochs(first.id).await? {
            match lineage.check(&signed) {
                Ok(missing) => {
                    print!("\n{}", in_words(before, &signed, Some(&missing)));
                    print!("{}", missed(&signed, opened));
                }
                Err(error) => println!("\na proposed epoch does not hold: {error}"),
            }
        }
        Ok(())
    }
}

/// What is said of a proposed epoch whose last round is over; nothing of others.
fn missed(signed: &SignedEpoch, opened: u32) -> String {
    let last = signed.epoch.last_round;
    match opened > last.next().0 {
        true => format!("  it cannot be made any more: round {} is open\n", last.next()),
        false => String::new(),
    }
}

/// What the newest epoch of a site's study has changed, in words.
pub(crate) fn newest_epoch(site: &Site) -> String {
    let all: Vec<_> = site.lineage().all().collect();
    match all.as_slice() {
        [.., before, latest] => match &latest.epoch {
            Some(signed) => in_words(&before.study, signed, None).trim_end().to_owned(),
            None => String::new(),
        },
        _ => "the study's roster has not changed".to_owned(),
    }
}

/// A site's keys, as its `ringfence keygen` has printed them.
fn keys(entry: &RosterEntry) -> String {
    fingerprints(&entry.signature_key, &entry.kem_key.0)
}

/// A change of the roster in words, line by line: one that is made, or one that is proposed and lacks
/// these signatures.
pub(super) fn in_words(
    before: &Study,
    signed: &SignedEpoch,
    missing: Option<&MissingSignatures>,
) -> String {
    let (epoch, after) = (&signed.epoch, &signed.after);
    let mut text = match missing {
        None => format!(
            "epoch {}, made: the roster changes after round {}\n",
            epoch.epoch, epoch.last_round
        ),
        Some(_) => format!(
            "epoch {}, proposed ({}): the roster changes after round {}\n",
            epoch.epoch,
            epoch.id(),
            epoch.last_round
        ),
    };
    for change in &epoch.changes {
        text += &match change {
            Change::Enrol { entry } => {
                format!("  {} comes, with these keys:\n{}", entry.id, keys(entry))
            }
            Change::Rotate { entry } => {
                format!("  {} has new keys then:\n{}", entry.id, keys(entry))
            }
            Change::Revoke { site } => format!(
                "  {site} is put out: it takes part in rounds up to {}; what it contributed to them stays in their sums\n",
                epoch.last_round
            ),
            Change::Leave { site } => format!(
                "  {site} leaves: it takes part in rounds up to {}; what it contributed to them stays in their sums\n",
                epoch.last_round
            ),
        };
    }
    let numbers = |study: &Study| {
        let threshold = study.threshold;
        format!(
            "{} sites, {} key holders of whom {} certify and {} open, {} contributions at least, c = {}",
            study.roster.len(),
            threshold.holders,
            threshold.endorsements,
            threshold.opening,
            study.min_sites,
            threshold.collusion
        )
    };
    text += &format!("  before: {}\n  after:  {}\n", numbers(before), numbers(after));
    text += &format!("  the study after it: {}\n", epoch.after);
    if let Some(missing) = missing {
        let signed: Vec<&str> =
            signed.signatures.iter().map(|signature| SiteId::as_str(&signature.site)).collect();
        let by = if signed.is_empty() { "nobody".to_owned() } else { signed.join(", ") };
        text += &format!("  signed by {by}; {missing}\n");
    }
    text
}
