//! Three aggregators over one database and one bucket, behind a plain balancer of TCP connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::round::{RoundState, RoundStatus};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use crate::child::{Aggregator, Client};
use crate::crash::finish;
use crate::play::Play;
use crate::roster::{LARGE, Roster, Shape};

/// Passes each connection on to the next of the aggregators that can be reached; its address.
async fn balancer(behind: Vec<SocketAddr>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let next = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (mut outside, _) = listener.accept().await.unwrap();
            let (behind, next) = (behind.clone(), next.clone());
            tokio::spawn(async move {
                for _ in 0..behind.len() {
                    let at = behind[next.fetch_add(1, Ordering::Relaxed) % behind.len()];
                    if let Ok(mut inside) = TcpStream::connect(at).await {
                        let _ = copy_bidirectional(&mut outside, &mut inside).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Three aggregators, and a client whose every request goes to another one.
async fn three() -> Option<([Aggregator; 3], Client)> {
    let first = Aggregator::start_on_engines()?;
    let second = first.another("second.marks");
    let third = first.another("third.marks");
    let all = [first, second, third];
    let behind = all.iter().map(|aggregator| aggregator.address.parse().unwrap()).collect();
    // Three servers and their engines share the processors with all other tests.
    let client = Client::patient(&balancer(behind).await, Duration::from_secs(120));
    Some((all, client))
}

/// All of one round and the beginning of the next, each request at another aggregator, all sites at
/// once; one aggregator is killed while the round is closed. What is checked is what the sites check
/// of a round in one folder: each body once in the sum, and one log that only grows.
#[tokio::test]
async fn a_round_over_three_of_which_one_is_killed_while_it_is_closed() {
    let Some((mut three, client)) = three().await else { return };
    let roster = Roster::new(three[0].key, Shape { values: LARGE, ..Shape::default() });
    let play = Play::start(client.clone(), roster.clone(), 600).await;
    let together: Vec<_> = play.ids().to_vec();
    let together = together.into_iter().map(|site| {
        let play = play.clone();
        tokio::spawn(async move { play.contribute(&site).await })
    });
    for contributed in together.collect::<Vec<_>>() {
        assert!(contributed.await.unwrap().receipt.is_some());
    }
    play.reach(RoundState::Reviewing).await;
    // Who waits at one hears of what another one was told.
    let waiting = tokio::spawn({
        let (client, path) = (three[2].client(), play.at(""));
        let path = path.trim_end_matches('/').to_owned();
        let version = play.status().await.version;
        async move {
            let news = format!("{path}?after={version}&wait=60");
            client.get(&news).await.json::<RoundStatus>()
        }
    });
    let holders = play.ids().to_vec();
    let (last, others) = holders.split_last().unwrap();
    for holder in others {
        play.put_review(holder, &[]).await.ok();
    }
    let heard = tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
    assert!(!heard.reviewed.is_empty());
    play.put_review(last, &[]).await.ok();
    three[0].kill();

    play.reach(RoundState::Closed).await;
    play.check_sum(play.ids()).await;
    three[0].restart();
    let closing = play.closing().await.id();
    for holder in play.ids() {
        play.put_endorsement(holder, closing).await.ok();
    }
    for holder in play.ids() {
        play.put_opening(holder, closing).await.ok();
    }
    // Each of them says the same of the round, and its log is the same.
    let mut said = Vec::new();
    for aggregator in &three {
        let at = Play { client: aggregator.client(), ..play.clone() };
        at.check_sum(play.ids()).await;
        said.push((at.status().await, at.closing().await));
    }
    assert!(said.iter().all(|one| *one == said[0]), "{said:?}");
    assert_eq!(said[0].0.state, RoundState::Opened);

    let previous = play.agree().await;
    let next = Play::open(client.clone(), roster.clone(), 1, 600, Some(&previous)).await;
    for aggregator in &three {
        let path = format!("{}/status", roster.path());
        let status: StudyStatus = aggregator.client().get(&path).await.json();
        assert_eq!(status.rounds, 2);
    }
    for site in next.ids() {
        next.contribute(site).await;
    }
    finish(&next).await;
}
