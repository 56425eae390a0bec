//! Several aggregators over one database and one bucket: what they add up and know together.

use ringfence_crypto::round::ABSENT_GRACE;
use ringfence_crypto::statement::Header;
use ringfence_crypto::wire::frame;

use super::absent::Study;
use super::*;
use crate::core::lease::Lease;
use crate::core::sum::Promised;
use crate::core::together::named;
use crate::roster::LARGE;
use crate::store::Engines;
use crate::store::blobs::{Blob, BodyCheck};
use crate::store::conformance::Backend;
use crate::store::sharing::{Task, Work};

/// Two aggregators with one key over new engines; nothing where those are not installed.
async fn two() -> Option<[Arc<Service>; 2]> {
    let engines = Engines::new()?;
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let identity = Arc::new(Identity::generate(&folders[0].path().join("key")).unwrap());
    let [one, two] = folders;
    let one = Service::over(engines.open().await, identity.clone(), one).await;
    let two = Service::over(engines.open().await, identity, two).await;
    Some([Arc::new(one), Arc::new(two)])
}

/// The round as the other aggregator has it.
async fn at(service: &Arc<Service>, play: &Play) -> Arc<LiveRound> {
    let (id, round) = (play.roster.id(), play.live.id.round);
    service.studies.meet(id).await.unwrap();
    service.studies.catch_up(id).await.unwrap();
    service.studies.study(id).unwrap().round(round).await.unwrap()
}

/// Puts other bytes in the place of a body.
async fn spoil(play: &Play, site: &SiteId, bytes: Vec<u8>) {
    let (blobs, round) = (&play.service.store.blobs, play.live.id);
    blobs.discard_body(round, site).await.unwrap();
    let header = play.live.read().contribution(site).unwrap().header.statement.clone();
    let header = Header { body: Digest::of(&bytes), ..header };
    let mut writer = blobs.append_body(round, site).await.unwrap();
    writer.write(Bytes::from(bytes)).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(blobs.finish_body(round, &header, None).await.unwrap(), BodyCheck::Right);
}

/// What was added of damaged bodies counts for nothing, also once they are sent again.
#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_by_the_range_and_the_body_sent_again() {
    let Some([one, _]) = two().await else { return };
    let play = Play::begin(&one, Shape { values: LARGE, ..Shape::default() }).await;
    let sites = play.roster.ids.clone();
    play.contribute(&sites).await;
    play.reach(RoundState::Reviewing).await;
    let body = |site: &SiteId| play.roster.contribution(play.live.manifest(), site).body;
    let mut altered = body(&sites[1]);
    altered[1_000_000] ^= 1;
    spoil(&play, &sites[1], altered).await;
    let short = body(&sites[2])[..1_500_000].to_vec();
    spoil(&play, &sites[2], short).await;
    let mut longer = body(&sites[3]);
    longer.push(0);
    spoil(&play, &sites[3], longer).await;
    play.review(&sites).await;
    let is_wanted = |round: &LiveRound| round.read().wanted().count() == 3;
    let mut versions = play.live.versions();
    let found = versions.wait_for(|_| is_wanted(&play.live));
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("in time").unwrap();
    assert!(play.live.closing().is_err(), "nothing is closed with damaged bodies");
    let sum = one.store.blobs.extent(play.live.id, &Blob::Sum).await.unwrap();
    assert_eq!(sum, None, "nothing is published");
    for site in &sites[1..4] {
        let bytes = stream::iter([Ok(Bytes::from(body(site)))]).boxed();
        play.of(site).upload(play.piece(0, bytes)).await.unwrap();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.live.closing().unwrap().statement;
    let sum = play.roster.oracle(play.live.manifest(), &sites);
    assert_eq!(closing.sum, Some(Digest::of(&sum)));
    let stored = one.store.blobs.read(play.live.id, &Blob::Sum, 0..sum.len() as u64).await;
    assert_eq!(stored.unwrap(), sum);
}

