//! All checks of an export.

use ringfence_crypto::evidence::Verifier;
use ringfence_crypto::statement::{SignedStudy, StudyError};
use ringfence_crypto::wire::json::JsonError;

use crate::budget::check_budget;
use crate::cohorts::check_cohorts;
use crate::files::Files;
use crate::folder::{Folder, FolderError};
use crate::progress::{Progress, Step};
use crate::report::{Line, Report, StudyReport, Subject, Verdict};
use crate::rounds::Rounds;
use crate::sums::check_sum;
use crate::views::{Seen, Views};
use crate::whole::WholeLog;

/// What is checked, and how much of it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Add up so many random parts of each sum instead of all, one at least.
    pub sample: Option<u32>,
    /// What the parts are chosen by; unknown to anybody unless given.
    pub seed: Option<u64>,
    /// Expect no bodies: sums are not added up again.
    pub without_bodies: bool,
    /// Checkpoints of the log that others have seen, to be compared with it.
    pub seen: Vec<Seen>,
}

/// Why there is nothing to hold anything against.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No study.
    #[error(
        "{0} has no study.json: expected an export as docs/audit.md describes it; all evidence is held against the study file, take it from a site that signed it"
    )]
    NoStudy(String),
    /// No study file.
    #[error("study.json: {0}")]
    File(#[from] JsonError),
    /// Not sound, or not signed by all.
    #[error("study.json: {0}")]
    Study(#[from] StudyError),
}

/// Checks an export.
///
/// # Errors
/// [`AuditError`] where there is no sound study file, against which all else is held. Whatever else is
/// missing or false is in the report.
pub fn audit(files: &dyn Files, options: &Options) -> Result<Report, AuditError> {
    audit_with_progress(files, options, &|_| ())
}

/// The same, and says where it is: `progress` is told of each step before it.
///
/// # Errors
/// As [`audit`].
pub fn audit_with_progress(
    files: &dyn Files,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Report, AuditError> {
    let folder = Folder(files);
    let file = folder.study()?.ok_or_else(|| AuditError::NoStudy(files.name()))?;
    progress(Step::Study);
    let verifier = Verifier::new(SignedStudy::parse(&file)?)?;
    drop(file);
    let mut rounds = Rounds::check(folder, &verifier, progress)?;
    progress(Step::Log);
    let whole = WholeLog::read(folder, &verifier);
    let study = study_report(&verifier);
    let signed = format!(
        "All {} sites of the roster signed this study: its thresholds, its rules, the aggregator's key.",
        study.sites.len()
    );
    let (cohorts, together) = check_cohorts(&rounds);
    let mut lines = vec![
        Line::new(Subject::Study, Verdict::Proven, signed),
        rounds.all_there(),
        whole.one_history(&rounds),
        whole.whole(&rounds),
        rounds.one_set(),
        rounds.one_opening(),
        together,
    ];
    lines.extend(check_budget(&rounds.kept));
    let mut views = Views::new(&verifier, &whole, &rounds);
    lines.extend(views.witnesses(folder));
    lines.extend(options.seen.iter().map(|seen| views.seen(seen)));
    let forks = views.forks;
    if !options.without_bodies {
        for kept in &rounds.kept {
            let report = rounds.reports.iter_mut().find(|report| report.round == kept.round);
            let Some(report) = report else { continue };
            let Some(summary) = &report.summary else { continue };
            report.lines.extend(check_sum(folder, (kept, summary), options, progress));
        }
    }
    let mut report = Report {
        program: format!("ringfence-audit {}", env!("CARGO_PKG_VERSION")),
        verdict: Verdict::Proven,
        study,
        checkpoint: whole.checkpoint,
        cohorts,
        forks,
        lines,
        rounds: rounds.reports,
    };
    report.verdict = report.all().map(|(_, line)| line.verdict).max().unwrap_or(Verdict::Missing);
    Ok(report)
}

fn study_report(verifier: &Verifier) -> StudyReport {
    let in_force = verifier.study();
    let study = &in_force.study;
    StudyReport {
        name: study.name.clone(),
        id: in_force.id,
        sites: study.roster.iter().map(|site| site.id.clone()).collect(),
        collusion: study.threshold.collusion,
        holders: study.threshold.holders,
        endorsements: study.threshold.endorsements,
        opening: study.threshold.opening,
        min_sites: study.min_sites,
        created_at: study.created_at,
        values: study.layout.values(),
        weighting: study.weighting.clone(),
        training: study.training.clone(),
        longest_round_seconds: study.longest_round_seconds,
        privacy: study.privacy,
        aggregator_key: study.aggregator_key.to_string(),
    }
}
