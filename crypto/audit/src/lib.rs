//! Checks an export of a study offline: the folder of `docs/audit.md`, without a key, a network or
//! trust in who made it.
//!
//! ```text
//! files    where the export's files come from: a folder, or a page's
//! folder   reads the export, within bounds
//! rounds   each round's file, one after the other, and the rounds together
//! whole    the whole log: one history, nothing in it that no file shows
//! cohorts  what the sums of all rounds together could tell of few sites
//! views    whether others have seen the same log: witnesses, checkpoints from elsewhere
//! sums     the sums, added up once more from the bodies
//! budget   the privacy budget, computed once more from the headers
//! audit    all of it
//! proofs   of each statement a file that others can check
//! progress where it is
//! report   what came out
//! words    what that means, in plain sentences, each with the checks behind it
//! text     all of it for a terminal; page as one page of HTML; pdf to print; dpia what an
//!          impact assessment takes from it
//! operator what root on the server can extract, and what of it says anything about an update
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, reason = "exports come from strangers")]

mod audit;
mod budget;
mod cohorts;
mod dpia;
mod facts;
mod files;
mod folder;
pub mod operator;
mod page;
mod pdf;
mod progress;
mod proofs;
mod report;
mod rounds;
mod sums;
mod text;
mod views;
mod whole;
mod words;

pub use audit::{AuditError, Options, audit, audit_with_progress};
pub use dpia::dpia;
pub use files::{Disk, Files};
pub use folder::FolderError;
pub use page::page;
pub use pdf::{PdfError, pdf};
pub use progress::{Progress, Step};
pub use proofs::{ProofsError, write_proofs};
pub use report::{Line, Report, RoundReport, StudyReport, Subject, Verdict};
pub use text::text;
pub use views::{Fork, Seen};
pub use words::{Answer, Basis, Behind, Place, Said, answers};
