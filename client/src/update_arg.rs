//! An update from any framework on the command line, and who is charged for it.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::statement::PrivacyPolicy;
use ringfence_site::ledger::{UnitKind, Units};
use ringfence_site::{Prepared, Site, model};
use ringfence_weights::Weights;

use crate::files::{read_text, read_weights};
use crate::ledger_arg::LedgerArg;
use crate::member::Member;

/// An update, what it starts from, and who is charged for it.
#[derive(Debug, clap::Args)]
pub(crate) struct UpdateArg {
    /// The model that the update starts from (safetensors).
    #[arg(long)]
    pub(crate) base: PathBuf,
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

/// An update that was read.
#[derive(Debug)]
pub(crate) struct Update {
    /// What it starts from.
    pub(crate) base: Weights,
    /// Its values, in layout order.
    values: Vec<f32>,
}

/// Most bytes of a list of units: a million names of 60 bytes.
const MAX_UNITS: usize = 64 << 20;

impl UpdateArg {
    /// The site, which charges the ledger that is named.
    pub(crate) async fn open(&self, member: &Member) -> anyhow::Result<Site> {
        let site = member.open().await?;
        self.check_private(&site)?;
        self.ledger.charging(site, |unit| self.unit_names(unit))
    }

    /// Reads base and update: both have the study's layout, and the update's values are finite.
    pub(crate) fn read(&self, site: &Site) -> anyhow::Result<Update> {
        let base = read_weights(&self.base, site.study())?;
        let update = read_weights(&self.update, site.study())?;
        update.check_finite().with_context(|| self.update.display().to_string())?;
        Ok(Update { base, values: update.into_values() })
    }

    /// The contribution to an open round, made and on disk.
    pub(crate) async fn prepare<'a>(
        &self,
        site: &'a Site,
        round: RoundNumber,
        Update { base, values }: Update,
    ) -> anyhow::Result<Prepared<'a>> {
        site.check_budget(round)?;
        if let Some(plan) = site.study().training.digest() {
            println!(
                "the study pins the training plan {}: this command cannot see how an update was trained; that it was trained by the plan is yours to keep (`ringfence study show` lists it)",
                plan.short()
            );
        }
        let joined = site.join(round).await?;
        let id = model::id(&base);
        match joined.check_repeat(id, &values)? {
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
        // It is not needed while the update is encrypted, and may be large.
        drop(base);
        Ok(joined.prepare(id, &values, |_| ()).await?)
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
