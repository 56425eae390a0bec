//! Bodies: resumable by offset, one upload at a time, exactly the promised bytes.

use std::time::Duration;

use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::RoundStatus;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::child::Aggregator;
use crate::play::Play;
use crate::roster::{Roster, Shape, now};
use crate::signing::Signer;

async fn play(aggregator: &Aggregator) -> Play {
    Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await
}

/// Sends the head of an upload and only the first `sent` bytes of what it announces.
pub(crate) async fn begin_upload(
    aggregator: &Aggregator,
    play: &Play,
    site: &SiteId,
    offset: usize,
    sent: usize,
) -> TcpStream {
    begin_upload_at(aggregator, play, site, (offset, sent), now()).await
}

/// As [`begin_upload`], signed at this time.
async fn begin_upload_at(
    aggregator: &Aggregator,
    play: &Play,
    site: &SiteId,
    (offset, sent): (usize, usize),
    at: UnixSeconds,
) -> TcpStream {
    let body = play.contribution(site).body;
    let target = play.of(site, &format!("/body?offset={offset}"));
    let signer = Signer { at, ..Signer::of_path(&target) };
    let signed = signer.headers("PUT", &target, None);
    let signed: String =
        signed.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: x\r\n{signed}Content-Length: {}\r\n\r\n",
        body.len() - offset
    );
    let mut stream = TcpStream::connect(&aggregator.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[offset..offset + sent]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

/// Waits until so many bytes are stored and no upload runs.
async fn stored(play: &Play, site: &SiteId, bytes: u64) {
    for _ in 0..200 {
        if play.progress(site).await.body_bytes == bytes {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{bytes} bytes were never stored: {:?}", play.progress(site).await);
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator).await;
    let site = play.ids()[0].clone();
    let length = play.contribution(&site).body.len();
    play.put_header(&site).await.ok();
    play.put_envelopes(&site).await.ok();
    let connection = begin_upload(&aggregator, &play, &site, 0, 10_001).await;
    drop(connection);
    stored(&play, &site, 10_001).await;

    let refused = play.put_body(&site, 0).await;
    let problem = refused.refused(409, &["has 10001 bytes so far", "go on at offset=10001"]);
    assert_eq!(problem.kind, "/problems/offset");
    play.put_body(&site, 20_000).await.refused(409, &["go on at offset=10001"]);
    // A whole request with a part of the bytes is fine, too.
    let path = play.of(&site, "/body?offset=10001");
    let part = play.contribution(&site).body[10_001..30_000].to_vec();
    let progress: ContributionProgress = play.client.put(&path, part).await.json();
    assert_eq!((progress.body_bytes, progress.receipt), (30_000, None));
    let progress: ContributionProgress = play.put_body(&site, 30_000).await.json();
    assert_eq!(progress.body_bytes, length as u64);
    assert!(progress.receipt.is_some());
    assert_eq!(
        play.client.get(&play.of(&site, "/body")).await.bytes,
        play.contribution(&site).body
    );
}

#[tokio::test]
async fn only_the_promised_bytes_are_taken() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator).await;
    let site = play.ids()[0].clone();
    let body = play.contribution(&site).body;

    play.put_body(&site, 0).await.refused(404, &["put the header first"]);
    play.put_header(&site).await.ok();
    play.put_body(&site, 0).await.refused(409, &["put them before the body"]);
    play.client.get(&play.of(&site, "/envelopes/site-1")).await.refused(404, &["not come yet"]);
    play.put_envelopes(&site).await.ok();
    play.client.get(&play.of(&site, "/body")).await.refused(404, &["not come whole"]);
    play.client.put(&play.of(&site, "/body"), body.clone()).await.refused(400, &["offset"]);
    let path = play.of(&site, "/body?offset=0");
    let unknown = format!("{path}&verify=false");
    play.client.put(&unknown, body.clone()).await.refused(400, &["verify"]);

    // More bytes than promised: announced ahead, or found out while they come.
    let longer = [body.as_slice(), b"8 bytes."].concat();
    play.client.put(&path, longer.clone()).await.refused(413, &["promises a body of", "got more"]);
    assert_eq!(play.progress(&site).await.body_bytes, 0);
    let chunks: Vec<Result<Vec<u8>, std::io::Error>> =
        longer.chunks(1000).map(|chunk| Ok(chunk.to_vec())).collect();
    let unannounced = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    play.client.put(&path, unannounced).await.refused(413, &["got more"]);
    let progress = play.progress(&site).await;
    assert!(progress.body_bytes < body.len() as u64 && progress.receipt.is_none());

    // Another digest: discarded, and the right bytes are welcome from the start.
    let offset = progress.body_bytes as usize;
    let mut altered = body[offset..].to_vec();
    altered[0] ^= 1;
    let path = play.of(&site, &format!("/body?offset={offset}"));
    play.client.put(&path, altered).await.refused(422, &["it was discarded", "offset=0"]);
    assert_eq!(play.progress(&site).await.body_bytes, 0);
    let status: RoundStatus = play.status().await;
    assert!(status.received.is_empty());
    let progress: ContributionProgress = play.put_body(&site, 0).await.json();
    assert!(progress.receipt.is_some());
}

