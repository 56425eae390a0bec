//! Who is accounted for in a private study: the site's records or patients.

use std::path::Path;

use anyhow::ensure;
use ringfence_learning::SiteData;
use ringfence_learning::data::record_names;
use ringfence_site::ledger::{UnitKind, Units};

/// The names of the units that a site trains on.
///
/// # Errors
/// Where patients are protected and the data do not name them; where a record's file cannot be read.
pub(super) fn unit_names(
    unit: UnitKind,
    (path, data): (&Path, &SiteData),
    names_patients: bool,
) -> anyhow::Result<Units> {
    Ok(match unit {
        UnitKind::Site => Units::Site,
        UnitKind::Record => Units::Records(record_names(path, &data.train)?),
        UnitKind::Patient => {
            ensure!(
                names_patients,
                "{}: the study protects patients, and the data do not say which images are of one: expected a column `patient` in labels.csv, with one spelling for each patient in all tables of this hospital",
                path.display()
            );
            Units::Patients(data.training_groups().into_iter().map(str::to_owned).collect())
        }
    })
}
