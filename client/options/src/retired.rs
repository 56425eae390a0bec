//! Arguments and commands under the names that they had: each says what it is called now.

use clap::Args;

/// The value of an argument that has another name now: there is none, whatever comes is refused.
#[derive(Clone, Copy, Debug)]
pub enum Retired {}

/// The parser of an argument that has another name now.
pub fn renamed(
    old: &'static str,
    new: &'static str,
) -> impl Fn(&str) -> Result<Retired, String> + Clone + Send + Sync + 'static {
    move |_| Err(format!("{old} is called {new} now"))
}

/// Whatever stands behind a command that is another one now.
#[derive(Clone, Debug, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct Anything {
    /// Any arguments and options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

impl Anything {
    /// Does nothing with them but say what the command is now.
    ///
    /// # Errors
    /// Always.
    pub fn refuse(&self, now: &'static str) -> anyhow::Result<()> {
        let _ = &self.arguments;
        anyhow::bail!(now)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Parser};

    use crate::{AlgorithmChoice, DataArgs, FederationArgs, PlanArgs};

    #[derive(Debug, Parser)]
    struct Command<T: Args> {
        #[command(flatten)]
        arguments: T,
    }

    fn refused<T: Args + std::fmt::Debug>(old: &str, value: &str, new: &str) {
        for words in [&["command", old, value][..], &["command", old]] {
            let error = Command::<T>::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains(&format!("{old} is called {new} now")), "{words:?}: {error}");
        }
        let mut command = <Command<T> as clap::CommandFactory>::command();
        let help = command.render_long_help().to_string();
        assert!(help.contains(new) && !help.contains(&format!("{old} ")), "{help}");
    }

    #[test]
    fn old_names_say_what_they_are_called_now() {
        refused::<DataArgs>("--devices", "1.0", "--scanners");
        refused::<FederationArgs>("--weights", "samples", "--weighting");
        refused::<AlgorithmChoice>("--server", "adam", "--mean-step");
        refused::<PlanArgs>("--server-rate", "0.01", "--mean-step-rate");
    }

    #[test]
    fn help_lists_the_tasks_and_models() {
        let mut command = <Command<PlanArgs> as clap::CommandFactory>::command();
        let help = command.render_long_help().to_string();
        for name in ["segmentation", "classification", "unet-light", "residual", "a U-Net of"] {
            assert!(help.contains(name), "{name}: {help}");
        }
        let wrong = Command::<PlanArgs>::try_parse_from(["command", "--model", "gpt"]);
        assert!(wrong.unwrap_err().to_string().contains("cnn-light, cnn, residual, dense"));
        let right = Command::<PlanArgs>::try_parse_from(["command", "--model", "cnn"]).unwrap();
        assert_eq!(right.arguments.task, ringfence_learning::TaskName::Segmentation);
    }
}
