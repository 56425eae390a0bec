//! An aggregator that keeps two histories of one study: the first site that compares finds it, keeps
//! both signed heads and goes on no further. One that hides cosignatures stops nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{CheckpointText, NoteKey, SignedNote, Witness, origin};
use ringfence_crypto::wire::json;
use ringfence_site::transport::{Carried, Carrier, Transport};
use ringfence_site::{Fork, Site, SiteError};

use crate::trio::{Trio, finish};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let there = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &there) } else { _ = fs::copy(&entry, there).unwrap() }
    }
}

/// An aggregator that can go back to what it was, marks and all, and tell another story.
struct Forking {
    trio: Trio,
    /// What all sites have seen.
    common: PathBuf,
}

impl Forking {
    async fn start() -> Self {
        let mut trio = Trio::start().await;
        trio.site(0).publish_round_keys().await.unwrap();
        for k in 0..3 {
            let witnessed = trio.site(k).witness().await.unwrap();
            assert_eq!((witnessed.checkpoint.size, witnessed.refused), (1, None));
        }
        trio.aggregator.kill().await.unwrap();
        let common = trio.folder.path().join("common");
        copy(&trio.folder.path().join("aggregator"), &common);
        trio.aggregator.restart().await.unwrap();
        Self { trio, common }
    }

    /// The same history up to where all were, and from then on another one.
    async fn tells_another_story(&mut self) {
        self.trio.aggregator.kill().await.unwrap();
        let folder = self.trio.folder.path().join("aggregator");
        fs::remove_dir_all(&folder).unwrap();
        copy(&self.common, &folder);
        self.trio.aggregator.restart().await.unwrap();
    }

    /// One history that site a has cosigned, whose checkpoint is given; and another one since, as long.
    async fn two_stories() -> (Self, String) {
        let mut forking = Self::start().await;
        forking.trio.site(1).publish_round_keys().await.unwrap();
        forking.trio.site(0).witness().await.unwrap();
        let theirs = fs::read_to_string(forking.file(0, "checkpoint")).unwrap();
        forking.tells_another_story().await;
        forking.trio.site(2).publish_round_keys().await.unwrap();
        (forking, theirs)
    }

    fn file(&self, k: usize, name: &str) -> PathBuf {
        let study = self.trio.study_id().to_string();
        self.trio.folder.path().join(format!("state-{k}/studies")).join(study).join(name)
    }

    /// The evidence of a site: both heads, signed by the aggregator.
    fn evidence(&self, k: usize) -> Fork {
        let bytes = fs::read(self.file(k, "log-fork.json")).unwrap();
        let fork: Fork = json::parse(&bytes, 1 << 20, "fork").unwrap();
        let name = origin(self.trio.study_id());
        let key = NoteKey::new(&name, self.trio.aggregator.public_key()).unwrap();
        for head in [&fork.seen, &fork.shown] {
            let note: SignedNote = head.note.as_ref().unwrap().parse().unwrap();
            let text = CheckpointText::verified(&note, &key).unwrap();
            assert_eq!(text.checkpoint(), head.checkpoint);
        }
        fork
    }
}

