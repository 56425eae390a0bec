//! The `ringfence` command line: one file a group of commands.

mod identity;
mod member;
pub(crate) mod options;
mod plan;
mod predict;
mod round;
mod study;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use ringfence_crypto::statement::SignedStudy;
use ringfence_crypto::wire::json::{self, MAX_STUDY};

pub use member::Member;

/// Federated learning whose server adds ciphertexts and never sees a plaintext.
#[derive(Debug, clap::Parser)]
#[command(name = "ringfence", version, about, arg_required_else_help = true)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a whole encrypted study on this machine, with five simulated hospitals.
    Demo(crate::demo::DemoOptions),
    /// Take part in a study from the first round to the last: train, contribute, hold keys, open.
    Join(Box<crate::join::Join>),
    /// Compare methods on one set of data over several seeds.
    Experiment(Box<crate::experiment::Experiment>),
    /// Make a study's initial model with its training plan.
    Init(predict::Init),
    /// Apply a model to images: masks, labels, pictures.
    Predict(predict::Predict),
    /// Make a site's identity: a secret file and a public one.
    Keygen(identity::Keygen),
    /// Work out what a study would cost and tolerate, and refuse what cannot work.
    Plan(plan::PlanOptions),
    /// Make, sign, check and register study files.
    #[command(subcommand)]
    Study(study::StudyCommand),
    /// Open a round as its initiator.
    Open(round::Open),
    /// Encrypt an update and send it to the open round.
    Contribute(round::Contribute),
    /// Answer as key holder: review, endorse, open.
    Hold(round::Hold),
    /// Open the sum and write the mean update and the new model.
    Mean(round::Mean),
    /// Show where a study stands.
    Status(round::Status),
    /// After restoring this site's state from a backup: abstain where it may have signed already.
    Restored(round::Restored),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever stands in its way, with what to do about it.
    pub async fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Demo(options) => crate::demo::run(options).await,
            Action::Join(join) => join.run().await,
            Action::Experiment(experiment) => experiment.run().await,
            Action::Init(init) => init.run(),
            Action::Predict(predict) => predict.run(),
            Action::Keygen(keygen) => keygen.run(),
            Action::Plan(plan) => plan.run(),
            Action::Study(study) => study.run().await,
            Action::Open(open) => open.run().await,
            Action::Contribute(contribute) => contribute.run().await,
            Action::Hold(hold) => hold.run().await,
            Action::Mean(mean) => mean.run().await,
            Action::Status(status) => status.run().await,
            Action::Restored(restored) => restored.run().await,
        }
    }
}

/// Reads a signed study file.
fn read_study(path: &Path) -> anyhow::Result<SignedStudy> {
    let bytes = read(path)?;
    json::parse(&bytes, MAX_STUDY, "study file").with_context(|| path.display().to_string())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file completely or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let at = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(at)?;
    file.write_all(bytes).with_context(at)?;
    file.as_file().sync_all().with_context(at)?;
    file.persist(path).with_context(at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        super::Command::command().debug_assert();
    }
}
