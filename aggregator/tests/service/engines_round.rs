//! The same service over PostgreSQL and S3.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use ringfence_crypto::api::AggregatorStatus;
use ringfence_crypto::id::UnixSeconds;
use tempfile::TempDir;

use crate::child::{Aggregator, refusal};
use crate::crash::goes_on_after_kills;
use crate::engines::{new_bucket, new_database, psql};
use crate::roster::now;

#[tokio::test]
async fn killed_in_the_middle_of_an_upload_and_after_receipts() {
    if let Some(aggregator) = Aggregator::start_on_engines() {
        goes_on_after_kills(aggregator).await;
    }
}

/// The database's clock is 4 s ahead of this machine's: the aggregator goes by it.
#[tokio::test]
async fn the_time_of_day_is_the_databases() {
    let Some(database) = new_database() else { return };
    psql(
        &database,
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
         AS 'SELECT pg_catalog.clock_timestamp() + interval ''4 seconds'''",
    );
    let name = database.rsplit('/').next().unwrap();
    psql(&database, &format!("ALTER DATABASE {name} SET search_path = public, pg_catalog"));
    let Some(aggregator) = Aggregator::start_over(database) else { return };
    let before = now();
    let told: AggregatorStatus = aggregator.client().get("/v2/aggregator").await.json();
    let told = told.now;
    assert!(told >= UnixSeconds(before.0 + 3), "{told} after {before}");
    assert!(told <= UnixSeconds(now().0 + 5), "{told}");
}

/// What the operator says wrongly is refused at the start, with what to do and without a secret.
#[tokio::test]
async fn a_store_that_cannot_be_used_is_refused_at_the_start() {
    let (Some(database), Some((endpoint, bucket))) = (new_database(), new_bucket()) else { return };
    let Some(aggregator) = Aggregator::start_on_engines() else { return };
    let folder = TempDir::new().unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (key, password) =
        (secret("key", "test\nwrong-secret\n"), secret("password", "wrong-secret\n"));
    let guarded = database.replace("test@", "guarded@");
    let bucket = ["--s3-endpoint", &endpoint, "--s3-bucket", &bucket];
    for (options, words) in [
        (
            &["--data", folder.path().to_str().unwrap(), "--postgres", &database][..],
            &["both given"][..],
        ),
        (&["--postgres", &database], &["without --s3-bucket"]),
        (&[], &["neither --data nor --postgres"]),
        (&["--data", "d", "--s3-bucket", "b"], &["beside --data"]),
        (
            &[&bucket[..], &["--postgres", &database, "--s3-credentials-file", &key]].concat(),
            &["the bucket", "--s3-credentials-file", "clock"],
        ),
        (
            &[&bucket[..], &["--postgres", &guarded, "--postgres-password-file", &password]]
                .concat(),
            &["guarded", "password authentication failed", "--postgres-password-file"],
        ),
        (
            &[&bucket[..], &["--postgres", &guarded, "--postgres-password-file", &key]].concat(),
            &["expected one line"],
        ),
    ] {
        let mut command = aggregator.elsewhere();
        let credentials = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test-secret")];
        command.args(options).envs(credentials);
        let said = refusal(&mut command);
        let said = String::from_utf8_lossy(&said.stderr);
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert!(!said.contains("wrong-secret"), "{said}");
    }
}
