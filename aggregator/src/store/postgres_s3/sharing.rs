//! What aggregators share over a database and a bucket: jobs are rows, the ranges that were added are
//! objects, each named by the token of its lease, so that no two are ever written under one name.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use ringfence_clock::Ahead;
use ringfence_crypto::id::SiteId;
use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::query::Query;

use super::s3::S3Blobs;
use crate::store::sharing::{AddedRange, Job, Sharing, Task, Work};
use crate::store::terms::{Answer, RoundId, StoreError};

/// The place of the row for joining.
const JOIN: i64 = -1;

/// The database and the bucket, as far as they are shared.
#[derive(Debug)]
pub(crate) struct SharedEngines {
    pub(super) pool: PgPool,
    pub(super) blobs: S3Blobs,
    /// Tells this aggregator from the others.
    pub(super) holder: i64,
    pub(super) ahead: Ahead,
}

fn place(task: Task) -> i64 {
    match task {
        Task::Add(range) => range.cast_signed(),
        Task::Join => JOIN,
    }
}

impl SharedEngines {
    /// Runs a statement; how many rows it wrote.
    async fn rows(&self, query: Query<'static, Postgres, PgArguments>) -> Result<u64, StoreError> {
        Ok(query.execute(&self.pool).await?.rows_affected())
    }
}

