//! The default backend: statements and small contributions in SQLite, everything else in files, all in
//! one folder that one process has at a time. `sqlite_files/README.md` tells the life of one statement.

pub(crate) mod backup;
mod drafts;
mod files;
mod round_files;
mod small;
mod sqlite;
pub(crate) mod tables;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use drafts::SqliteDrafts;
use files::FileBlobs;
pub(in crate::store) use sqlite::SqliteStatements;

use crate::store::Store;
use crate::store::terms::StoreOpenError;

/// Opens a data folder, or makes one, and locks it.
///
/// # Errors
/// [`StoreOpenError`] when another process has it, or it cannot be used.
pub(crate) async fn open(data: &Path) -> Result<Store, StoreOpenError> {
    let folder = |source| StoreOpenError::Folder { path: data.to_owned(), source };
    let lock = lock(data)?;
    let database = data.join(backup::DATABASE);
    let statements = SqliteStatements::open(&database).await?;
    ringfence_durable::sync_folder_of(&database).map_err(folder)?;
    let blobs = FileBlobs::new(data, lock, statements.small());
    let drafts = SqliteDrafts::new(statements.pool().clone());
    let (statements, blobs) = (Arc::new(statements), Arc::new(blobs));
    Ok(Store { statements, blobs, drafts: Arc::new(drafts), sharing: None })
}

/// The lock of a data folder.
fn lock(data: &Path) -> Result<File, StoreOpenError> {
    let folder = |source| StoreOpenError::Folder { path: data.to_owned(), source };
    ringfence_durable::create_folder(data).map_err(folder)?;
    match ringfence_durable::lock(&data.join("lock"), ringfence_durable::HANDED_BACK_WITHIN) {
        Ok(lock) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreOpenError::Locked(data.to_owned())),
        Err(TryLockError::Error(source)) => Err(folder(source)),
    }
}

/// Runs one statement on the database of a data folder, also while it is served; answers with the
/// number that comes first, if any.
#[cfg(test)]
pub(crate) async fn asked(data: &Path, statement: &'static str) -> Option<i64> {
    use sqlx::ConnectOptions;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(data.join(backup::DATABASE));
    let mut connection = options.connect().await.unwrap();
    sqlx::query_scalar(statement).fetch_optional(&mut connection).await.unwrap()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::conformance::{Backend, conformance_tests};

    struct Folder(TempDir);

    impl Backend for Folder {
        async fn open(&self) -> Store {
            open(&self.0.path().join("data")).await.unwrap()
        }
    }

    conformance_tests!(Some(Folder(TempDir::new().unwrap())));

    #[tokio::test]
    async fn one_process_at_a_time_has_a_folder() {
        let folder = TempDir::new().unwrap();
        let first = open(folder.path()).await.unwrap();
        let second = open(folder.path()).await.unwrap_err();
        assert!(matches!(second, StoreOpenError::Locked(_)), "{second}");
        drop(first);
        open(folder.path()).await.unwrap();
    }
}
