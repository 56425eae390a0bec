//! The holders' reviews: each site fetches them once a round, and keeps them while they are needed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Review;
use ringfence_crypto::wire::json;
use ringfence_site::transport::Transport;
use ringfence_site::{Done, RoundEnd, Site};

use crate::liar;
use crate::trio::{Trio, next_model};

const ROUND: RoundNumber = RoundNumber(0);

/// A site, and how often it has fetched the reviews of round 0.
struct Counted {
    site: Site,
    fetched: Arc<AtomicUsize>,
    reviews: PathBuf,
}

impl Counted {
    /// Site k, to which the parts of some holders' openings are not served the first times.
    fn without(trio: &Trio, k: usize, holders: &'static [&str], times: usize) -> Self {
        let fetched = Arc::new(AtomicUsize::new(0));
        let (counter, refused) = (Arc::clone(&fetched), AtomicUsize::new(0));
        let url = liar::start(trio.aggregator.url(), move |asked, answer| {
            let is_reviews = asked.method == "GET" && asked.path.ends_with("/rounds/0/reviews");
            if is_reviews && answer.status == 200 {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            let of = |holder: &&str| asked.path.contains(&format!("/openings/{holder}/recipients"));
            // Without a list each part is asked for by itself.
            if asked.path.contains("/opened/") {
                answer.status = 404;
            }
            if holders.iter().any(of) && refused.fetch_add(1, Ordering::Relaxed) < times {
                answer.status = 404;
            }
        });
        let site = trio.site_with(k, |membership| {
            membership.patience = Duration::from_secs(60);
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        });
        let rounds = trio.folder.path().join(format!("state-{k}/studies/{}", trio.study_id()));
        Self { site, fetched, reviews: rounds.join("rounds/000000.reviews.json") }
    }

    fn new(trio: &Trio, k: usize) -> Self {
        Self::without(trio, k, &[], 0)
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::Relaxed)
    }

    /// The holders whose reviews are on disk.
    fn kept(&self) -> Vec<String> {
        let bytes = std::fs::read(&self.reviews).unwrap();
        let reviews: Vec<Signed<Review>> = json::parse(&bytes, usize::MAX, "reviews").unwrap();
        reviews.iter().map(|review| review.statement.holder.to_string()).collect()
    }

    async fn finish(&self) -> Done<'_> {
        match self.site.join(ROUND).await.unwrap().finish().await.unwrap() {
            RoundEnd::Done(done) => done,
            RoundEnd::Aborted(_) => panic!("the round was aborted"),
        }
    }
}

/// Opens round 0; every site contributes.
async fn contributed(trio: &Trio, sites: &[Counted]) {
    sites[0].site.open_round(trio.base, 600).await.unwrap();
    for (k, of) in sites.iter().enumerate() {
        trio.contribute(&of.site, k, ROUND).await.unwrap();
    }
}

async fn hold(sites: &[Counted]) {
    let held = join_all(sites.iter().map(|of| of.site.hold(ROUND))).await;
    held.into_iter().for_each(|held| assert!(held.unwrap().opened));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_fetches_the_reviews_of_a_round_once() {
    let trio = Trio::start().await;
    let sites = [0, 1, 2].map(|k| Counted::new(&trio, k));
    contributed(&trio, &sites).await;
    hold(&sites).await;
    for of in &sites {
        assert_eq!(of.kept(), ["a", "b", "c"]);
        let done = of.finish().await;
        // They are there, and show nothing.
        assert!(done.findings().is_empty() && of.reviews.is_file(), "{}", done.findings());
        done.acknowledge(next_model()).await.unwrap();
    }
    // What follows from them is known without them.
    std::fs::remove_file(&sites[1].reviews).unwrap();
    sites[1].site.turn(RoundNumber(1)).await.unwrap();
    sites[1].site.open_round(next_model(), 600).await.unwrap();
    for of in &sites {
        of.site.join(RoundNumber(1)).await.unwrap();
        assert_eq!(of.fetched(), 1, "{}", of.site.id());
        assert!(!of.reviews.exists(), "{}", of.site.id());
    }
    // Whoever comes back to the round may; nobody would delete what it kept.
    let done = sites[0].finish().await;
    assert!(done.findings().is_empty() && !sites[0].reviews.exists());
    assert_eq!(sites[0].fetched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_that_are_damaged_or_missing_are_fetched_again() {
    let trio = Trio::start().await;
    let sites = [0, 1, 2].map(|k| Counted::new(&trio, k));
    contributed(&trio, &sites).await;
    hold(&sites).await;
    let whole = std::fs::read(&sites[0].reviews).unwrap();
    std::fs::write(&sites[0].reviews, &whole[..whole.len() / 2]).unwrap();
    std::fs::remove_file(&sites[1].reviews).unwrap();
    // Sound, and not all that the closing lists.
    let two: Vec<Signed<Review>> = json::parse(&whole, usize::MAX, "reviews").unwrap();
    std::fs::write(&sites[2].reviews, json::pretty(&&two[..2])).unwrap();
    for of in &sites {
        assert!(of.finish().await.findings().is_empty());
        assert_eq!((of.fetched(), of.kept().len()), (2, 3), "{}", of.site.id());
    }
}

/// d reviews after the closing and opens. To a the openings of a, b and c are not served at first:
/// it looks again and again at whose openings count, and asks once for d's review.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_review_is_fetched_once_however_long_openings_are_waited_for() {
    let trio = Trio::start_of(4, |_| ()).await;
    // Each look asks three times for each of the three.
    let looking = Counted::without(&trio, 0, &["a", "b", "c"], 27);
    let mut sites = vec![looking];
    sites.extend([1, 2, 3].map(|k| Counted::new(&trio, k)));
    contributed(&trio, &sites).await;
    hold(&sites[..3]).await;
    hold(&sites[3..]).await;
    assert_eq!(sites[0].kept(), ["a", "b", "c"]);
    let done = sites[0].finish().await;
    assert!(done.findings().is_empty() && done.unusable.is_empty(), "{:?}", done.unusable);
    assert_eq!((sites[0].fetched(), sites[0].kept().len()), (2, 3));
}