async fn goes_on_no_further(site: &Site) {
    let known = |error: SiteError| {
        assert!(matches!(error, SiteError::LogForkKnown(_)), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("both signed heads are in") && said.contains("log-fork.json"),
            "{said}"
        );
    };
    known(site.witness().await.unwrap_err());
    known(site.join(RoundNumber(0)).await.err().unwrap());
    known(site.hold(RoundNumber(0)).await.unwrap_err());
    known(site.publish_round_keys().await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_does_not_continue_what_a_site_has_seen_stops_it() {
    let mut forking = Forking::start().await;
    forking.trio.site(1).publish_round_keys().await.unwrap();
    let site = forking.trio.site(2);
    let before = site.witness().await.unwrap().checkpoint;
    assert_eq!(before.size, 2);
    forking.tells_another_story().await;
    // Shorter, as after a backup that came back with its marks; as long; and longer.
    for (leaves, words) in
        [(1, "says that it has no such log"), (2, "two roots of 2 leaves"), (4, "leads to root")]
    {
        match leaves {
            1 => {}
            2 => drop(forking.trio.site(0).open_round(forking.trio.base, 600).await.unwrap()),
            _ => {
                let (trio, round) = (&forking.trio, RoundNumber(0));
                trio.contribute(&trio.site(0), 0, round).await.unwrap();
            }
        }
        let error = site.witness().await.unwrap_err();
        assert!(matches!(error, SiteError::LogForked { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("the log was forked: this site had seen 2 leaves"), "{said}");
        assert!(said.contains(words) && said.contains("goes on no further"), "{said}");
        let fork = forking.evidence(2);
        assert_eq!((fork.seen_by.as_str(), fork.seen.checkpoint), ("this site", before));
        assert_eq!(fork.shown.checkpoint.size, leaves);
        // From two leaves on the aggregator signs another root for the same size: that is enough.
        assert_eq!(fork.shown_at_that_size.is_some(), leaves > 1, "{fork:?}");
        goes_on_no_further(&site).await;
        // Somebody takes it for settled.
        fs::remove_file(forking.file(2, "log-fork.json")).unwrap();
    }
    // What it cosigned stays what it was.
    let kept = fs::read_to_string(forking.file(2, "checkpoint")).unwrap();
    assert_eq!(kept.lines().nth(1), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_that_are_shown_two_histories_find_it_when_they_compare() {
    let (forking, theirs) = Forking::two_stories().await;
    // Alone neither sees it.
    let site = forking.trio.site(1);
    site.witness().await.unwrap();
    let other = forking.trio.site(2).witness().await.unwrap().note;
    let (same, _) = site.compare(other.parse().unwrap(), "c").await.unwrap();
    assert_eq!(same.size, 2);
    // What the aggregator has not signed is no evidence.
    let forged = theirs.replacen("\n2\n", "\n1\n", 1);
    let refused = site.compare(forged.parse().unwrap(), "a").await.unwrap_err();
    assert!(matches!(refused, SiteError::Checkpoint(_)), "{refused}");
    assert!(!forking.file(1, "log-fork.json").exists());

    let error = site.compare(theirs.parse().unwrap(), "the file of a").await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("the log was forked: the file of a had seen 2 leaves"), "{said}");
    let fork = forking.evidence(1);
    assert_eq!(fork.seen.note.as_deref(), Some(theirs.as_str()));
    goes_on_no_further(&site).await;
}

/// Brings requests to an aggregator, but for those of cosignatures.
#[derive(Debug)]
struct Between {
    client: reqwest::Client,
    /// What is answered in its place: status and text.
    cosignatures: (u16, String),
}

impl Carrier for Between {
    fn carry(&self, request: http::Request<Bytes>) -> Carried {
        if request.uri().path().contains("/log/cosignatures") {
            let (status, text) = self.cosignatures.clone();
            let answer = http::Response::builder().status(status).body(Bytes::from(text));
            return Box::pin(async { answer.map_err(io::Error::other) });
        }
        let client = self.client.clone();
        Box::pin(async move {
            let request = reqwest::Request::try_from(request).map_err(io::Error::other)?;
            let answer = client.execute(request).await.map_err(io::Error::other)?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let mut built = http::Response::new(answer.bytes().await.map_err(io::Error::other)?);
            (*built.status_mut(), *built.headers_mut()) = (status, headers);
            Ok(built)
        })
    }
}

fn site_behind(trio: &Trio, k: usize, cosignatures: (u16, String)) -> Site {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    let tls = tls.with_safe_default_protocol_versions().unwrap();
    let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls);
    let client = client.build().unwrap();
    let carrier = Arc::new(Between { client, cosignatures });
    let through = Transport::through(carrier, trio.aggregator.url(), Clock::system()).unwrap();
    trio.site_with(k, |membership| membership.transport = through)
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sites_checkpoint_that_the_aggregator_lets_slip_is_compared() {
    let (forking, theirs) = Forking::two_stories().await;
    // In the name of another, or of nobody, it counts for nothing: anybody could have made it up.
    let (lines, last) = theirs.trim_end().rsplit_once('\n').unwrap();
    let nobody = last.replacen("/a ", "/b ", 1);
    for passed_over in [format!("{lines}\n"), format!("{lines}\n{nobody}\n"), "?".to_owned()] {
        let site = site_behind(&forking.trio, 1, (200, passed_over));
        assert_eq!(site.witness().await.unwrap().like, None);
    }
    let site = site_behind(&forking.trio, 1, (200, theirs));
    let error = site.witness().await.unwrap_err().to_string();
    assert!(error.contains("the log was forked: a had seen 2 leaves"), "{error}");
    assert_eq!(forking.evidence(1).seen_by, "a");
    goes_on_no_further(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aggregator_that_drops_cosignatures_stops_nothing() {
    let trio = Trio::start().await;
    let round = RoundNumber(0);
    for (k, status) in [404, 500, 409].into_iter().enumerate() {
        let refused = site_behind(&trio, k, (status, "no".to_owned())).witness().await.unwrap();
        assert!(refused.refused.is_some() && refused.like.is_none(), "{refused:?}");
    }
    let sites: Vec<Site> = (0..3).map(|k| site_behind(&trio, k, (404, "no".into()))).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, round).await.unwrap();
    }
    finish(&sites, round).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_site_cosigns_the_log_at_the_end_of_a_round() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber(0)).await.unwrap();
    }
    finish(&sites, RoundNumber(0)).await;
    for (k, name) in ["a", "b", "c"].into_iter().enumerate() {
        let (id, entry) = (trio.study_id(), trio.identity(k).public());
        let note = trio.transport().cosignature(id, &name.parse().unwrap()).await.unwrap();
        Witness::site(id, &entry.id, entry.signature_key).unwrap().verify(&note).unwrap();
        let state = trio.folder.path().join(format!("state-{k}/studies/{id}/checkpoint"));
        let kept: SignedNote = fs::read_to_string(state).unwrap().parse().unwrap();
        assert_eq!(kept.text(), note.text());
        // All that the certificate stands on is under it.
        let size: u64 = note.text().lines().nth(1).unwrap().parse().unwrap();
        let closing = trio.transport().round(id, RoundNumber(0)).closing().await.unwrap();
        assert!(size > closing.statement.checkpoint.size);
    }
}
