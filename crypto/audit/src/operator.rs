//! What root on an aggregator can extract, and what of it says anything about an update: over a folder
//! that `ringfence-aggregator extract` has filled, or one that was filled otherwise in the same way.
//!
//! ```text
//! folder     the extract's files, each with what it is
//! rows       its tables, row by row
//! canary     updates to look for, known by their steps up and down
//! scan       looking for them in bytes of every kind       text   and in what stands in text
//! uniform    whether stored bodies look like noise
//! bodies     all stored bodies, looked at
//! search     all bytes, searched
//! update     an update's file
//! report     what came out; as text
//! ```

mod bodies;
mod canary;
mod folder;
mod report;
mod rows;
mod scan;
mod search;
mod text;
mod uniform;
mod update;

use std::io;
use std::path::{Path, PathBuf};

pub use bodies::{Bodies, NotUniform};
pub use canary::{Canaries, Canary, NotRecognisable, SIGNS};
pub use report::{Item, OperatorReport, operator_text};
pub use scan::{Found, Scanner};
pub use search::{FoundIn, Search};
pub use uniform::{ALARM_BITS, Statistic, of_body, of_difference, of_words};
pub use update::{UpdateError, read_update};

use folder::Extract;
use ringfence_crypto::held::{HELD, LIST};
use ringfence_crypto::wire::json::JsonError;
use rows::Rows;

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The folder has no list.
    #[error(
        "{0} has no {LIST}: expected a folder that `ringfence-aggregator extract` has filled, as docs/no_plaintext.md describes it"
    )]
    NoList(PathBuf),
    /// Its list is none.
    #[error("{LIST}: {0}")]
    List(#[from] JsonError),
    /// The system says no.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A table whose rows are no objects.
    #[error("{path}, line {line}: expected a row as an object of JSON", path = .path.display())]
    Row {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: u64,
    },
    /// An update that cannot be looked for.
    #[error(transparent)]
    NotRecognisable(#[from] NotRecognisable),
}

impl OperatorError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Read { path, source }
    }
}

/// Lists everything in an extract, tests its bodies, and looks for updates in all of it.
///
/// # Errors
/// [`OperatorError`] where there is no extract that can be read, or an update has nothing that it could
/// be recognised by. Whatever is found is in the report.
pub fn operator(path: &Path, canaries: &[Canary]) -> Result<OperatorReport, OperatorError> {
    let extract = Extract::read(path)?;
    let rows = Rows::read(&extract)?;
    let bodies = Bodies::look(&extract, &rows)?;
    let search = match canaries {
        [] => None,
        canaries => {
            let scanner = Scanner::new(Canaries::new(canaries)?, &rows.packings());
            Some(Search::run(&extract, &rows, &scanner, canaries)?)
        }
    };
    let items = HELD.iter().filter_map(|held| {
        let of_rows = rows.counts.get(held.kind).copied();
        let (count, bytes) = of_rows.or_else(|| extract.counted(held.kind))?;
        Some(Item { held: *held, count, bytes })
    });
    let unknown = extract.unknown.iter().cloned().chain(rows.unknown.iter().cloned());
    Ok(OperatorReport {
        program: format!("ringfence-audit {}", env!("CARGO_PKG_VERSION")),
        list: extract.list.clone(),
        items: items.collect(),
        unknown: unknown.collect(),
        altered: extract.altered.clone(),
        bodies,
        search,
    })
}
