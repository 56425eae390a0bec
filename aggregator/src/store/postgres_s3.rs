//! The backend for machines without a disk of their own that counts: statements in PostgreSQL,
//! everything else in a bucket that speaks S3. `postgres_s3/README.md` tells the life of one statement.

mod drafts;
mod postgres;
mod s3;
mod sharing;

use std::sync::Arc;

use drafts::PgDrafts;
pub(in crate::store) use postgres::PgStatements;
pub(crate) use s3::Bucket;
use s3::S3Blobs;
use sqlx::postgres::PgConnectOptions;

use crate::store::Store;
use crate::store::terms::StoreOpenError;

/// Opens database and bucket.
///
/// # Errors
/// [`StoreOpenError`] when one of them cannot be used, or another aggregator has the database.
pub(crate) async fn open(
    database: PgConnectOptions,
    bucket: &Bucket,
) -> Result<Store, StoreOpenError> {
    let blobs = S3Blobs::open(bucket).await?;
    let statements = PgStatements::open(database).await?;
    let sharing = statements.sharing(blobs.clone())?;
    let drafts = PgDrafts::new(statements.pool().clone());
    Ok(Store {
        statements: Arc::new(statements),
        blobs: Arc::new(blobs),
        drafts: Arc::new(drafts),
        sharing: Some(Arc::new(sharing)),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use ed25519_dalek::SigningKey;
    use ringfence_crypto::Digest;
    use ringfence_crypto::id::{RoundNumber, StudyId};
    use ringfence_crypto::statement::Header;

    use super::*;
    use crate::engines::{new_bucket, new_database};
    use crate::roster::{Roster, Shape, Term};
    use crate::store::blobs::{Blob, Blobs, BodyCheck};
    use crate::store::conformance::{Backend, conformance_tests, sharing_tests};
    use crate::store::terms::{RoundId, StoreError};

    pub(crate) struct Engines {
        database: String,
        bucket: Bucket,
    }

    /// A bucket of the server that the tests start.
    fn bucket(user: &str) -> Option<Bucket> {
        let (endpoint, name) = new_bucket()?;
        let key = [user.to_owned(), format!("{user}-secret")].map(Into::into);
        let region = "us-east-1".to_owned();
        Some(Bucket { name, endpoint: Some(endpoint), region, key: Some(key) })
    }

    impl Engines {
        pub(crate) fn new() -> Option<Self> {
            Some(Self { database: new_database()?, bucket: bucket("test")? })
        }
    }

    impl Backend for Engines {
        async fn open(&self) -> Store {
            open(self.database.parse().unwrap(), &self.bucket).await.unwrap()
        }
    }

    conformance_tests!(Engines::new());
    sharing_tests!(Engines::new());

    /// Several pieces of a multipart upload, and what is given up leaves nothing.
    #[tokio::test]
    async fn a_large_sum_is_there_whole_or_not_at_all() {
        let Some(bucket) = bucket("test") else { return };
        let blobs = S3Blobs::open(&bucket).await.unwrap();
        let round = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(3) };
        let chunk = |k: u8| Bytes::from(vec![k; 1_500_000]);
        for finishes in [false, true] {
            let mut sum = blobs.write_sum(round).await.unwrap();
            for k in 0..12 {
                sum.write(chunk(k)).await.unwrap();
            }
            match finishes {
                true => sum.finish().await.unwrap(),
                false => drop(sum),
            }
            let stored = blobs.extent(round, &Blob::Sum).await.unwrap();
            assert_eq!(stored.map(|stored| stored.bytes), finishes.then_some(18_000_000));
        }
        let read = blobs.read(round, &Blob::Sum, 8_388_000..9_000_008).await.unwrap();
        assert_eq!(&read[..611_999], &vec![5; 611_999][..]);
        assert_eq!(&read[612_000..], &[6; 8][..]);
    }

    /// Two uploads of one site at once, as on two machines: the bytes of one count.
    #[tokio::test]
    async fn two_uploads_at_once_do_not_mix() {
        let Some(bucket) = bucket("test") else { return };
        let blobs = S3Blobs::open(&bucket).await.unwrap();
        let round = RoundId { study: StudyId(Digest::of(b"study")), round: RoundNumber(3) };
        let site = "site".parse().unwrap();
        let mut one = blobs.append_body(round, &site).await.unwrap();
        let mut two = blobs.append_body(round, &site).await.unwrap();
        one.write(Bytes::from_static(b"one")).await.unwrap();
        two.write(Bytes::from_static(b"second")).await.unwrap();
        one.finish().await.unwrap();
        let taken = two.finish().await.unwrap_err();
        assert!(matches!(taken, StoreError::Taken(_)), "{taken}");
        assert_eq!(blobs.body_bytes(round, &site).await.unwrap(), 3);
    }

    /// Two requests for the receipt of one contribution, at two aggregators: one removes the parts
    /// while the other one reads them.
    #[tokio::test]
    async fn two_that_make_a_body_whole_at_once_both_find_it_right() {
        let Some(bucket) = bucket("test") else { return };
        let [one, two] =
            [S3Blobs::open(&bucket).await.unwrap(), S3Blobs::open(&bucket).await.unwrap()];
        let roster =
            Roster::new(SigningKey::from_bytes(&[9; 32]).verifying_key().into(), Shape::default());
        let site = &roster.ids[0];
        for round in 0..20 {
            let manifest = roster.manifest(RoundNumber(round), Term::now(600), None);
            let manifest = roster.signed(&manifest.initiator.clone(), manifest);
            let id = RoundId { study: roster.id(), round: RoundNumber(round) };
            let body = vec![round as u8; 4 << 20];
            let header = roster.contribution(&manifest, site).header.statement;
            let header = Header { body: Digest::of(&body), ..header };
            let mut writer = one.append_body(id, site).await.unwrap();
            for piece in body.chunks(1 << 20) {
                writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            writer.finish().await.unwrap();
            let later = async {
                tokio::time::sleep(Duration::from_millis(3 * u64::from(round))).await;
                two.finish_body(id, &header, None).await
            };
            let (first, second) = tokio::join!(one.finish_body(id, &header, None), later);
            assert_eq!(first.unwrap(), BodyCheck::Right, "round {round}");
            assert_eq!(second.unwrap(), BodyCheck::Right, "round {round}");
        }
    }

    #[tokio::test]
    async fn a_bucket_that_cannot_be_opened_says_what_to_do() {
        let Some(right) = bucket("test") else { return };
        let key = |id: &str, secret: &str| Some([id, secret].map(|s| s.to_owned().into()));
        let (name, endpoint) = ("none".to_owned(), Some("http://127.0.0.1:1".to_owned()));
        for (wrong, words) in [
            (Bucket { name, ..right.clone() }, &["none", "make the bucket first"][..]),
            (Bucket { endpoint, ..right.clone() }, &["127.0.0.1:1", "is the server running"]),
            (Bucket { key: key("test", "x"), ..right.clone() }, &["--s3-credentials-file"]),
            (Bucket { key: key("reader", "reader-secret"), ..right }, &["the right to list"]),
        ] {
            let error = S3Blobs::open(&wrong).await.unwrap_err().to_string();
            for word in words {
                assert!(error.contains(word), "{word}: {error}");
            }
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
