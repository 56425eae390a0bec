//! Bits that flip on a site's own disk: the site says so, and accuses nobody.

use std::path::PathBuf;

use futures_util::future::join_all;
use ringfence_crypto::id::RoundNumber;
use ringfence_site::{Journal, JournalError, RoundEnd, Site, SiteError};

use crate::trio::{Trio, finish, next_model};

const FIRST: RoundNumber = RoundNumber::FIRST;

/// The folder of a site's state of the study.
fn state(trio: &Trio, k: usize) -> PathBuf {
    trio.folder.path().join(format!("state-{k}/studies")).join(trio.study_id().to_string())
}

/// Flips the lowest bit of a digit in a record of a journal, the last one: that leaves another digit.
fn flip(journal: &PathBuf, record: &str) {
    let mut bytes = std::fs::read(journal).unwrap();
    // Its header stands before its name, and says how long it is.
    let is_named = |at: &usize| {
        bytes[*at..].starts_with(record.as_bytes())
            && bytes[at - 80..].starts_with(b"RFJ1")
            && usize::from(bytes[at - 75]) == record.len()
    };
    let name = (80..bytes.len()).rfind(is_named).unwrap();
    let length = u64::from_le_bytes(*bytes[name - 72..].first_chunk().unwrap());
    let start = name + record.len();
    let held = &bytes[start..start + usize::try_from(length).unwrap()];
    let place = start + held.iter().rposition(u8::is_ascii_digit).unwrap();
    bytes[place] ^= 1;
    std::fs::write(journal, bytes).unwrap();
}

async fn contributed(trio: &Trio, sites: &[Site]) {
    for site in sites {
        site.publish_round_keys().await.unwrap();
    }
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, FIRST).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_round_secret_is_damaged_accuses_nobody() {
    let trio = Trio::start_of(5, |draft| draft.review_seconds = 4).await;
    let sites: Vec<Site> = (0..5).map(|k| trio.site(k)).collect();
    contributed(&trio, &sites).await;
    let journal = state(&trio, 4).join("study.journal");
    // The secret is hexadecimal still, and another one.
    flip(&journal, "secret-000000");
    let (damaged, others) = sites.split_last().unwrap();
    let holding = join_all(others.iter().map(|site| site.hold(FIRST)));
    let (error, held) = tokio::join!(damaged.hold(FIRST), holding);
    let error = error.unwrap_err();
    let is_named = matches!(&error, SiteError::Journal(JournalError::RoundSecret { .. }));
    assert!(is_named && error.to_string().contains("secret-000000 is damaged"), "{error}");
    for report in held {
        assert!(report.unwrap().opened);
    }
    // The others open the mean, of all five, and nobody is in doubt.
    for site in others {
        let end = site.join(FIRST).await.unwrap().finish().await.unwrap();
        let RoundEnd::Done(done) = end else { panic!("an abort") };
        assert_eq!(done.sites().count(), 5);
        assert!(done.findings().is_empty(), "{}", done.findings());
        assert!(done.trust.barred.is_empty() && done.trust.pairs.is_empty());
        done.acknowledge(next_model()).await.unwrap();
    }
    let reviews = trio.transport().round(trio.study_id(), FIRST).reviews().await.unwrap();
    assert!(reviews.iter().all(|review| review.statement.holder != *damaged.id()));
    // It opens the mean like the others: its contribution is in it.
    let end = damaged.join(FIRST).await.unwrap().finish().await.unwrap();
    let RoundEnd::Done(done) = end else { panic!("an abort") };
    assert!(done.findings().is_empty(), "{}", done.findings());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_statement_is_fetched_again_or_named() {
    let trio = Trio::start_with(|draft| draft.review_seconds = 60).await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    contributed(&trio, &sites).await;
    for held in join_all(sites.iter().map(|site| site.hold(FIRST))).await {
        held.unwrap();
    }
    let mut sites = sites;
    drop(sites.pop());
    let kept = || {
        let journal = Journal::open(&trio.folder.path().join("state-2")).unwrap();
        let of_round = journal.round(trio.study_id(), FIRST).unwrap();
        let keys = journal.round_keys(trio.study_id()).unwrap().kept().unwrap();
        let (manifest, freeze) = (of_round.manifest().unwrap(), of_round.freeze().unwrap());
        (manifest, freeze, of_round.closing().unwrap(), of_round.receipt().unwrap(), keys)
    };
    let whole = kept();
    let (study, rounds) = (state(&trio, 2).join("study.journal"), state(&trio, 2).join("rounds"));
    let of_round = rounds.join("000000.journal");
    // A digit within the signature, the last string of each.
    for statement in ["manifest", "freeze", "closing", "receipt", "certificate"] {
        flip(&of_round, statement);
    }
    for statement in ["keys-000000", "seen-000000-a"] {
        flip(&study, statement);
    }
    sites.push(trio.site(2));
    let means = finish(&sites, FIRST).await;
    assert!(means.iter().all(|mean| *mean == means[0]) && !means[0].is_empty());
    assert!(!rounds.join("000000.evidence.json").exists());
    drop(sites.pop());
    assert_eq!(kept(), whole);
    sites.push(trio.site(2));
    // What no aggregator has is named.
    flip(&of_round, "endorsement");
    let error = sites[2].hold(FIRST).await.unwrap_err().to_string();
    assert!(error.contains("endorsement is damaged"), "{error}");
    assert!(error.contains("ringfence restored"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_does_not_run_on_the_state_of_another() {
    let trio = Trio::start().await;
    trio.site(0).publish_round_keys().await.unwrap();
    let folder = trio.folder.path().join("state-0");
    let error = Site::open(trio.membership(1, &folder)).unwrap_err().to_string();
    assert!(error.contains("is the state of site a (signature key"), "{error}");
    assert!(error.contains("this is site b (signature key"), "{error}");
    // One from before states were bound is bound at its next use.
    std::fs::remove_file(folder.join("site.json")).unwrap();
    drop(Site::open(trio.membership(0, &folder)).unwrap());
    assert!(Site::open(trio.membership(1, &folder)).is_err());
}
