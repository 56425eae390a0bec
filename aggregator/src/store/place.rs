//! Where everything is stored, by the operator's settings: a folder of this machine, or a database
//! and a bucket.

use std::net::IpAddr;
use std::path::Path;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::identity::read_secret;
use crate::store::postgres_s3::Bucket;
use crate::store::terms::StoreOpenError;
use crate::store::{Store, postgres_s3, sqlite_files};

/// Opens the store that the settings name.
///
/// # Errors
/// [`StoreOpenError`] says what to do.
pub(crate) async fn open(config: &Config) -> Result<Store, StoreOpenError> {
    let with_engines = [
        ("s3-bucket", config.s3_bucket.is_some()),
        ("s3-endpoint", config.s3_endpoint.is_some()),
        ("s3-credentials-file", config.s3_credentials_file.is_some()),
        ("postgres-password-file", config.postgres_password_file.is_some()),
    ];
    let settings = |reason: &str| Err(StoreOpenError::Settings(reason.to_owned()));
    match (&config.data, &config.postgres, &config.s3_bucket) {
        (Some(_), Some(_), _) => settings(
            "--data and --postgres are both given: what is stored lies in one of them, leave the other out",
        ),
        (None, None, _) => settings(
            "neither --data nor --postgres is given: name the folder for what is stored, or a database and a bucket (--s3-bucket)",
        ),
        (None, Some(_), None) => settings(
            "--postgres is given without --s3-bucket: bodies need a place, too; name a bucket, or a folder for everything by --data",
        ),
        (Some(data), None, _) => match with_engines.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => settings(&format!(
                "--{name} is given beside --data: it belongs to --postgres, leave one of them out"
            )),
            None => sqlite_files::open(data).await,
        },
        (None, Some(url), Some(name)) => {
            let database = database(url, config.postgres_password_file.as_deref())?;
            let key = config.s3_credentials_file.as_deref().map(key).transpose()?;
            let (name, endpoint) = (name.clone(), config.s3_endpoint.clone());
            let bucket = Bucket { name, endpoint, region: config.s3_region.clone(), key };
            postgres_s3::open(database, &bucket).await
        }
    }
}

/// The database of a URL that holds no secret.
fn database(url: &str, password: Option<&Path>) -> Result<PgConnectOptions, StoreOpenError> {
    let wrong = |reason: String| StoreOpenError::Settings(format!("--postgres {reason}"));
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or_else(|| {
        wrong("is no URL of a database: expected postgres://USER@HOST:PORT/DATABASE".to_owned())
    })?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let has_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    if has_password || rest.contains("password=") {
        return Err(wrong(
            "has a password in its URL, which others can see: put it into a file that only its owner may read, and name that by --postgres-password-file".to_owned(),
        ));
    }
    let mut options: PgConnectOptions =
        url.parse().map_err(|error| wrong(format!("is not understood: {error}")))?;
    if let Some(path) = password {
        let file = read_secret(path)?;
        let lines = std::str::from_utf8(file.trim_ascii_end()).unwrap_or_default();
        if lines.is_empty() || lines.contains('\n') {
            return Err(StoreOpenError::Settings(format!(
                "--postgres-password-file {}: expected one line, the password",
                path.display()
            )));
        }
        options = options.password(lines);
    }
    let is_sure = !matches!(options.get_ssl_mode(), PgSslMode::Prefer | PgSslMode::Allow);
    if !is_sure && !is_here(&options) {
        return Err(wrong(format!(
            "names the machine {} and not whether to speak TLS: add ?sslmode=verify-full&sslrootcert=FILE with the root of the server's certificate, or ?sslmode=disable where nobody else is on the network",
            options.get_host()
        )));
    }
    Ok(options)
}

/// Whether the database is on this machine.
fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_some_and(|address| address.is_loopback())
}

/// An access key in a file: its ID on the first line, its secret on the second.
fn key(path: &Path) -> Result<[Zeroizing<String>; 2], StoreOpenError> {
    let file = read_secret(path)?;
    let text = std::str::from_utf8(&file).unwrap_or_default();
    let mut lines = text.lines().map(|line| Zeroizing::new(line.trim().to_owned()));
    match (lines.next(), lines.next(), lines.next()) {
        (Some(id), Some(secret), None) if !id.is_empty() && !secret.is_empty() => Ok([id, secret]),
        _ => Err(StoreOpenError::Settings(format!(
            "--s3-credentials-file {}: expected two lines, the access key's ID and its secret",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_without_its_password_and_with_tls() {
        let refused = |url: &str| database(url, None).unwrap_err().to_string();
        for (url, word) in [
            ("host=db", "expected postgres://USER@HOST"),
            ("postgres://u:secret@localhost/d", "--postgres-password-file"),
            ("postgres://localhost/d?user=u&password=secret", "--postgres-password-file"),
            ("postgres://u@db.example/d", "sslmode=verify-full"),
            ("postgres://u@db.example/d?sslmode=sometimes", "not understood"),
        ] {
            let refused = refused(url);
            assert!(refused.contains(word), "{url}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
        for url in [
            "postgres://u@localhost/d",
            "postgresql://u@127.0.0.1:5433/d",
            "postgres://u@%2Fvar%2Frun%2Fpostgresql/d",
            "postgres://u@db.example/d?sslmode=verify-full",
            "postgres://u@db.example/d?sslmode=disable",
        ] {
            database(url, None).unwrap();
        }
    }

    #[test]
    fn an_access_key_has_two_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for (text, right) in [("id\nsecret\n", true), ("id\n", false), ("a\nb\nc\n", false)] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(key(&file).is_ok(), right, "{text:?}");
        }
    }
}
