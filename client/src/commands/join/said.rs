//! What a training site says beside the events of its rounds ([`ringfence_site::Event`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_keys::open::failure_in_words;
use ringfence_options::duration;
use ringfence_site::{Abort, RoundWait};
use ringfence_words::counted;
use serde::Serialize;

use super::opened::OpenedRound;
use super::report::{Entry, TestScores};
use crate::commands::best_model::BestModel;

/// Something that has changed. Fields that stand in `report.json`, too, have its names.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Said<'a> {
    /// The site takes part.
    Joined { site: &'a SiteId, study: StudyId, model: String, done: u32, rounds: u32, data: String },
    /// The images are read, which takes its time.
    Reading { data: &'a Path },
    /// Something about the images.
    Remark { text: String },
    /// The study weights this site by another number of images than it trains on.
    SampleCount { study: u32, trained: usize },
    /// A round begins.
    RoundBegun { round: RoundNumber, rounds: u32 },
    /// This site trains.
    Training { round: RoundNumber, images: usize, epochs: usize, resumed: bool },
    /// This site trains with noise, by the study's privacy policy.
    PrivateTraining { round: RoundNumber, images: usize, steps: u32, resumed: bool },
    /// What this site had trained of a round was made from something else, and is not used.
    StartsOver { round: RoundNumber },
    /// A round ended in a certified abort.
    Aborted(&'a Abort),
    /// This site's contribution is not in the mean.
    LeftOut { round: RoundNumber, reason: String },
    /// This site's training or contribution has failed, and its duty as key holder goes on.
    PartFailed { round: RoundNumber, reason: String },
    /// A key holder's opening was not used.
    UnusableOpening { round: RoundNumber, holder: &'a SiteId, reason: &'a str },
    /// The mean of a round is open.
    Opened(&'a OpenedRound),
    /// A round could not be acknowledged again after a restart.
    NotAcknowledged { round: RoundNumber, reason: String },
    /// How the common model does.
    Validation(&'a Entry),
    /// How long the rest takes at this pace.
    TimeLeft { seconds: u64 },
    /// The study's rounds were done before: what is left is to score the model.
    AllDone { rounds: u32 },
    /// No mean is in the model.
    Untrained,
    /// How a final model does.
    Test(&'a TestScores),
    /// This site trains alone, to compare with.
    TrainsAlone { images: usize, rounds: u32, epochs: usize },
    /// Which of the site's models is best on its validation images.
    BestModel(&'a BestModel),
    /// The end: what lies where.
    Written { folder: &'a Path, files: &'a [&'static str] },
    /// What was recorded of earlier rounds and cannot be read.
    Unread { what: &'static str, path: PathBuf, reason: String },
    /// A signal ended it, before its images were read or after; `waiting` is where the round stood, if
    /// others were waited for, and `failed` why this site's own part in it has failed, if it has.
    Stopped {
        signal: &'static str,
        joined: bool,
        round: RoundNumber,
        done: u32,
        rounds: u32,
        waiting: Option<RoundWait>,
        failed: Option<String>,
    },
}

impl Said<'_> {
    /// A signal ended it, in the round that comes next, with so many done of so many.
    pub(super) fn stopped(
        signal: &'static str,
        (round, done, rounds): (RoundNumber, u32, u32),
        joined: bool,
        (waiting, failed): (Option<RoundWait>, Option<String>),
    ) -> Self {
        Self::Stopped { signal, joined, round, done, rounds, waiting, failed }
    }
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { site, study, model, done, rounds, data } => write!(
                f,
                "{site} joins study {}: {model}, {done} of {} done; {data}",
                study.short(),
                counted(u64::from(*rounds), "round")
            ),
            Self::Reading { data } => write!(f, "reading the images of {}", data.display()),
            Self::Remark { text } => f.write_str(text),
            Self::SampleCount { study, trained } => write!(
                f,
                "warning: the study weights this site by its public number of {} (`study new --sample-counts`), and it trains on {trained}: the mean weights it by the study's number all the same; look whether --data, its split and --max-per-site are those that were counted",
                counted(u64::from(*study), "training image"),
            ),
            Self::RoundBegun { round, rounds } => {
                write!(f, "round {round} begins, of {}", counted(u64::from(*rounds), "round"))
            }
            Self::Training { round, images, epochs, resumed } => {
                let on = if *resumed { "goes on training" } else { "trains" };
                write!(
                    f,
                    "round {round}: this site {on} on {}, {}",
                    counted(*images as u64, "image"),
                    counted(*epochs as u64, "epoch")
                )
            }
            Self::PrivateTraining { round, images, steps, resumed } => {
                let on = if *resumed { "goes on training" } else { "trains" };
                write!(
                    f,
                    "round {round}: this site {on} privately on {}, {} of a random part of them each",
                    counted(*images as u64, "image"),
                    counted(u64::from(*steps), "step")
                )
            }
            Self::StartsOver { round } => write!(
                f,
                "round {round}: what this site had trained before it was stopped was made from other images, patients, settings or another secret; it is not used, and training starts over"
            ),
            Self::Aborted(abort) => abort.fmt(f),
            Self::LeftOut { round, reason } => {
                write!(f, "round {round}: this site's contribution is not in the mean: {reason}")
            }
            Self::PartFailed { round, reason } => write!(
                f,
                "round {round}: this site's own part has failed: {reason}; it goes on as key holder, since the others need it, and ends with this error after the round. To try again while the round takes contributions, mend it, stop this command and run it again"
            ),
            Self::UnusableOpening { round, holder, reason } => {
                write!(f, "round {round}: the opening of {holder} was not used: {reason}")
            }
            Self::Opened(opened) => opened.fmt(f),
            Self::NotAcknowledged { round, reason } => {
                write!(f, "round {round}: it could not be acknowledged again: {reason}")
            }
            Self::Validation(entry) => {
                write!(f, "after round {}, validation: {}", entry.rounds - 1, entry.line())
            }
            Self::TimeLeft { seconds } => {
                write!(f, "{} left at this pace", duration(Duration::from_secs(*seconds)))
            }
            Self::AllDone { rounds } => write!(
                f,
                "all {rounds} rounds of the study are done, and this site takes part in nothing any more: the common model is scored on these images, and the results are written anew"
            ),
            Self::Untrained => f.write_str(
                "no round changed the model: it is the untrained one that the study began with",
            ),
            Self::Test(of) => write!(f, "test, {}: {}", of.model, of.line()),
            Self::TrainsAlone { images, rounds, epochs } => write!(
                f,
                "this site trains alone, to compare with: on {}, {} of {}",
                counted(*images as u64, "image"),
                counted(u64::from(*rounds), "round"),
                counted(*epochs as u64, "epoch")
            ),
            Self::BestModel(best) => best.fmt(f),
            Self::Written { folder, files } => {
                write!(f, "written to {}: {}", folder.display(), files.join(", "))
            }
            Self::Unread { what, path, reason } => write!(
                f,
                "earlier {what} cannot be read and are left out: {}: {reason}",
                path.display()
            ),
            Self::Stopped { signal, joined, round, done, rounds, waiting, failed } => {
                let at = match joined {
                    false => "before its images were read".to_owned(),
                    true if done == rounds => "after the last round".to_owned(),
                    true => format!("in round {round}"),
                };
                let rounds = counted(u64::from(*rounds), "round");
                write!(f, "stopped by {signal} {at}, {done} of {rounds} done")?;
                if let Some(waiting) = waiting {
                    write!(f, "\n{}", waiting.stands())?;
                }
                match failed {
                    None => {
                        write!(
                            f,
                            "\nwhat was done is on disk; to go on, run the same command again"
                        )
                    }
                    Some(reason) => write!(
                        f,
                        "\nthis site's own part in round {round} has failed: {reason}\nwhat was done before is on disk; to go on, mend that, and run the same command again"
                    ),
                }
            }
        }
    }
}

impl fmt::Display for OpenedRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { round, precision, noise_failure_probability, findings } = self;
        findings.to_string().lines().try_for_each(|line| writeln!(f, "round {round}: {line}"))?;
        write!(f, "round {round}: mean of {} sites opened", precision.sites)?;
        if let Some(probability) = noise_failure_probability {
            write!(f, "; {}", failure_in_words(*probability))?;
        }
        write!(f, "\nround {round}: {precision}")?;
        precision.warning().iter().try_for_each(|line| write!(f, "\nround {round}: {line}"))
    }
}
