//! Bytes on their way into a bucket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;

use super::write_failed;
use crate::store::blobs::Writer;
use crate::store::terms::{Answer, StoreError};

/// Bytes of a body that are gathered before they go to the bucket as one object.
pub(super) const PART: usize = 1 << 20;

/// Bytes of an object that are sent at a time. S3 wants at least 5 MiB.
const PIECE: usize = 8 << 20;

/// The place of a part: in the order of their names, parts are in the order of their offsets.
pub(super) fn part(parts: &Path, offset: u64) -> Path {
    parts.clone().join(format!("{offset:020}"))
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Gathered {
    bytes: Vec<Bytes>,
    length: usize,
}

impl Gathered {
    fn add(&mut self, bytes: Bytes) -> usize {
        self.length += bytes.len();
        self.bytes.push(bytes);
        self.length
    }

    fn take(&mut self) -> PutPayload {
        self.length = 0;
        std::mem::take(&mut self.bytes).into_iter().collect()
    }
}

/// A body on its way: a chain of parts, each an object that begins where the one before it ends.
#[derive(Debug)]
pub(super) struct Parts {
    store: Arc<dyn ObjectStore>,
    parts: Path,
    offset: u64,
    gathered: Gathered,
}

impl Parts {
    /// Goes on behind `offset`.
    pub(super) fn new(store: Arc<dyn ObjectStore>, parts: Path, offset: u64) -> Self {
        Self { store, parts, offset, gathered: Gathered::default() }
    }

    /// Writes what is gathered, unless there is a part at this place: another one was faster.
    async fn flush(&mut self) -> Result<(), StoreError> {
        let length = self.gathered.length as u64;
        if length > 0 {
            let path = part(&self.parts, self.offset);
            let payload = self.gathered.take();
            let put = self.store.put_opts(&path, payload, PutMode::Create.into()).await;
            put.map_err(write_failed)?;
            self.offset += length;
        }
        Ok(())
    }
}

impl Writer for Parts {
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        async move {
            match self.gathered.add(bytes) >= PART {
                true => self.flush().await,
                false => Ok(()),
            }
        }
        .boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move { self.flush().await }.boxed()
    }
}

/// An object that is there when it is whole: put at once if it is small, else by a multipart upload.
#[derive(Debug)]
pub(super) struct Object {
    store: Arc<dyn ObjectStore>,
    path: Path,
    upload: Option<Box<dyn MultipartUpload>>,
    gathered: Gathered,
}

impl Object {
    /// Nothing is sent yet.
    pub(super) fn new(store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { store, path, upload: None, gathered: Gathered::default() }
    }

    /// Takes the next bytes.
    pub(super) async fn add(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.gathered.add(bytes) < PIECE {
            return Ok(());
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => {
                let begun = self.store.put_multipart(&self.path).await.map_err(write_failed)?;
                self.upload.insert(begun)
            }
        };
        upload.put_part(self.gathered.take()).await.map_err(write_failed)
    }

    /// Makes it whole, and durable.
    pub(super) async fn complete(mut self) -> Result<(), StoreError> {
        let rest = self.gathered.take();
        let Some(mut upload) = self.upload.take() else {
            return self.store.put(&self.path, rest).await.map(drop).map_err(write_failed);
        };
        let completed = async {
            if rest.content_length() > 0 {
                upload.put_part(rest).await?;
            }
            upload.complete().await
        };
        let outcome = completed.await;
        if outcome.is_err() {
            give_up(upload);
        }
        outcome.map(drop).map_err(write_failed)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.upload.take().into_iter().for_each(give_up);
    }
}

/// Removes what an upload has sent. After a crash the bucket's own rule does (see the README).
fn give_up(mut upload: Box<dyn MultipartUpload>) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%error, "an upload could not be given up");
            }
        });
    }
}

impl Writer for Object {
    fn write(&mut self, bytes: Bytes) -> Answer<'_, ()> {
        self.add(bytes).boxed()
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        self.complete().boxed()
    }
}
