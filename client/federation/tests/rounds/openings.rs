//! Openings that come wrong from the aggregator: its fault, and never the holder's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::transport::Transport;
use ringfence_site::{Done, RoundEnd, Site};

use crate::trio::{Trio, update};

const ROUND: RoundNumber = RoundNumber(0);

/// A round of three sites that all have opened.
async fn opened(trio: &Trio) -> Vec<Site> {
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, ROUND).await.unwrap();
    }
    let held = join_all(sites.iter().map(|site| site.hold(ROUND))).await;
    held.into_iter().for_each(|report| assert!(report.unwrap().opened));
    sites
}

/// What a site makes of the round: it must have the right mean.
async fn done(site: &Site) -> Done<'_> {
    let RoundEnd::Done(done) = site.join(ROUND).await.unwrap().finish().await.unwrap() else {
        panic!("the round was aborted");
    };
    let updates = [0, 1, 2].map(update);
    for (index, mean) in done.mean().into_iter().enumerate() {
        let expected = updates.iter().map(|update| update[index]).sum::<f32>() / 3.0;
        assert!((mean - expected).abs() < 1e-4, "{mean} against {expected}");
    }
    done
}

/// An aggregator that alters the last byte of the next parts of a's opening: of as many as it is
/// told. All else goes through as it is.
struct Lying {
    url: String,
    lies: Arc<AtomicU32>,
}

impl Lying {
    fn before(aggregator: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = aggregator.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let lies = Arc::new(AtomicU32::new(0));
        let left = Arc::clone(&lies);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, upstream, left) = (client.unwrap(), upstream.clone(), left.clone());
                std::thread::spawn(move || answer(client, &upstream, &left));
            }
        });
        Self { url, lies }
    }
}

/// Answers one request and hangs up.
fn answer(mut client: TcpStream, upstream: &str, lies: &AtomicU32) {
    let (mut request, mut buffer) = (Vec::new(), [0; 1 << 14]);
    let end = loop {
        let read = client.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        request.extend_from_slice(&buffer[..read]);
        let blank = b"\r\n\r\n";
        if let Some(at) = request.windows(blank.len()).position(|window| window == blank) {
            break at;
        }
    };
    let head = String::from_utf8(request[..end].to_vec()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while request.len() < end + 4 + length {
        let read = client.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
    }
    request.splice(end..end, b"\r\nconnection: close".iter().copied());
    let mut server = TcpStream::connect(upstream).unwrap();
    server.write_all(&request).unwrap();
    let mut response = Vec::new();
    server.read_to_end(&mut response).unwrap();
    let lie = head.contains("/openings/a/recipients/")
        && lies
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
            .is_ok();
    if let Some(last) = response.last_mut().filter(|_| lie) {
        *last ^= 1;
    }
    // The first part of a list is a's; it is as good as none.
    if head.contains("/opened/") && lies.load(Ordering::SeqCst) > 0 {
        let body = response.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        response[body + 1000] ^= 1;
    }
    // A client that has hung up meanwhile is told nothing.
    let _ = client.write_all(&response);
    let _ = client.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_the_aggregator_altered_is_fetched_again_and_is_no_lie_of_its_holder() {
    let trio = Trio::start().await;
    opened(&trio).await;
    let lying = Lying::before(trio.aggregator.url());
    let state = trio.folder.path().join("state-behind");
    let site = trio.site_with(2, |membership| {
        membership.state = state.clone();
        membership.transport = Transport::new(&lying.url, false, Clock::system()).unwrap();
    });
    // Once is none: it asks again.
    lying.lies.store(1, Ordering::SeqCst);
    assert_eq!(done(&site).await.unusable, []);
    assert_eq!(lying.lies.load(Ordering::SeqCst), 0);
    // Always: the others' openings do, and the aggregator is named for a's.
    lying.lies.store(u32::MAX, Ordering::SeqCst);
    let done = done(&site).await;
    let [(holder, reason)] = &done.unusable[..] else { panic!("{:?}", done.unusable) };
    assert_eq!(holder.as_str(), "a");
    for words in ["the aggregator did not send what a signed", "nothing is held against a"] {
        assert!(reason.contains(words), "{reason}");
    }
    assert_eq!(u32::MAX - lying.lies.load(Ordering::SeqCst), 3, "attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_damaged_on_the_aggregators_disk_are_waited_for_until_their_holders_resend() {
    let trio = Trio::start().await;
    let sites = opened(&trio).await;
    let study = trio.study_id().to_string();
    let folder = trio.folder.path().join("aggregator/data/studies").join(study).join("0/openings");
    let statements = trio.transport().round(trio.study_id(), ROUND).openings().await.unwrap();
    let damage = |holder: &str| {
        let found = statements.iter().find(|signed| signed.statement.holder.as_str() == holder);
        let file = folder.join(found.unwrap().id().to_string());
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[1000] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    };
    damage("a");
    let done_without_a = done(&sites[2]).await;
    let [(holder, reason)] = &done_without_a.unusable[..] else { panic!("no reason") };
    assert!(holder.as_str() == "a" && reason.contains("damaged"), "{reason}");
    // Too few are left now: it waits, and a's own resend mends it.
    damage("b");
    let (done, resent) = tokio::join!(done(&sites[2]), async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        sites[0].hold(ROUND).await
    });
    assert!(resent.unwrap().opened);
    assert!(done.unusable.iter().all(|(holder, _)| holder.as_str() == "b"));
}
