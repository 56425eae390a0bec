//! The `ringfence-lab` command: methods side by side on one set of data, and attacks on what leaves
//! a site.

mod attack;
mod audit_privacy;
mod experiment;
mod files;
mod threads;

use std::process::ExitCode;

use clap::Parser;
use ringfence_durable::advice_on_room;
use ringfence_exit::{end_on_lost_output, failure};

use attack::{Attack, Defences};
use audit_privacy::AuditPrivacy;
use experiment::Experiment;

/// The laboratory of Ringfence: methods side by side on one set of data. Not for hospitals.
#[derive(Debug, clap::Parser)]
#[command(name = "ringfence-lab", version, about, arg_required_else_help = true)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Compare methods on one set of data over several seeds.
    Experiment(Box<Experiment>),
    /// Attack what leaves a site, from the plain gradient to the ciphertext, and show what is found.
    ///
    /// RAYON_NUM_THREADS=1 in the environment makes it faster.
    Attack(Box<Attack>),
    /// Compare the shadow defence with noise, clipping, sparsification and DP-SGD: what each hides from
    /// an attack on a gradient, and what it costs the model. The shadow defence is NO
    /// differential-privacy guarantee.
    ///
    /// RAYON_NUM_THREADS=1 in the environment makes it faster.
    Defences(Box<Defences>),
    /// Attack private training, and compare what it leaks with the epsilon that is reported.
    ///
    /// RAYON_NUM_THREADS=1 in the environment halves its time.
    AuditPrivacy(AuditPrivacy),
}

#[tokio::main]
async fn main() -> ExitCode {
    end_on_lost_output("ringfence-lab");
    let done = match Command::parse().action {
        Action::Experiment(experiment) => experiment.run().await,
        Action::Attack(attack) => attack.run(),
        Action::Defences(defences) => defences.run(),
        Action::AuditPrivacy(audit) => audit.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringfence-lab: {}", failure(error.as_ref(), advice_on_room));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn command_line_is_consistent() {
        use clap::CommandFactory;
        super::Command::command().debug_assert();
    }
}
