//! What a site makes durable in a round: before what leaves, and no more often than that.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ringfence_clock::Clock;
use ringfence_crypto::id::{ModelId, RoundNumber, StudyId};
use ringfence_durable::Syncs;
use ringfence_site::transport::{Openings, Transport};
use ringfence_site::{Journal, RoundEnd, RoundJournal, Site};

use crate::liar::{self, Asked};
use crate::trio::{Trio, next_model, update};

const FIRST: RoundNumber = RoundNumber::FIRST;

/// What a power cut would leave of a site's state at this moment: of each file what was synced.
fn after_a_power_cut(state: &Path, syncs: &Syncs) -> tempfile::TempDir {
    let left = tempfile::tempdir().unwrap();
    copy(state, left.path(), syncs);
    left
}

fn copy(from: &Path, to: &Path, syncs: &Syncs) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let at = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir(&at).unwrap();
            copy(&path, &at, syncs);
        } else if let Some(length) = syncs.durable(&path) {
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&at, &bytes[..usize::try_from(length).unwrap()]).unwrap();
        }
    }
}

/// Whether what a site has sent is among what a power cut would leave.
fn is_kept(asked: &Asked<'_>, of_round: &RoundJournal) -> Option<bool> {
    let last = |folder: &str| {
        let path = asked.path.split('?').next().unwrap();
        asked.method == "PUT" && path.rsplit('/').nth(1) == Some(folder)
    };
    let manifest = of_round.manifest().unwrap().is_some();
    Some(if asked.is_header_of("c") {
        let contribution = of_round.contribution().unwrap();
        let body = contribution.map(|made| of_round.check_body(made.header.statement.body));
        manifest && body.is_some_and(|body| body.is_ok()) && of_round.envelopes().is_ok()
    } else if last("reviews") {
        let stands_on =
            of_round.freeze().unwrap().is_some() && of_round.receipt().unwrap().is_some();
        let dealt = of_round.envelopes_dealt().unwrap().is_some();
        manifest && stands_on && dealt && of_round.review().unwrap().is_some()
    } else if last("endorsements") {
        of_round.endorsement().unwrap().is_some() && of_round.closing().unwrap().is_some()
    } else if last("openings") {
        let opening = of_round.opening(Openings::Sum).unwrap();
        opening.is_some() && of_round.certificate().unwrap().is_some()
    } else {
        return None;
    })
}

/// Whether something is sent that a site says once.
fn is_said_once(asked: &Asked<'_>) -> bool {
    let path = asked.path.split('?').next().unwrap();
    let folder = path.rsplit('/').nth(1);
    let said = folder.is_some_and(|name| ["reviews", "endorsements", "openings"].contains(&name));
    asked.method == "PUT" && (said || asked.is_header_of("c"))
}

/// A site whose state is watched, and what it sent before that was durable.
struct Watched {
    state: PathBuf,
    syncs: Arc<Syncs>,
    url: String,
    /// What was sent and would be gone after a power cut.
    forgotten: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
}

impl Watched {
    fn new(trio: &Trio, k: usize) -> Self {
        let state = trio.folder.path().join(format!("state-{k}"));
        let syncs = Arc::new(Syncs::below(&state));
        let (forgotten, sent) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (of, watch, study) = (state.clone(), Arc::clone(&syncs), trio.study_id());
        let (missed, count) = (Arc::clone(&forgotten), Arc::clone(&sent));
        let url = liar::start_bringing(trio.aggregator.url(), move |asked, _| {
            if asked.method != "PUT" || !asked.path.contains("/rounds/") {
                return;
            }
            let round = asked.path.split("/rounds/").nth(1).unwrap().split('/').next().unwrap();
            let left = after_a_power_cut(&of, &watch);
            let journal = Journal::open(left.path()).unwrap();
            let round = RoundNumber(round.parse().unwrap());
            let of_round = journal.round(study, round).unwrap();
            match is_kept(asked, &of_round) {
                Some(true) => _ = count.fetch_add(1, Ordering::Relaxed),
                Some(false) => missed.lock().unwrap().push(asked.path.to_owned()),
                None => {}
            }
        });
        Self { state, syncs, url, forgotten, sent }
    }

    /// The site as a new process.
    fn site(&self, trio: &Trio, k: usize) -> Site {
        trio.site_with(k, |membership| {
            membership.transport = Transport::new(&self.url, false, Clock::system()).unwrap();
        })
    }

    /// As if its keys had been published long ago: what is noted when is no matter of the clock then.
    async fn published_long_ago(&self, trio: &Trio, k: usize, study: StudyId) {
        self.site(trio, k).publish_round_keys().await.unwrap();
        let journal = Journal::open(&self.state).unwrap();
        let keys = journal.round_keys(study).unwrap();
        let statement = keys.published(FIRST).unwrap().unwrap().keys;
        keys.sent(&statement, Clock::system().now().earlier(600)).unwrap();
        drop((keys, journal));
        self.site(trio, k).next_round().await.unwrap();
    }
}