/// An aggregator whose memory is bad: it says of a range what is not so, or stores other bytes. The one
/// that joins the ranges finds it, accuses no site, and the ranges are added anew.
#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_were_added_wrongly_are_added_anew() {
    let Some([one, two]) = two().await else { return };
    for (values, wrong_bytes) in [(LARGE, true), (LARGE + 1, false)] {
        let play = Play::begin(&one, Shape { values, ..Shape::default() }).await;
        let sites = play.roster.ids.clone();
        play.contribute(&sites).await;
        play.reach(RoundState::Reviewing).await;
        let promised = |site: &SiteId| {
            let body = play.roster.contribution(play.live.manifest(), site).header.statement.body;
            Promised { site: site.clone(), digest: body }
        };
        let bodies: Vec<Promised> = sites.iter().map(promised).collect();
        let (addition, sharing) = (play.live.addition(), two.store.sharing.clone().unwrap());
        let ranges = addition.ranges().unwrap();
        let work = Work { round: play.live.id, set: named(&bodies, ranges) };
        sharing.divide(work, ranges.count()).await.unwrap();
        while let Some(mut lease) = Lease::next(&sharing, work, &two.clock).await.unwrap() {
            let Task::Add(index) = lease.job.task else {
                lease.release().await;
                break;
            };
            // Of another range, what it hashes to is not what the place asks for.
            let said = if index == 1 && !wrong_bytes { 2 } else { index };
            let (sum, hashes) =
                addition.add_range(&bodies, (ranges, said), &mut lease).await.unwrap();
            let mut sum = sum.to_vec();
            sum[0] ^= u8::from(index == 1 && wrong_bytes);
            let hashes = frame::encode(&hashes).unwrap();
            assert!(sharing.put_range(work, lease.job, sum.into(), hashes).await.unwrap());
        }
        assert!(sharing.added(work).await.unwrap().is_some());
        play.review(&sites).await;
        let closed = async {
            while play.live.closing().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                play.hand.advance(Duration::from_millis(500));
            }
        };
        tokio::time::timeout(Duration::from_secs(60), closed).await.expect("in time");
        let closing = play.live.closing().unwrap().statement;
        let sum = play.roster.oracle(play.live.manifest(), &sites);
        assert_eq!(closing.sum, Some(Digest::of(&sum)));
        let stored = one.store.blobs.read(play.live.id, &Blob::Sum, 0..sum.len() as u64).await;
        assert_eq!(stored.unwrap(), sum);
    }
}

/// A site that missed two rounds is back, and another aggregator than the one that closes hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_one_aggregator_is_there_for_all() {
    let Some([one, two]) = two().await else { return };
    let mut study = Study::start(one.clone()).await;
    let ids = study.roster.ids.clone();
    let (gone, others) = ids.split_last().unwrap();
    for number in 0..2 {
        let play = study.open(number).await;
        play.contribute(others).await;
        play.hand.advance(DAY + SECOND);
        study.end(&play, None).await;
    }
    let play = study.open(2).await;
    let there = at(&two, &play).await;
    assert_eq!(play.live.absent(), [gone.clone()].into());
    assert_eq!(there.absent(), [gone.clone()].into());
    there.served.presence.heard(gone, two.clock.moment());
    there.share_presence().await.unwrap();
    play.contribute(others).await;
    play.hand.advance(Duration::from_secs(ABSENT_GRACE) + SECOND);
    // The driver asks the database, which takes as long as it takes.
    let patience = Duration::from_secs(30);
    let told = async {
        while !play.live.absent().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            play.hand.advance(Duration::from_millis(500));
        }
    };
    tokio::time::timeout(patience, told).await.expect("in time");
    play.hand.advance(HOUR);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(play.rest().await, RoundState::Collecting, "it is waited for");
    play.contribute(std::slice::from_ref(gone)).await;
    play.reach(RoundState::Reviewing).await;
}
