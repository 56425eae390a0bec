//! What the disk lost or altered is never added and never served: its site sends it again, or it is
//! left out with the reason.

use std::path::{Path, PathBuf};

use reqwest::Method;
use ringfence_crypto::api::ContributionProgress;
use ringfence_crypto::id::SiteId;
use ringfence_crypto::round::RoundState;
use ringfence_crypto::statement::ExclusionReason;

use crate::child::{Aggregator, Client};
use crate::crash::{finish_closed, round_folder};
use crate::play::Play;
use crate::roster::{Roster, Shape};

/// What can happen to a file.
const DAMAGES: [fn(&Path); 4] = [missing, short, altered, longer];

fn missing(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

fn short(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

fn altered(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn longer(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.push(0);
    std::fs::write(file, bytes).unwrap();
}

fn body(aggregator: &Aggregator, play: &Play, site: &SiteId) -> PathBuf {
    round_folder(aggregator, play).join("bodies").join(site.as_str())
}

/// As a disk does it: no write, and no other time of the file.
fn rotten(file: &Path) {
    let modified = std::fs::metadata(file).unwrap().modified().unwrap();
    altered(file);
    std::fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
}

/// A round in which all sites have contributed.
async fn collected(aggregator: &Aggregator, review_seconds: u32) -> (Play, Vec<SiteId>) {
    let shape = Shape { review_seconds, ..Shape::default() };
    let roster = Roster::new(aggregator.key, shape);
    let play = Play::start(aggregator.client(), roster, 600).await;
    let sites = play.ids().to_vec();
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    (play, sites)
}

async fn review(play: &Play) {
    for holder in play.ids() {
        play.put_review(holder, &[]).await.ok();
    }
}

#[tokio::test]
async fn a_damaged_body_is_sent_again_before_the_round_is_closed() {
    for damage in DAMAGES {
        let mut aggregator = Aggregator::start();
        let (play, sites) = collected(&aggregator, 600).await;
        let receipt = play.progress(&sites[1]).await.receipt;
        for site in &sites[1..3] {
            damage(&body(&aggregator, &play, site));
        }
        review(&play).await;
        let status = play.wanted(&sites[1..3]).await;
        assert_eq!(status.state, RoundState::Reviewing);
        assert_eq!(status.received, play.set(&sites), "the receipts stand");
        assert!(status.wanted.iter().all(|wanted| wanted.until.is_some()));
        play.client.get(&play.at("closing")).await.refused(404, &["is not closed"]);
        let progress = play.progress(&sites[1]).await;
        assert_eq!((progress.body_bytes, progress.receipt), (0, None));
        // It survives a kill, and other bytes are not taken.
        aggregator.kill();
        aggregator.restart();
        let other = play.contribution(&sites[0]).body;
        let path = play.of(&sites[1], "/body?offset=0");
        play.client.put(&path, other).await.refused(422, &["it was discarded"]);
        // The same bytes have the same receipt.
        assert_eq!(play.contribute(&sites[1]).await.receipt, receipt);
        play.wanted(&sites[2..3]).await;
        play.contribute(&sites[2]).await;
        play.reach(RoundState::Closed).await;
        assert!(play.status().await.wanted.is_empty());
        play.check_sum(&sites).await;
        finish_closed(&play).await;
    }
}

#[tokio::test]
async fn what_is_not_sent_again_is_left_out_with_the_reason() {
    let aggregator = Aggregator::start();
    let (play, sites) = collected(&aggregator, 4).await;
    altered(&body(&aggregator, &play, &sites[3]));
    review(&play).await;
    play.reach(RoundState::Closed).await;
    let kept: Vec<SiteId> = sites.iter().filter(|site| **site != sites[3]).cloned().collect();
    play.check_sum(&kept).await;
    let closing = play.closing().await.statement;
    let [lost] = closing.excluded.as_slice() else { panic!("{closing:?}") };
    assert_eq!((&lost.site, &lost.reason), (&sites[3], &ExclusionReason::Damaged));
    play.check_set().await;
    // It is needed no more: nobody is asked for it, and it is not taken.
    assert!(play.status().await.wanted.is_empty());
    let body = play.put_body(&sites[3], 0).await.json::<ContributionProgress>();
    assert!(body.receipt.is_some());
    play.check_sum(&kept).await;
    finish_closed(&play).await;
}

#[tokio::test]
async fn too_few_undamaged_contributions_are_an_abort() {
    let aggregator = Aggregator::start();
    let (play, sites) = collected(&aggregator, 4).await;
    for site in &sites[..3] {
        missing(&body(&aggregator, &play, site));
    }
    review(&play).await;
    play.reach(RoundState::Closed).await;
    assert!(play.closing().await.statement.is_abort());
}

#[tokio::test]
async fn damaged_envelopes_are_not_served_and_are_sent_again() {
    for damage in [missing, short, altered] {
        let aggregator = Aggregator::start();
        let (play, sites) = collected(&aggregator, 600).await;
        damage(&round_folder(&aggregator, &play).join("envelopes").join(sites[2].as_str()));
        let last = &sites[sites.len() - 1];
        let path = play.of(&sites[2], &format!("/envelopes/{last}"));
        let refused = play.client.get(&path).await;
        let problem = refused.refused(503, &["lost or damaged", "site-2 send", "again until"]);
        assert_eq!(problem.kind, "/problems/wanted");
        play.wanted(&sites[2..3]).await;
        let progress = play.progress(&sites[2]).await;
        assert!(!progress.envelopes && progress.receipt.is_none());
        assert_eq!(progress.body_bytes, play.contribution(&sites[2]).body.len() as u64);
        // The body is still right: with the envelopes all is there.
        play.put_header(&sites[2]).await.ok();
        let progress: ContributionProgress = play.put_envelopes(&sites[2]).await.json();
        assert!(progress.receipt.is_some());
        let envelopes = play.contribution(&sites[2]).envelopes.envelopes;
        assert_eq!(play.client.get(&path).await.ok().bytes, envelopes[sites.len() - 1]);
        review(&play).await;
        play.reach(RoundState::Closed).await;
        play.check_sum(&sites).await;
    }
}

#[tokio::test]
async fn a_damaged_sum_is_made_again_from_checked_bodies() {
    for damage in DAMAGES {
        let aggregator = Aggregator::start();
        let (play, sites) = collected(&aggregator, 600).await;
        review(&play).await;
        play.reach(RoundState::Closed).await;
        let sum = round_folder(&aggregator, &play).join("sum");
        damage(&sum);
        play.check_sum(&sites).await;
        // The bodies are damaged, too: they are asked for, for as long as it takes.
        damage(&sum);
        damage(&body(&aggregator, &play, &sites[0]));
        let refused = play.client.get(&play.at("sum")).await;
        let problem = refused.refused(503, &["the sum of round 0", "site-0 send", "ask again"]);
        assert_eq!(problem.kind, "/problems/wanted");
        let status = play.wanted(&sites[..1]).await;
        assert_eq!(status.state, RoundState::Closed);
        assert_eq!(status.wanted[0].until, None);
        play.client.get(&play.at("sum")).await.refused(503, &["site-0 send"]);
        play.contribute(&sites[0]).await;
        play.check_sum(&sites).await;
        assert!(play.status().await.wanted.is_empty());
        finish_closed(&play).await;
    }
}

#[tokio::test]
async fn a_damaged_body_is_not_served() {
    for damage in DAMAGES {
        let aggregator = Aggregator::start();
        let (play, sites) = collected(&aggregator, 600).await;
        damage(&body(&aggregator, &play, &sites[4]));
        let path = play.of(&sites[4], "/body");
        play.client.get(&path).await.refused(503, &["the body of site-4", "site-4 send"]);
        play.contribute(&sites[4]).await;
        assert_eq!(play.client.get(&path).await.ok().bytes, play.contribution(&sites[4]).body);
    }
}

#[tokio::test]
async fn a_body_is_hashed_once_for_its_ranges_and_anew_when_it_was_written_or_is_read_whole() {
    let aggregator = Aggregator::start();
    let (play, sites) = collected(&aggregator, 60).await;
    let range = async |site: &SiteId| {
        let request = play.client.request(Method::GET, &play.of(site, "/body"));
        Client::send(request.header("range", "bytes=0-15")).await.unwrap()
    };
    for (site, damage, served) in [(&sites[0], rotten as fn(&Path), 206), (&sites[1], altered, 503)]
    {
        assert_eq!(range(site).await.status, 206);
        damage(&body(&aggregator, &play, site));
        assert_eq!(range(site).await.status, served, "{site}");
        play.client.get(&play.of(site, "/body")).await.refused(503, &[site.as_str()]);
        // It is away, and another one in its place is hashed.
        range(site).await.refused(503, &[site.as_str()]);
        play.contribute(site).await;
        assert_eq!(range(site).await.status, 206);
    }
}
