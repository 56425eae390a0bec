//! What the operator says: flags, each with its environment variable. Secrets are paths.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::extract::beside_the_key;
use crate::tls::Files;
use crate::traces::Collector;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// An object a line, for programs.
    Json,
}

/// How to run the service.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// File with settings like these, under the same names; what is given here or in the environment
    /// counts before it
    #[arg(long, value_name = "FILE", env = "RINGFENCE_CONFIG")]
    pub config: Option<PathBuf>,

    /// Folder for everything that is stored; made if it does not exist
    #[arg(long, value_name = "DIR", env = "RINGFENCE_DATA")]
    pub data: Option<PathBuf>,

    /// PostgreSQL database for the statements, instead of a folder: postgres://USER@HOST/DATABASE,
    /// without a password, on other machines with ?sslmode=verify-full&sslrootcert=FILE
    #[arg(long, value_name = "URL", env = "RINGFENCE_POSTGRES")]
    pub postgres: Option<String>,

    /// File with the password of the database's user
    #[arg(long, value_name = "FILE", env = "RINGFENCE_POSTGRES_PASSWORD_FILE")]
    pub postgres_password_file: Option<PathBuf>,

    /// Bucket for bodies and sums, beside the database; nothing else lies in it
    #[arg(long, value_name = "NAME", env = "RINGFENCE_S3_BUCKET")]
    pub s3_bucket: Option<String>,

    /// URL of the server that has the bucket; Amazon's unless given
    #[arg(long, value_name = "URL", env = "RINGFENCE_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,

    /// Region of the bucket
    #[arg(long, value_name = "NAME", env = "RINGFENCE_S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// File with an access key to the bucket, its ID on one line and its secret on the next; as in
    /// the environment (AWS_ACCESS_KEY_ID and the like) unless given
    #[arg(long, value_name = "FILE", env = "RINGFENCE_S3_CREDENTIALS_FILE")]
    pub s3_credentials_file: Option<PathBuf>,

    /// File with the aggregator's Ed25519 seed, made by `keygen`
    #[arg(long, value_name = "FILE", env = "RINGFENCE_KEY")]
    pub key: PathBuf,

    /// Folder for the marks of how far every study has come: apart from the data, so that no backup
    /// brings it back with them; by default beside the key, its name and `.marks`
    #[arg(long, value_name = "DIR", env = "RINGFENCE_MARKS")]
    pub marks: Option<PathBuf>,

    /// Make missing marks from the data as they are: once, when the marks were lost and the data
    /// were never restored from a backup
    #[arg(long)]
    pub adopt_marks: bool,

    /// End when standard input is closed, as it is when the program that started this one ends
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,

    /// File with the token that registers studies, at least 16 bytes on one line
    #[arg(long, value_name = "FILE", env = "RINGFENCE_ADMIN_TOKEN_FILE")]
    pub admin_token_file: PathBuf,

    /// File with the hashes of further tokens, a line each as `token` prints it: auditors, who read,
    /// and further administrators
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TOKENS")]
    pub tokens: Option<PathBuf>,

    /// Address to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "RINGFENCE_LISTEN",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,

    /// PEM file with the server's certificate and those between it and a root: TLS, on any address.
    /// Read again at SIGHUP and when it changes
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,

    /// PEM file with the certificate's private key, not encrypted
    #[arg(long, value_name = "FILE", env = "RINGFENCE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,

    /// Listen without TLS on an address that other machines reach (behind a proxy that adds TLS)
    #[arg(long, env = "RINGFENCE_ALLOW_PLAIN_HTTP")]
    pub allow_plain_http: bool,

    /// Address for Prometheus to read from, by plain HTTP; none unless given
    #[arg(long, value_name = "ADDRESS", env = "RINGFENCE_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,

    /// Where an OpenTelemetry collector takes traces (OTLP in JSON by plain HTTP), port 4318 unless
    /// said; none are made unless given
    #[arg(long, value_name = "HOST:PORT", env = "RINGFENCE_TRACES_TO")]
    pub traces_to: Option<Collector>,

    /// How the log is written to standard error; RUST_LOG says what of it, info unless set
    #[arg(long, value_enum, env = "RINGFENCE_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Connections at the same time; fewer where the system lets too few files be open
    #[arg(long, value_name = "N", env = "RINGFENCE_MAX_CONNECTIONS", default_value_t = 4096,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub max_connections: u16,

    /// Connections from one address at the same time; behind a proxy all come from its address
    #[arg(long, value_name = "N", env = "RINGFENCE_MAX_CONNECTIONS_PER_ADDRESS",
        default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..))]
    pub max_connections_per_address: u16,

    /// Bodies that are uploaded at the same time; each takes a file and 1 MiB of memory
    #[arg(long, value_name = "N", env = "RINGFENCE_MAX_UPLOADS", default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub max_uploads: u16,

    /// Days that the sites' bodies are kept after their round is over; for ever unless given.
    /// Statements, digests and sums stay
    #[arg(long, value_name = "DAYS", env = "RINGFENCE_KEEP_BODIES_DAYS",
        value_parser = clap::value_parser!(u16).range(1..))]
    pub keep_bodies_days: Option<u16>,

    /// Seconds without a byte after which the sender of a body is given up
    #[arg(long, value_name = "SECONDS", env = "RINGFENCE_IDLE_SECONDS", default_value_t = 30,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub idle_seconds: u16,
}

impl Config {
    /// Which of certificate and key is given without the other, and the other: not for the arguments'
    /// parser, which does not look into environment and file together.
    pub(crate) fn half_of_tls(&self) -> Option<[&'static str; 2]> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => Some(["tls-certificate", "tls-key"]),
            (None, Some(_)) => Some(["tls-key", "tls-certificate"]),
            _ => None,
        }
    }

    /// Where certificate and key lie, if TLS is wanted.
    pub(crate) fn tls(&self) -> Option<Files> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(Files { certificate, key })
    }

    /// Whether there is TLS on this address, or plain HTTP that stays on this machine or was
    /// explicitly wanted.
    pub(crate) fn may_listen(&self) -> bool {
        self.tls().is_some() || self.listen.ip().is_loopback() || self.allow_plain_http
    }

    /// Where the marks lie.
    pub(crate) fn marks(&self) -> PathBuf {
        self.marks.clone().unwrap_or_else(|| beside_the_key(&self.key))
    }

    /// How long bodies are kept after their round is over.
    pub(crate) fn keep_bodies(&self) -> Option<Duration> {
        self.keep_bodies_days.map(|days| Duration::from_secs(u64::from(days) * 24 * 3600))
    }

    /// How long the sender of a body may be silent.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_seconds.into())
    }
}
