//! KEM keys for single rounds: published once, never replaced, found by round.

use ringfence_crypto::Digest;
use ringfence_crypto::api::{Recovery, Returned};
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::{InclusionProof, LogEntry};
use ringfence_crypto::round::Event;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HexBytes, RoundKeys};

use crate::child::Aggregator;
use crate::play::Play;
use crate::recovery::copy;
use crate::roster::{Roster, Shape};

fn keys(play: &Play, site: &SiteId, first_round: u32, count: usize) -> Signed<RoundKeys> {
    let keys = vec![HexBytes(vec![(first_round % 13) as u8; 1216]); count];
    let study = play.roster.id();
    play.roster.signed(
        site,
        RoundKeys { study, site: site.clone(), first_round: RoundNumber(first_round), keys },
    )
}

#[tokio::test]
async fn published_once_and_found_by_round_also_after_a_restart() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let mut play = Play::start(aggregator.client(), roster, 600).await;
    let site = play.ids()[1].clone();
    let path = format!("{}/round-keys/{site}", play.roster.path());
    let get = |round: u32| format!("{path}?round={round}");
    play.client.get(&get(3)).await.refused(404, &["has published no key for round 3"]);

    let first = keys(&play, &site, 2, 3);
    assert_eq!(play.client.put_json(&path, &first).await.status, 201);
    assert_eq!(play.client.put_json(&path, &first).await.status, 200, "the same again");
    let overlapping = keys(&play, &site, 4, 2);
    play.client.put_json(&path, &overlapping).await.refused(409, &["never replaced"]);
    let ahead = keys(&play, &site, 250, 30);
    play.client.put_json(&path, &ahead).await.refused(409, &["at most round 257"]);
    play.client.put_json(&path, &keys(&play, &site, 5, 1)).await.ok();

    let mut forged = first.clone();
    forged.statement.keys[0].0[0] ^= 1;
    play.client.put_json(&path, &forged).await.refused(403, &["does not verify"]);
    let mut foreign = first.clone();
    foreign.statement.study = StudyId(Digest::of(b"other"));
    play.client.put_json(&path, &foreign).await.refused(422, &["the statement is of study"]);
    let other = keys(&play, &play.ids()[2].clone(), 2, 1);
    play.client.put_json(&path, &other).await.refused(422, &["the path names site-1"]);

    // Each is a leaf of the study's log, where it came, and stays there.
    let logged = [LogEntry::of_signed(&first), LogEntry::of_signed(&keys(&play, &site, 5, 1))];
    let at = async |play: &Play| {
        let mut places = Vec::new();
        for entry in &logged {
            let path = format!("{}/log/inclusion?size=3&leaf={}", play.roster.path(), entry.leaf());
            places.push(play.client.get(&path).await.json::<InclusionProof>().index);
        }
        let note = play.client.get(&format!("{}/log/checkpoint", play.roster.path())).await;
        (places, note.bytes)
    };
    let before = at(&play).await;
    assert_eq!(before.0, [1, 2]);
    aggregator.kill();
    aggregator.restart();
    play.client = aggregator.client();
    assert_eq!(at(&play).await, before);
    for (round, expected) in [(2, &first), (4, &first)] {
        let found: Signed<RoundKeys> = play.client.get(&get(round)).await.json();
        assert_eq!(found, *expected);
    }
    let found: Signed<RoundKeys> = play.client.get(&get(5)).await.json();
    assert_eq!(found.statement.first_round, RoundNumber(5));
    play.client.get(&get(6)).await.refused(404, &["round 6"]);
}

#[tokio::test]
async fn a_restored_backup_takes_them_back_in_their_place() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let site = play.ids()[1].clone();
    let path = format!("{}/round-keys/{site}", play.roster.path());
    let (first, second) = (keys(&play, &site, 2, 3), keys(&play, &site, 5, 1));
    play.client.put_json(&path, &first).await.ok();
    let (data, backup) = (aggregator.data(), aggregator.folder.path().join("backup"));
    aggregator.kill();
    copy(&data, &backup);
    aggregator.restart();
    play.client.put_json(&path, &second).await.ok();
    play.put_header(&site).await.ok();
    aggregator.kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    aggregator.restart();

    // Neither other keys in their place nor these again before they are back.
    let words = ["has 2 of the 4 statements", "/recovered"];
    play.client.put_json(&path, &keys(&play, &site, 5, 2)).await.refused(503, &words);
    play.client.put_json(&path, &second).await.refused(503, &words);
    let recovered = format!("{}/recovered", play.roster.path());
    let mut forged = second.clone();
    forged.signature = first.signature;
    let forged = vec![Returned::RoundKeys(forged)];
    let refused = play.client.post_json(&recovered, &forged).await;
    refused.refused(403, &["does not verify"]);
    let stranger = vec![Returned::RoundKeys(keys(&play, &site, 6, 1))];
    let recovery: Recovery = play.client.post_json(&recovered, &stranger).await.json();
    assert_eq!((recovery.stored, recovery.marked), (2, 4));
    let header = Returned::Event(Event::Announced(play.contribution(&site).header));
    let back = vec![header, Returned::RoundKeys(second.clone())];
    let recovery: Recovery = play.client.post_json(&recovered, &back).await.json();
    assert_eq!((recovery.stored, recovery.marked), (4, 4));
    let found: Signed<RoundKeys> = play.client.get(&format!("{path}?round=5")).await.json();
    assert_eq!(found, second);
    assert_eq!(play.client.put_json(&path, &second).await.status, 200, "the same again");
}

#[tokio::test]
async fn a_crash_before_the_mark_is_made_good() {
    let mut aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let site = play.ids()[1].clone();
    let path = format!("{}/round-keys/{site}", play.roster.path());
    play.client.put_json(&path, &keys(&play, &site, 0, 1)).await.ok();
    let mark = aggregator.mark(play.roster.id());
    let whole = std::fs::read(&mark).unwrap();
    assert_eq!(whole.len(), 96 * 2);
    aggregator.kill();
    aggregator.unmark(1);
    aggregator.restart();
    assert_eq!(play.status().await.version, 0);
    assert_eq!(std::fs::read(&mark).unwrap(), whole);
}
