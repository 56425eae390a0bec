//! The configuration file: the same settings as flags and environment, under the flags' names.
//!
//! A setting counts from the first place that has it: flag, environment, file, default. There is one
//! schema, the flags': what the file says becomes their defaults, and a key that is no flag is refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use ringfence_durable::text;
use toml::{Table, Value};

/// Most bytes of a configuration file.
const MAX_FILE: usize = 1 << 16;

/// The flag that names the file, and its environment variable.
const FLAG: &str = "--config";
const VARIABLE: &str = "RINGFENCE_CONFIG";

/// What is said for one start only, and never stands in a file that is read at each.
const ONCE: [&str; 2] = ["config", "adopt-marks"];

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{path}: {reason}")]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// A key that is no setting.
    #[error("{path}: there is no setting {key}; there are: {}", .known.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// All settings.
        known: Vec<String>,
    },
    /// A value of another form than its setting takes.
    #[error("{path}: {key} is {expected}, got a value of TOML's type {got}")]
    Form {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it takes.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
}

/// The configuration file that these arguments name, or the environment.
pub fn named(arguments: &[OsString]) -> Option<PathBuf> {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == FLAG {
            return arguments.next().map(PathBuf::from);
        }
        let given = argument.to_str().and_then(|text| text.strip_prefix(FLAG)?.strip_prefix('='));
        if let Some(path) = given {
            return Some(path.into());
        }
    }
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The command with the file's settings as its defaults.
///
/// # Errors
/// [`ConfigFileError`] names the file and the key.
pub fn with_file(command: Command, path: &Path) -> Result<Command, ConfigFileError> {
    let io = |source| ConfigFileError::Io { path: path.to_owned(), source };
    let bytes = ringfence_durable::read(path, MAX_FILE).map_err(io)?;
    let file = text::decode(&bytes).map_err(io)?;
    let table: Table = file.parse().map_err(|error: toml::de::Error| ConfigFileError::Toml {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    })?;
    table.into_iter().try_fold(command, |command, (key, value)| set(command, path, &key, &value))
}

fn set(
    command: Command,
    path: &Path,
    key: &str,
    value: &Value,
) -> Result<Command, ConfigFileError> {
    let is_known = |arg: &&Arg| arg.get_long() == Some(key) && !ONCE.contains(&key);
    let Some(arg) = command.get_arguments().find(is_known) else {
        let known = command.get_arguments().filter_map(Arg::get_long);
        let known =
            known.filter(|name| !ONCE.contains(name) && !["help", "version"].contains(name));
        let (path, key) = (path.to_owned(), key.to_owned());
        return Err(ConfigFileError::Unknown {
            path,
            key,
            known: known.map(str::to_owned).collect(),
        });
    };
    let form = |expected| ConfigFileError::Form {
        path: path.to_owned(),
        key: key.to_owned(),
        expected,
        got: value.type_str().to_owned(),
    };
    let text = match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(is)) => is.to_string(),
        (ArgAction::SetTrue, _) => return Err(form("true or false")),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Integer(number)) => number.to_string(),
        _ => return Err(form("a text or a whole number")),
    };
    let id = arg.get_id().clone();
    Ok(command.mut_arg(id, |arg| arg.required(false).default_value(text)))
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;
    use crate::Config;

    fn parse(file: &str, flags: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aggregator.toml");
        std::fs::write(&path, file).unwrap();
        let command = Config::augment_args(Command::new("serve"));
        let command = with_file(command, &path).map_err(|error| error.to_string())?;
        let matches = command.try_get_matches_from([&["serve"], flags].concat());
        Config::from_arg_matches(&matches.map_err(|error| error.to_string())?)
            .map_err(|error| error.to_string())
    }

    const WHOLE: &str = "data = 'd'\nkey = 'k'\nadmin-token-file = 't'\n";

    #[test]
    fn a_flag_counts_before_the_file_and_the_file_before_the_default() {
        let config =
            parse(&format!("{WHOLE}idle-seconds = 7\nallow-plain-http = true"), &[]).unwrap();
        assert_eq!(
            (config.data.unwrap(), config.idle_seconds, config.allow_plain_http),
            ("d".into(), 7, true)
        );
        let config = parse(&format!("{WHOLE}idle-seconds = 7"), &["--idle-seconds", "9"]).unwrap();
        assert_eq!(
            (config.idle_seconds, config.max_uploads, config.allow_plain_http),
            (9, 256, false)
        );
    }

    #[test]
    fn what_is_no_setting_is_refused_and_named() {
        for (file, words) in [
            ("colour = 1", &["no setting colour", "idle-seconds", "admin-token-file"][..]),
            ("idle_seconds = 1", &["no setting idle_seconds"]),
            ("adopt-marks = true", &["no setting adopt-marks"]),
            ("idle-seconds = 1.5", &["idle-seconds is a text or a whole number", "float"]),
            ("allow-plain-http = 'yes'", &["true or false", "string"]),
            ("[data]\nx = 1", &["data is a text", "table"]),
            ("idle-seconds = 7 8", &["line 1"]),
            ("idle-seconds = 0", &["0"]),
            ("max-uploads = 'many'", &["many"]),
        ] {
            let error = parse(file, &["--data", "d", "--key", "k", "--admin-token-file", "t"]);
            let error = error.unwrap_err();
            for word in words {
                assert!(error.contains(word), "{file}: {error}");
            }
        }
        assert!(parse("", &[]).unwrap_err().contains("--key"), "required all the same");
    }

    #[test]
    fn the_sample_is_a_configuration() {
        let config = parse(include_str!("../deploy/aggregator.toml"), &[]).unwrap();
        let data = PathBuf::from("/var/lib/ringfence-aggregator/data");
        assert_eq!((config.data, config.postgres), (Some(data), None));
    }

    /// What the container says for itself are settings, and its commands' words are the sample's.
    #[test]
    fn what_the_container_says_are_settings() {
        let file = include_str!("../deploy/Containerfile");
        let command = Config::augment_args(Command::new("serve"));
        let variables: Vec<&str> = command
            .get_arguments()
            .filter_map(|arg| arg.get_env().and_then(|name| name.to_str()))
            .collect();
        let given: Vec<&str> =
            file.lines().filter_map(|line| line.strip_prefix("ENV ")?.split('=').next()).collect();
        assert_eq!(given.len(), 4);
        for variable in given {
            assert!(variables.contains(&variable), "{variable} is none of {variables:?}");
        }
        let sample = parse(include_str!("../deploy/aggregator.toml"), &[]).unwrap();
        let volumes = file.lines().find(|line| line.starts_with("VOLUME ")).unwrap();
        for folder in [sample.data.unwrap(), sample.marks.unwrap()] {
            assert!(volumes.contains(&format!("{folder:?}")), "{folder:?} is not in {volumes}");
        }
    }

    /// The unit gives the secrets as credentials, whose folder only it knows.
    #[test]
    fn what_the_unit_says_are_settings() {
        let unit = include_str!("../deploy/ringfence-aggregator.service");
        let command = Config::augment_args(Command::new("serve"));
        let variables: Vec<&str> = command
            .get_arguments()
            .filter_map(|arg| arg.get_env().and_then(|name| name.to_str()))
            .collect();
        let given = unit.lines().filter_map(|line| line.strip_prefix("Environment="));
        let mut count = 0;
        for variable in given.filter_map(|line| line.split('=').next()) {
            assert!(variables.contains(&variable), "{variable} is none of {variables:?}");
            count += 1;
        }
        assert_eq!(count, 3);
        assert!(unit.contains("ExecStart=/usr/bin/ringfence-aggregator serve --config "));
    }
}
