//! KEM keys for single rounds: published once, never replaced, found by round.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, StudyId};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HexBytes, RoundKeys};

use crate::child::Aggregator;
use crate::play::Play;
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
    play.client.put_json(&path, &foreign).await.refused(422, &["expected study"]);
    let other = keys(&play, &play.ids()[2].clone(), 2, 1);
    play.client.put_json(&path, &other).await.refused(422, &["the path names site-1"]);

    aggregator.kill();
    aggregator.restart();
    play.client = aggregator.client();
    for (round, expected) in [(2, &first), (4, &first)] {
        let found: Signed<RoundKeys> = play.client.get(&get(round)).await.json();
        assert_eq!(found, *expected);
    }
    let found: Signed<RoundKeys> = play.client.get(&get(5)).await.json();
    assert_eq!(found.statement.first_round, RoundNumber(5));
    play.client.get(&get(6)).await.refused(404, &["round 6"]);
}
