//! Restore requests and answers: one request a site, one answer a site and request, checked.

use ringfence_crypto::Digest;
use ringfence_crypto::id::{RoundNumber, SiteId, UnixSeconds};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{RestoreRequest, Standing};

use crate::child::Aggregator;
use crate::play::Play;
use crate::roster::{Roster, Shape};

fn request(play: &Play, site: &SiteId, seconds: u64) -> Signed<RestoreRequest> {
    let (study, nonce) = (play.roster.id(), Digest::of(&seconds.to_le_bytes()));
    let (restored_at, of) = (UnixSeconds(seconds), site.clone());
    play.roster.signed(site, RestoreRequest { study, site: of, nonce, restored_at })
}

fn standing(play: &Play, site: &SiteId, request: Digest, round: Option<u32>) -> Signed<Standing> {
    let (study, round, by) = (play.roster.id(), round.map(RoundNumber), site.clone());
    play.roster.signed(site, Standing { study, request, site: by, round, has_signed: None })
}

#[tokio::test]
async fn requests_and_answers_are_carried_and_replaced() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let (asking, other) = (play.ids()[1].clone(), play.ids()[2].clone());
    let all = format!("{}/restored", play.roster.path());
    let path = format!("{all}/{asking}");
    let answers = format!("{path}/standings");
    let by = format!("{answers}/{other}");
    play.client.get(&answers).await.refused(404, &["no restore request"]);

    // The list is kept from here on, and is another one with each request.
    let found: Vec<Signed<RestoreRequest>> = play.client.get(&all).await.json();
    assert_eq!(found, []);
    let first = request(&play, &asking, 100);
    assert_eq!(play.client.put_json(&path, &first).await.status, 201);
    assert_eq!(play.client.put_json(&path, &first).await.status, 200, "the same again");
    let found: Vec<Signed<RestoreRequest>> = play.client.get(&all).await.json();
    assert_eq!(found, std::slice::from_ref(&first));
    let mut forged = first.clone();
    forged.statement.nonce = Digest::of(b"another");
    play.client.put_json(&path, &forged).await.refused(403, &["does not verify"]);
    let foreign = request(&play, &other, 100);
    play.client.put_json(&path, &foreign).await.refused(422, &["the path names"]);

    let answer = standing(&play, &other, first.id(), None);
    assert_eq!(play.client.put_json(&by, &answer).await.status, 201);
    let higher = standing(&play, &other, first.id(), Some(0));
    play.client.put_json(&by, &higher).await.ok();
    let found: Vec<Signed<Standing>> = play.client.get(&answers).await.json();
    assert_eq!(found, [higher]);
    let own = standing(&play, &asking, first.id(), None);
    let own_path = format!("{answers}/{asking}");
    play.client.put_json(&own_path, &own).await.refused(409, &["by another site"]);

    // A later request takes the place of the first and of its answers; the first never comes back.
    let second = request(&play, &asking, 101);
    play.client.put_json(&path, &second).await.ok();
    let found: Vec<Signed<RestoreRequest>> = play.client.get(&all).await.json();
    assert_eq!(found, [second]);
    let found: Vec<Signed<Standing>> = play.client.get(&answers).await.json();
    assert_eq!(found, []);
    play.client.put_json(&path, &first).await.refused(409, &["expected a later time"]);
    play.client.put_json(&by, &answer).await.refused(409, &["answer it"]);
}
