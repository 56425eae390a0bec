//! The privacy ledger on the command line.

use std::path::{Path, PathBuf};

use anyhow::bail;
use ringfence_site::ledger::{UnitKind, Units};
use ringfence_site::{Site, SiteError};

/// Where a private study is charged.
#[derive(Debug, clap::Args)]
pub(crate) struct LedgerArg {
    /// Folder of the privacy ledger of this site's patients (`ringfence ledger init` makes it): needed
    /// where the study has a privacy budget. Every study on the same patients uses the same one.
    #[arg(long, value_name = "DIR")]
    ledger: Option<PathBuf>,
}

impl LedgerArg {
    /// Refuses a ledger that nothing is charged to.
    ///
    /// # Errors
    /// When one is given for a study without a privacy budget.
    pub(crate) fn check_for(&self, site: &Site) -> anyhow::Result<()> {
        match (UnitKind::protected_by(&site.study().privacy), &self.ledger) {
            (None, Some(_)) => bail!(
                "--ledger: the study has no privacy budget (`ringfence study show` says what it promises), so that nothing would be charged; leave it out"
            ),
            _ => Ok(()),
        }
    }

    /// Charges what the ledger may have forgotten after a restore, where one is given; whether one is.
    /// No server is asked. `unfamiliar`: it is the right ledger, though nothing shows it.
    ///
    /// # Errors
    /// A ledger that cannot be used.
    pub(crate) fn settle(&self, site: &Site, unfamiliar: bool) -> Result<bool, SiteError> {
        match &self.ledger {
            Some(ledger) => site.settle_restores(ledger, unfamiliar).map(|()| true),
            None => Ok(false),
        }
    }

    /// The ledger's folder, where one is given.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.ledger.as_deref()
    }

    /// The site, which charges its rounds to the ledger where its study has a budget.
    ///
    /// # Errors
    /// A ledger that lacks or that nothing is charged to; what `units` says.
    pub(crate) fn charging(
        &self,
        site: Site,
        units: impl FnOnce(UnitKind) -> anyhow::Result<Units>,
    ) -> anyhow::Result<Site> {
        self.check_for(&site)?;
        match (UnitKind::protected_by(&site.study().privacy), &self.ledger) {
            (None, _) => Ok(site),
            (Some(unit), None) => Err(SiteError::NoLedger(unit).into()),
            (Some(unit), Some(ledger)) => Ok(site.charging(ledger.clone(), units(unit)?)),
        }
    }
}
