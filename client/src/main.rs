//! The `ringfence` command: what it understands, and which command runs.

mod commands;
mod files;
mod identity;
mod ledger_arg;
mod member;
mod results_arg;
mod update_arg;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ringfence_durable::advice_on_room;
use ringfence_exit::{end_on_lost_output, failure};
use ringfence_options::retired::Anything;
use ringfence_site::SiteError;
use ringfence_site::transport::TransportError;
use tokio::runtime::Runtime;

use commands::{
    bundle, contribute, demo, hold, init, join, keygen, ledger, mean, open, predict, privacy,
    restored, round, status, study, witness,
};

/// Federated learning whose server adds ciphertexts and never sees a plaintext.
#[derive(Debug, Parser)]
#[command(name = "ringfence", version, about, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a whole encrypted study on this machine, with five simulated hospitals.
    Demo(Box<demo::Demo>),
    /// Take part in a study from the first round to the last: train, contribute, hold keys, open.
    Join(Box<join::Join>),
    /// Make a study's initial model with its training plan.
    Init(Box<init::Init>),
    /// Apply a model to images: masks, labels, pictures.
    Predict(Box<predict::Predict>),
    /// Make a site's identity: a secret file and a public one.
    Keygen(keygen::Keygen),
    /// Make, sign, check and register study files; work out what a study would cost.
    #[command(subcommand)]
    Study(study::StudyCommand),
    /// Make and show the privacy ledger of a hospital's patients.
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Take part in one round from its opening to its mean, with an update from any framework.
    ///
    /// It does what open (where it is this site's turn), contribute, hold and mean do one after the
    /// other, in one process; killed, it is run again. Run it at all sites at the same time.
    Round(Box<round::Round>),
    /// Open a round as its initiator.
    Open(open::Open),
    /// Encrypt an update and send it to the open round.
    Contribute(contribute::Contribute),
    /// Take part by files that somebody carries, from a machine without a network.
    #[command(subcommand)]
    Bundle(bundle::BundleCommand),
    /// Answer as key holder: review, endorse, open.
    ///
    /// Run it at all key holders at the same time: each waits for the others' reviews and
    /// endorsements. When it has ended, run `ringfence mean`. One command at a time has a site's
    /// state.
    Hold(hold::Hold),
    /// Open the sum and write the mean update and the new model.
    ///
    /// Run it at all key holders at the same time, after `ringfence hold`: when the sum does not
    /// decode, they dispute, judge and take out who spoiled it, and each waits for the others there.
    /// A site that holds no keys may run it at any time after that. One command at a time has a
    /// site's state.
    Mean(mean::Mean),
    /// Which epsilon a training has, and which noise an epsilon needs.
    #[command(subcommand)]
    Privacy(privacy::PrivacyCommand),
    /// Show where a study stands.
    Status(status::Status),
    /// Hold a study's log against what this site and others have seen of it, and cosign it.
    Witness(witness::WitnessLog),
    /// After restoring this site's state from a backup: abstain where it may have signed already.
    Restored(restored::Restored),
    /// What `ringfence-lab experiment` was.
    #[command(hide = true)]
    Experiment(Anything),
    /// What `ringfence study cost` was.
    #[command(hide = true)]
    Plan(Anything),
}

impl Command {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Demo(demo) => demo.run().await,
            // Signals end it in good order.
            Action::Join(join) => return join.run().await,
            Action::Init(init) => init.run(),
            // What it cannot read does not keep it from the rest.
            Action::Predict(predict) => return predict.run(),
            Action::Keygen(keygen) => keygen.run(),
            Action::Study(study) => study.run().await,
            Action::Ledger(ledger) => ledger.run(),
            Action::Round(round) => round.run().await,
            Action::Open(open) => open.run().await,
            Action::Contribute(contribute) => contribute.run().await,
            Action::Bundle(bundle) => bundle.run().await,
            Action::Hold(hold) => hold.run().await,
            Action::Mean(mean) => mean.run().await,
            Action::Privacy(privacy) => privacy.run(),
            Action::Status(status) => status.run().await,
            Action::Witness(witness) => witness.run().await,
            Action::Restored(restored) => restored.run().await,
            Action::Experiment(anything) => anything.refuse(
                "`ringfence experiment` is `ringfence-lab experiment` now (cargo run --release -p ringfence-lab)",
            ),
            Action::Plan(anything) => {
                anything.refuse("`ringfence plan` is `ringfence study cost` now")
            }
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

fn main() -> ExitCode {
    end_on_lost_output("ringfence");
    let command = Command::parse();
    let ended = Runtime::new().map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(command.run());
        // A training that a signal has stopped is not waited for: it goes on from its checkpoint.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        if let Some(word) = by_hand(&error) {
            // A step by hand ends where the files end: it has not failed.
            println!("{word}");
            return ExitCode::SUCCESS;
        }
        eprintln!("ringfence: {}", failure(error.as_ref(), advice_on_room));
        ExitCode::FAILURE
    })
}

/// What to do next, where a site without a network has done what it can for now.
fn by_hand(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|error| {
        let error = match error.downcast_ref::<SiteError>() {
            Some(SiteError::Transport(error)) => Some(error),
            _ => error.downcast_ref::<TransportError>(),
        };
        error.filter(|error| error.is_by_hand()).map(ToString::to_string)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Action, Command};

    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        Command::command().debug_assert();
    }

    #[tokio::test]
    async fn commands_that_have_moved_say_where_whatever_follows() {
        for (words, now) in [
            (&["experiment"][..], "`ringfence-lab experiment` now (cargo run --release -p"),
            (&["experiment", "--methods", "local", "--encrypted"], "`ringfence-lab experiment`"),
            (&["experiment", "--help"], "`ringfence-lab experiment`"),
            (&["plan", "--parameters", "1000", "--json"], "`ringfence study cost`"),
        ] {
            let words = ["ringfence"].into_iter().chain(words.iter().copied());
            let command = Command::try_parse_from(words).unwrap();
            assert!(matches!(command.action, Action::Experiment(_) | Action::Plan(_)));
            let error = command.run().await.unwrap_err().to_string();
            assert!(error.contains(now), "{error}");
        }
    }
}
