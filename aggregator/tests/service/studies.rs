//! Several studies on one aggregator: none sees another or disturbs it.

use ed25519_dalek::SigningKey;
use reqwest::Method;
use ringfence_crypto::Digest;
use ringfence_crypto::api::StudyStatus;
use ringfence_crypto::round::RoundState;

use crate::child::{Aggregator, Client};
use crate::crash::{finish, round_folder};
use crate::play::Play;
use crate::roster::{Roster, Shape, study};
use crate::signing::{Signer, sign_with};

/// A study with the same names of sites and other keys.
fn others(aggregator: &Aggregator, shape: Shape) -> Roster {
    let key = |index| SigningKey::from_bytes(&Digest::of(&[99, index as u8]).0);
    let keys: Vec<SigningKey> = (0..shape.sites).map(key).collect();
    let roster = Roster::of(study(aggregator.key, shape, &keys), keys);
    sign_with(roster.id(), &roster.keys);
    roster
}

async fn two(aggregator: &Aggregator) -> (Play, Play) {
    let one = Roster::new(aggregator.key, Shape::default());
    let two = others(aggregator, Shape { values: 1200, ..Shape::default() });
    assert_eq!(one.ids, two.ids);
    assert_ne!(one.keys, two.keys);
    let client = aggregator.client();
    (Play::start(client.clone(), one, 600).await, Play::start(client, two, 600).await)
}

async fn contribute(play: &Play) {
    for site in play.ids() {
        play.contribute(site).await;
    }
}

async fn rounds(play: &Play) -> u32 {
    let path = format!("{}/status", play.roster.path());
    play.client.get(&path).await.json::<StudyStatus>().rounds
}

/// Asks as a site of one study for what another study has.
async fn ask_as(of: &Play, path: &str) -> crate::child::Answer {
    let site = &of.ids()[0];
    let key = of.roster.key(site).clone();
    let signer = Signer { site: site.clone(), key, at: crate::roster::now() };
    let mut request = of.client.request(Method::GET, path).build().unwrap();
    signer.sign(&mut request);
    of.client.execute(request).await
}

#[tokio::test]
async fn rounds_of_two_studies_run_at_the_same_time_and_neither_sees_the_other() {
    let aggregator = Aggregator::start();
    let (one, two) = two(&aggregator).await;
    tokio::join!(contribute(&one), contribute(&two));
    // The same names, and neither may ask for anything of the other, nor bring it something.
    for (own, foreign) in [(&one, &two), (&two, &one)] {
        for rest in ["", "/manifest", "/headers", "/contributions/site-0/body", "/sum"] {
            let path = format!("{}{rest}", foreign.path);
            ask_as(own, &path).await.refused(403, &[]);
        }
        ask_as(own, &foreign.roster.path()).await.refused(403, &[]);
        ask_as(own, &own.path).await.ok();
        let site = &own.ids()[0];
        let header = own.contribution(site).header;
        let path = foreign.of(site, "/header");
        let answer = foreign.client.put_json(&path, &header).await;
        assert!(answer.status.is_client_error(), "{}", answer.status);
    }
    // Each sum is that of its own contributions: `finish` compares.
    tokio::join!(finish(&one), finish(&two));
    let [first, second] = [one.agree().await, two.agree().await];
    assert_ne!(first.closing, second.closing);
    let open = |play: &Play| (play.client.clone(), play.roster.clone());
    let ((client, roster), (other, others)) = (open(&one), open(&two));
    let (one, two) = tokio::join!(
        Play::open(client, roster, 1, 600, Some(&first)),
        Play::open(other, others, 1, 600, Some(&second)),
    );
    assert_eq!((rounds(&one).await, rounds(&two).await), (2, 2));
    // Nor does one's round depend on the other's: this one stays open.
    contribute(&one).await;
    finish(&one).await;
    assert_eq!(two.status().await.state, RoundState::Collecting);
    assert!(two.status().await.received.is_empty());
}

#[tokio::test]
async fn what_happens_to_the_data_of_one_study_leaves_the_other_served() {
    let mut aggregator = Aggregator::start();
    let (one, two) = two(&aggregator).await;
    tokio::join!(contribute(&one), contribute(&two));
    // A body of one is lost: its site is asked for it, and the other's round goes on meanwhile.
    let site = two.ids()[1].clone();
    std::fs::remove_file(round_folder(&aggregator, &two).join("bodies").join(site.as_str()))
        .unwrap();
    two.reach(RoundState::Reviewing).await;
    for holder in two.ids() {
        two.put_review(holder, &[]).await.ok();
    }
    finish(&one).await;
    assert!(one.status().await.wanted.is_empty());
    let status = two.status().await;
    assert_eq!((status.state, status.wanted.len()), (RoundState::Reviewing, 1));
    assert_eq!(status.wanted[0].site, site);
    two.contribute(&site).await;
    two.reach(RoundState::Closed).await;
    two.check_sum(two.ids()).await;

    // A statement of one is altered: it is not served, and the other begins its next round.
    let previous = one.agree().await;
    aggregator.kill();
    let mut database = crate::crash::database(&aggregator).await;
    sqlx::query("UPDATE events SET event = x'7b7d' WHERE study = ? AND sequence = 3")
        .bind(two.roster.id().to_string())
        .execute(&mut database)
        .await
        .unwrap();
    sqlx::Connection::close(database).await.unwrap();
    aggregator.restart();
    two.client.get(&two.path).await.refused(500, &["is not served", "altered"]);
    let client: Client = aggregator.client();
    client.get("/readyz").await.ok();
    let next = Play::open(client, one.roster.clone(), 1, 600, Some(&previous)).await;
    contribute(&next).await;
    finish(&next).await;
}
