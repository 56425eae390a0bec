//! `ringfence contribute`: an update from any framework, encrypted and sent.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::PrivacyPolicy;
use ringfence_site::ledger::{UnitKind, Units};
use ringfence_site::{Clipping, Prepared, Sealing, Site, model};
use ringfence_weights::Weights;

use crate::files::{read_text, read_weights};
use crate::ledger_arg::LedgerArg;
use crate::member::{Member, which_round};

/// Arguments of `ringfence contribute`.
#[derive(Debug, clap::Args)]
pub(crate) struct Contribute {
    #[command(flatten)]
    member: Member,
    /// The round; the latest unless given. One that is not open yet is waited for (--patience).
    #[arg(long)]
    round: Option<RoundNumber>,
    /// The model that the update starts from (safetensors).
    #[arg(long)]
    base: PathBuf,
    /// The update, trained model minus base model (safetensors, float32).
    #[arg(long)]
    update: PathBuf,
    #[command(flatten)]
    ledger: LedgerArg,
    /// The records or patients that the update was trained on, one name a line, where the study
    /// protects these.
    #[arg(long, value_name = "FILE")]
    units: Option<PathBuf>,
    /// Say that the update was trained as the study's policy for records or patients asks: sampled,
    /// clipped, with its noise and divided by its constant. This command cannot see it.
    #[arg(long)]
    trained_privately: bool,
}

/// What is contributed, and to which round.
pub(super) struct Given {
    round: RoundNumber,
    base: Weights,
    update: Weights,
}

/// Most bytes of a list of units: a million names of 60 bytes.
const MAX_UNITS: usize = 64 << 20;

impl Contribute {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (site, given) = self.begin().await?;
        let prepared = self.prepare(&site, given).await?;
        let contributed = prepared.send().await?;
        let (round, receipt) = (contributed.round(), contributed.receipt());
        println!("round {round}: receipt for contribution {}", receipt.header);
        tell(contributed.clipping(), contributed.sealing());
        Ok(())
    }

    /// The site, which charges the ledger that is named, and what it contributes to which round.
    pub(super) async fn begin(&self) -> anyhow::Result<(Site, Given)> {
        let site = self.member.open().await?;
        self.check_private(&site)?;
        let site = self.ledger.charging(site, |unit| self.unit_names(unit))?;
        let base = read_weights(&self.base, site.study())?;
        let update = read_weights(&self.update, site.study())?;
        update.check_finite().with_context(|| self.update.display().to_string())?;
        let (site, round) = which_round(site, self.round).await?;
        Ok((site, Given { round, base, update }))
    }

    /// The contribution to the round, made and on disk.
    pub(super) async fn prepare<'a>(
        &self,
        site: &'a Site,
        given: Given,
    ) -> anyhow::Result<Prepared<'a>> {
        let Given { round, base, update } = given;
        let site = site.for_round(round);
        site.compare_ledger_with_log().await?;
        site.check_budget(round)?;
        if let Some(plan) = site.study().training.digest() {
            println!(
                "the study pins the training plan {}: this command cannot see how an update was trained; that it was trained by the plan is yours to keep (`ringfence study show` lists it)",
                plan.short()
            );
        }
        let values = update.into_values();
        let joined = site.join(round).await?;
        match joined.check_repeat(model::id(&base), &values)? {
            None => {}
            Some(true) => println!(
                "round {round}: this update has been contributed already; that contribution is sent again"
            ),
            Some(false) => println!(
                "round {round}: the contribution on disk is sent again; of which update it was made is not on record, and {} is not looked at",
                self.update.display()
            ),
        }
        joined.check_origin(&base)?;
        Ok(joined.prepare(model::id(&base), &values, |_| ()).await?)
    }

    /// Refuses an update of which nobody says that it was trained as the policy asks.
    fn check_private(&self, site: &Site) -> anyhow::Result<()> {
        let in_training = matches!(site.study().privacy, PrivacyPolicy::RecordLevel(_));
        if in_training && !self.trained_privately {
            bail!(
                "the study protects records or patients by noise that is added in training, and this command sees the update alone: use `ringfence join`, or say by --trained-privately that it was trained as the policy asks (`ringfence study show`)"
            );
        }
        ensure!(
            in_training || !self.trained_privately,
            "--trained-privately says nothing in this study: no noise is added in its training; leave it out"
        );
        Ok(())
    }

    /// The units that a file names.
    fn unit_names(&self, unit: UnitKind) -> anyhow::Result<Units> {
        let path = match (unit, &self.units) {
            (UnitKind::Site, None) => return Ok(Units::Site),
            (UnitKind::Site, Some(_)) => {
                bail!("--units: the study protects the site as a whole; leave it out")
            }
            (UnitKind::Record | UnitKind::Patient, Some(path)) => path,
            (UnitKind::Record | UnitKind::Patient, None) => bail!(
                "the study protects each {unit}: give --units a file that names those that the update was trained on, one a line"
            ),
        };
        let text = read_text(path, MAX_UNITS)?;
        let names: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        for (index, name) in names.iter().enumerate() {
            ensure!(
                !name.is_empty(),
                "{}: line {} is empty, expected the name of a {unit}",
                path.display(),
                index + 1
            );
        }
        ensure!(!names.is_empty(), "{}: expected a {unit} a line, got none", path.display());
        Ok(match unit {
            UnitKind::Record => Units::Records(names),
            _ => Units::Patients(names),
        })
    }
}

/// Says what there is to know of a contribution beside that it was made.
pub(super) fn tell(clipping: Option<&Clipping>, sealing: &Sealing) {
    if let Some(clipping) = clipping {
        println!("{clipping}");
    }
    let sealing = sealing.to_string();
    if !sealing.is_empty() {
        println!("{sealing}");
    }
}
