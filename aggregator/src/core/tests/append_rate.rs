//! How many statements a second a study's log takes, through all of the core: decided by the round,
//! stored in SQLite, marked, applied; each durable before it is answered.
//!
//! ```sh
//! cargo test --release -p ringfence-aggregator --lib -- --ignored --nocapture statements_a_second
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ed25519_dalek::SigningKey;
use futures_util::future::join_all;

use super::*;
use crate::roster::study;

const SITES: usize = 2400;
/// Statements of each measurement.
const STATEMENTS: usize = 600;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, for docs/benchmarks.md"]
async fn statements_a_second() {
    let service = Arc::new(Service::start().await);
    let shape = Shape { sites: SITES, ..Shape::default() };
    let keys: Vec<SigningKey> = (0..SITES as u64)
        .map(|index| SigningKey::from_bytes(&Digest::of(&index.to_le_bytes()).0))
        .collect();
    let roster = Roster::of(study(service.identity.public_key(), shape, &keys), keys);
    service.studies.register(json::compact(&roster.signed)).await.unwrap();
    let study = service.studies.study(roster.id()).unwrap();
    let term = Term { opened_at: service.clock.now(), seconds: DAY.as_secs() };
    let manifest = roster.manifest(RoundNumber::FIRST, term, None);
    let manifest = roster.signed(&manifest.initiator.clone(), manifest);
    let (_, live) = study.open_round(manifest).await.unwrap();
    let headers: Vec<_> = roster
        .ids
        .iter()
        .map(|site| (site.clone(), roster.contribution(live.manifest(), site).header))
        .collect();
    let mut size = study.served.log.read().size();
    for (part, at_once) in headers.chunks(STATEMENTS).zip([1, 16, 64, 256]) {
        let (next, began) = (AtomicUsize::new(0), Instant::now());
        let sites = (0..at_once).map(|_| async {
            while let Some((site, header)) = part.get(next.fetch_add(1, Ordering::Relaxed)) {
                let header = header.clone();
                live.commit_among(move |round, now| round.announce(&header, now)).await.unwrap();
                assert!(live.read().contribution(site).is_ok());
            }
        });
        join_all(sites).await;
        let seconds = began.elapsed().as_secs_f64();
        size += STATEMENTS as u64;
        assert_eq!(study.served.log.read().size(), size, "each is a leaf");
        println!("{at_once} at a time: {:.0} statements a second", STATEMENTS as f64 / seconds);
    }
    // And what was answered is there after a restart.
    let studies = service.restarted().await;
    let again = studies.study(roster.id()).unwrap();
    assert_eq!(again.served.log.read().checkpoint(), study.served.log.read().checkpoint());
}