/// A connection that the network has lost stays open at the aggregator; its site is back before that.
#[tokio::test]
async fn a_newer_upload_takes_the_place_of_an_older() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator).await;
    let (site, other) = (play.ids()[0].clone(), play.ids()[1].clone());
    let body = play.contribution(&site).body;
    play.put_header(&site).await.ok();
    play.put_envelopes(&site).await.ok();
    let mut lost = begin_upload(&aggregator, &play, &site, 0, 1000).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Others are not in its way.
    play.contribute(&other).await;
    // The same request again, as whoever listens could send it, is not newer.
    let target = play.of(&site, "/body?offset=0");
    let again = |at| {
        let request = play.client.request(reqwest::Method::PUT, &target).body(body.clone());
        let signer = Signer { at, ..Signer::site(0) };
        let headers = signer.headers("PUT", &target, None);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        async move { crate::child::Client::send(request).await.unwrap() }
    };
    let old = again(now().earlier(60)).await;
    old.refused(409, &["another upload of site-0 is running"]);
    assert_eq!(old.headers["retry-after"], "1");
    assert_eq!(play.progress(&site).await.receipt, None);
    // A newer one is, and goes on where the older was.
    let refused = again(now().after(2)).await;
    refused.refused(409, &["has 1000 bytes so far", "go on at offset=1000"]);
    let mut answer = Vec::new();
    lost.write_all(&body[1000..]).await.unwrap();
    while !answer.ends_with(b"\n}") {
        assert_ne!(lost.read_buf(&mut answer).await.unwrap(), 0, "{answer:?}");
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 409") && answer.contains("a newer upload"), "{answer}");
    let progress: ContributionProgress = play.put_body(&site, 1000).await.json();
    assert!(progress.receipt.is_some() && progress.body_bytes == body.len() as u64);
}

/// What was lost was signed by a clock that was ahead: by this one it is newer than whatever comes.
#[tokio::test]
async fn a_site_whose_clock_was_set_back_is_not_locked_out() {
    let aggregator = Aggregator::start();
    let play = play(&aggregator).await;
    let site = play.ids()[0].clone();
    play.put_header(&site).await.ok();
    play.put_envelopes(&site).await.ok();
    let lost = begin_upload_at(&aggregator, &play, &site, (0, 1000), now().after(200)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = play.put_body(&site, 1000).await;
    refused.refused(409, &["another upload of site-0 is running", "silent for a few seconds"]);
    tokio::time::sleep(Duration::from_secs(4)).await;
    let progress: ContributionProgress = play.put_body(&site, 1000).await.json();
    assert!(progress.receipt.is_some());
    drop(lost);
}

#[tokio::test]
async fn a_silent_upload_is_given_up_and_makes_room() {
    let aggregator = Aggregator::start_with(&["--max-uploads", "1", "--idle-seconds", "1"]);
    let play = play(&aggregator).await;
    let (site, other) = (play.ids()[0].clone(), play.ids()[1].clone());
    for site in [&site, &other] {
        play.put_header(site).await.ok();
        play.put_envelopes(site).await.ok();
    }
    let mut silent = begin_upload(&aggregator, &play, &site, 0, 5000).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let refused = play.put_body(&other, 0).await;
    refused.refused(503, &["too many uploads"]);
    assert!(refused.headers.contains_key("retry-after"));
    // What came is kept, its place is free.
    stored(&play, &site, 5000).await;
    let progress: ContributionProgress = play.put_body(&other, 0).await.json();
    assert!(progress.receipt.is_some());
    let progress: ContributionProgress = play.put_body(&site, 5000).await.json();
    assert!(progress.receipt.is_some());
    // The silent sender is told.
    silent.write_all(&[0; 100]).await.unwrap();
    silent.shutdown().await.unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}