/// A statement whose first three parameters name a work.
fn of_work(text: &'static str, work: Work) -> Query<'static, Postgres, PgArguments> {
    sqlx::query(text)
        .bind(work.round.study.to_string())
        .bind(i64::from(work.round.round.0))
        .bind(work.set.to_string())
}

/// The same, and two more: the job's place and its token.
fn of_job(text: &'static str, work: Work, job: Job) -> Query<'static, Postgres, PgArguments> {
    of_work(text, work).bind(place(job.task)).bind(job.token.cast_signed())
}

impl Sharing for SharedEngines {
    fn ahead(&self) -> Ahead {
        self.ahead.clone()
    }

    fn divide(&self, work: Work, ranges: u64) -> Answer<'_, ()> {
        async move {
            let rows = of_work(
                "INSERT INTO jobs (study, round, work, place)
                 SELECT $1, $2, $3, place FROM generate_series(-1, $4 - 1) AS place
                 WHERE NOT EXISTS (
                     SELECT 1 FROM jobs WHERE study = $1 AND round = $2 AND work = $3)
                 ON CONFLICT DO NOTHING",
                work,
            );
            self.rows(rows.bind(ranges.cast_signed())).await.map(drop)
        }
        .boxed()
    }

    fn lease(&self, work: Work, time: Duration) -> Answer<'_, Option<Job>> {
        async move {
            // Whoever is about to lease a row has it locked: the others look at the next one.
            let leased: Option<(i64, i64)> = sqlx::query_as(
                "UPDATE jobs SET holder = $4, token = nextval('job_tokens'),
                     until = clock_timestamp() + $5 * interval '1 second'
                 WHERE study = $1 AND round = $2 AND work = $3 AND place = (
                     SELECT place FROM jobs
                     WHERE study = $1 AND round = $2 AND work = $3
                     AND hashes IS NULL AND until < clock_timestamp()
                     AND (place >= 0 OR NOT EXISTS (
                         SELECT 1 FROM jobs WHERE study = $1 AND round = $2 AND work = $3
                         AND place >= 0 AND hashes IS NULL))
                     ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED)
                 RETURNING place, token",
            )
            .bind(work.round.study.to_string())
            .bind(i64::from(work.round.round.0))
            .bind(work.set.to_string())
            .bind(self.holder)
            .bind(time.as_secs_f64())
            .fetch_optional(&self.pool)
            .await?;
            Ok(leased.map(|(place, token)| Job {
                task: u64::try_from(place).map_or(Task::Join, Task::Add),
                token: token.cast_unsigned(),
            }))
        }
        .boxed()
    }

    fn keep(&self, work: Work, job: Job, time: Duration) -> Answer<'_, bool> {
        async move {
            let kept = of_job(
                "UPDATE jobs SET until = clock_timestamp() + $6 * interval '1 second'
                 WHERE study = $1 AND round = $2 AND work = $3 AND place = $4 AND token = $5
                 AND hashes IS NULL",
                work,
                job,
            );
            Ok(self.rows(kept.bind(time.as_secs_f64())).await? == 1)
        }
        .boxed()
    }

    fn release(&self, work: Work, job: Job) -> Answer<'_, ()> {
        async move {
            let released = of_job(
                "UPDATE jobs SET until = '-infinity'
                 WHERE study = $1 AND round = $2 AND work = $3 AND place = $4 AND token = $5",
                work,
                job,
            );
            self.rows(released).await.map(drop)
        }
        .boxed()
    }

    fn put_range(&self, work: Work, job: Job, sum: Bytes, hashes: Vec<u8>) -> Answer<'_, bool> {
        async move {
            self.blobs.put_range(work.round, job.token, sum).await?;
            let done = of_job(
                "UPDATE jobs SET hashes = $6
                 WHERE study = $1 AND round = $2 AND work = $3 AND place = $4 AND token = $5
                 AND hashes IS NULL",
                work,
                job,
            );
            let is_ours = self.rows(done.bind(hashes)).await? == 1;
            if !is_ours {
                self.blobs.remove_range(work.round, job.token).await?;
            }
            Ok(is_ours)
        }
        .boxed()
    }

    fn added(&self, work: Work) -> Answer<'_, Option<Vec<AddedRange>>> {
        async move {
            let rows: Vec<(i64, Option<Vec<u8>>)> = sqlx::query_as(
                "SELECT token, hashes FROM jobs
                 WHERE study = $1 AND round = $2 AND work = $3 AND place >= 0 ORDER BY place",
            )
            .bind(work.round.study.to_string())
            .bind(i64::from(work.round.round.0))
            .bind(work.set.to_string())
            .fetch_all(&self.pool)
            .await?;
            let added = rows.into_iter().map(|(token, hashes)| {
                Some(AddedRange { token: token.cast_unsigned(), hashes: hashes? })
            });
            Ok(added.collect::<Option<Vec<_>>>().filter(|added| !added.is_empty()))
        }
        .boxed()
    }

    fn range(&self, work: Work, token: u64) -> Answer<'_, Bytes> {
        async move { self.blobs.range_of_sum(work.round, token).await }.boxed()
    }

    fn forget(&self, round: RoundId) -> Answer<'_, ()> {
        async move {
            sqlx::query("DELETE FROM jobs WHERE study = $1 AND round = $2")
                .bind(round.study.to_string())
                .bind(i64::from(round.round.0))
                .execute(&self.pool)
                .await?;
            self.blobs.remove_ranges(round).await
        }
        .boxed()
    }

    fn heard<'a>(
        &'a self,
        round: RoundId,
        now: &'a [SiteId],
        asked: &'a [SiteId],
    ) -> Answer<'a, BTreeSet<SiteId>> {
        async move {
            let names = |sites: &[SiteId]| sites.iter().map(SiteId::to_string).collect::<Vec<_>>();
            let heard: Vec<String> = sqlx::query_scalar(
                "WITH heard AS (
                     INSERT INTO presence (study, site, at)
                     SELECT $1, site, clock_timestamp() FROM unnest($3::text[]) AS site
                     ON CONFLICT (study, site)
                     DO UPDATE SET at = greatest(presence.at, excluded.at))
                 SELECT site FROM presence
                 WHERE study = $1 AND site = ANY($4)
                 AND at >= (SELECT opened FROM rounds WHERE study = $1 AND round = $2)",
            )
            .bind(round.study.to_string())
            .bind(i64::from(round.round.0))
            .bind(names(now))
            .bind(names(asked))
            .fetch_all(&self.pool)
            .await?;
            let is_heard = |site: &&SiteId| heard.iter().any(|name| name == site.as_str());
            Ok(now.iter().chain(asked.iter().filter(is_heard)).cloned().collect())
        }
        .boxed()
    }
}