/// A whole round, step by step as from a shell: each step is a process of its own.
async fn round(
    trio: &Trio,
    others: &[Site],
    watched: &Watched,
    (number, base): (RoundNumber, ModelId),
) -> [usize; 3] {
    let opener = &others[number.0 as usize];
    opener.open_round(base, 600).await.unwrap();
    let mut syncs = [0; 3];
    for (k, site) in others.iter().enumerate() {
        let joined = site.join(number).await.unwrap();
        joined.contribute(base, &update(k), |_| ()).await.unwrap();
    }
    let step = watched.site(trio, 2);
    watched.syncs.take();
    step.join(number).await.unwrap().contribute(base, &update(2), |_| ()).await.unwrap();
    syncs[0] = watched.syncs.take();
    drop(step);
    let step = watched.site(trio, 2);
    let held = futures_util::future::join_all(others.iter().map(|site| site.hold(number)));
    let (own, held) = tokio::join!(step.hold(number), held);
    assert!(own.unwrap().opened && held.into_iter().all(|held| held.unwrap().opened));
    syncs[1] = watched.syncs.take();
    drop(step);
    let step = watched.site(trio, 2);
    for site in [&step, &others[0], &others[1]] {
        let RoundEnd::Done(done) = site.join(number).await.unwrap().finish().await.unwrap() else {
            panic!("the round was aborted")
        };
        done.acknowledge(next_model()).await.unwrap();
    }
    syncs[2] = watched.syncs.take();
    syncs
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_leaves_is_durable_and_a_round_takes_seven_syncs() {
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let others: Vec<Site> = (0..2).map(|k| trio.site(k)).collect();
    for site in &others {
        site.publish_round_keys().await.unwrap();
    }
    let watched = Watched::new(&trio, 2);
    watched.published_long_ago(&trio, 2, trio.study_id()).await;
    // Body, names and journal for the contribution; review, endorsement and opening; at the end what
    // was destroyed. In the first of sixteen rounds the others' keys, which are seen then, and once a
    // minute the log's head, file and name, before the site cosigns it.
    let first = round(&trio, &others, &watched, (FIRST, trio.base)).await;
    assert_eq!(first, [4, 3, 3]);
    // The secret of the round before is destroyed, once all have its model: for good at the end.
    let second = round(&trio, &others, &watched, (RoundNumber(1), next_model())).await;
    assert_eq!(second, [3, 3, 1]);
    assert!(watched.forgotten.lock().unwrap().is_empty(), "{:?}", watched.forgotten);
    assert_eq!(watched.sent.load(Ordering::Relaxed), 8);
}

/// As after a kill: nobody knows what the process before has synced. And a power cut takes the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_synced_before_it_is_sent_again_and_what_is_gone_is_asked_for() {
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let state = trio.folder.path().join("state-2");
    let rounds = state.join("studies").join(trio.study_id().to_string()).join("rounds");
    let journal = rounds.join("000000.journal");
    let syncs = Arc::new(Syncs::below(&state));
    let unsynced = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::new(AtomicUsize::new(0));
    let (watch, path) = (Arc::clone(&syncs), journal.clone());
    let (missed, count) = (Arc::clone(&unsynced), Arc::clone(&sent));
    let url = liar::start_bringing(trio.aggregator.url(), move |asked, _| {
        if is_said_once(asked) {
            count.fetch_add(1, Ordering::Relaxed);
            let length = std::fs::metadata(&path).unwrap().len();
            if watch.durable(&path) != Some(length) {
                missed.lock().unwrap().push(asked.path.to_owned());
            }
        }
    });
    let site = || {
        trio.site_with(2, |membership| {
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        })
    };
    let others: Vec<Site> = (0..2).map(|k| trio.site(k)).collect();
    others[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in others.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
    let header = trio.contribute(&site(), 2, FIRST).await.unwrap();
    let of_round = || Journal::open(&state).unwrap().round(trio.study_id(), FIRST).unwrap();
    // The receipt was noted after the last sync.
    assert_eq!(of_round().receipt().unwrap().unwrap().statement.header, header);
    let length = syncs.durable(&journal).unwrap();
    std::fs::File::options().write(true).open(&journal).unwrap().set_len(length).unwrap();
    assert!(of_round().receipt().unwrap().is_none());

    syncs.forget();
    assert_eq!(trio.contribute(&site(), 2, FIRST).await.unwrap(), header);
    std::fs::File::options().write(true).open(&journal).unwrap().set_len(length).unwrap();
    assert!(of_round().receipt().unwrap().is_none());
    for _ in 0..2 {
        syncs.forget();
        let site = site();
        let held = futures_util::future::join_all(others.iter().map(|site| site.hold(FIRST)));
        let (own, held) = tokio::join!(site.hold(FIRST), held);
        assert!(own.unwrap().opened && held.into_iter().all(|held| held.unwrap().opened));
        drop(site);
        assert_eq!(of_round().receipt().unwrap().unwrap().statement.header, header);
    }
    assert!(unsynced.lock().unwrap().is_empty(), "{unsynced:?}");
    // The header twice; review, endorsement and opening; and the last two again.
    assert_eq!(sent.load(Ordering::Relaxed), 7);
}
