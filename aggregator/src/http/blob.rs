//! Bodies and sums as answers: whole, or the one range that is asked for.

use std::ops::Range;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use httpdate::HttpDate;

use crate::core::refusal::{Kind, Refusal};
use crate::core::round::LiveRound;
use crate::store::blobs::{Blob, Extent};

/// Bytes that are read at a time.
const CHUNK: u64 = 256 << 10;

/// Streams a blob of a round, or the one range of it that the request asks for.
pub(crate) async fn blob(
    round: &LiveRound,
    blob: Blob,
    request: &HeaderMap,
) -> Result<Response, Refusal> {
    let extent = round.served.blobs().extent(round.id, &blob).await?;
    // It has a receipt or a closing: its absence is our fault.
    let extent = extent.ok_or_else(|| Refusal::internal(&format!("{blob} is gone")))?;
    if let Some(status) = precondition(request, extent.modified) {
        return Ok(empty(status));
    }
    let asked = request.get(header::RANGE).and_then(|asked| asked.to_str().ok());
    let (status, range) = match asked {
        None => (StatusCode::OK, 0..extent.bytes),
        Some(asked) => (StatusCode::PARTIAL_CONTENT, one_range(asked, extent)?),
    };
    let length = range.end - range.start;
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(date) = HeaderValue::from_str(&HttpDate::from(extent.modified).to_string()) {
        headers.insert(header::LAST_MODIFIED, date);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end.saturating_sub(1);
        let range = format!("bytes {}-{last}/{}", range.start, extent.bytes);
        if let Ok(range) = HeaderValue::from_str(&range) {
            headers.insert(header::CONTENT_RANGE, range);
        }
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    *response.body_mut() = stream_of(round, blob, range);
    Ok(response)
}

/// The status that the request's dates call for instead of an answer, if any.
fn precondition(request: &HeaderMap, modified: SystemTime) -> Option<StatusCode> {
    let modified = HttpDate::from(modified);
    let date =
        |name: HeaderName| -> Option<HttpDate> { request.get(name)?.to_str().ok()?.parse().ok() };
    if date(header::IF_UNMODIFIED_SINCE).is_some_and(|since| modified > since) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let unmodified = date(header::IF_MODIFIED_SINCE).is_some_and(|since| modified <= since);
    unmodified.then_some(StatusCode::NOT_MODIFIED)
}

/// The range that a `Range` header asks for, if it is one within the blob.
fn one_range(asked: &str, extent: Extent) -> Result<Range<u64>, Refusal> {
    let ranges = http_range_header::parse_range_header(asked)
        .and_then(|ranges| ranges.validate(extent.bytes));
    if let Ok([range]) = ranges.as_deref() {
        return Ok(*range.start()..range.end().saturating_add(1).min(extent.bytes));
    }
    let asked = Some(asked);
    let detail = format!("the range {asked:?} is not one range within the file");
    Err(Refusal::new(Kind::Range, detail))
}

/// Reads a range piece by piece, as fast as the peer takes it.
fn stream_of(round: &LiveRound, blob: Blob, range: Range<u64>) -> Body {
    let (blobs, id) = (round.served.blobs().clone(), round.id);
    Body::from_stream(stream::try_unfold(range.start, move |from| {
        let (blobs, blob) = (blobs.clone(), blob.clone());
        let to = range.end.min(from.saturating_add(CHUNK));
        async move {
            if from >= to {
                return Ok(None);
            }
            // The answer has begun: all that can be done is to break off.
            let read = blobs.read(id, &blob, from..to).await;
            read.map(|bytes| Some((bytes, to))).inspect_err(|error| {
                tracing::error!(%error, "an answer broke off");
            })
        }
    }))
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
