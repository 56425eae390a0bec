//! What waits at the same time is stored in one go.

use std::path::Path;

use ringfence_crypto::api::ContributionFrame;
use ringfence_crypto::round::{Round, Verdict};
use ringfence_crypto::wire::frame::MAX_FRAME;
use ringfence_durable::Syncs;
use tokio::task::JoinHandle;

use super::*;
use crate::core::whole::Whole;

impl Play {
    /// A site's contribution in one request, begun.
    pub(super) fn send_whole(
        &self,
        site: &SiteId,
    ) -> JoinHandle<Result<ContributionProgress, Refusal>> {
        let contribution = self.roster.contribution(self.live.manifest(), site);
        let frame = ContributionFrame {
            header: &json::compact(&contribution.header),
            envelopes: contribution.envelopes.envelopes.iter().map(Vec::as_slice).collect(),
            body: Some(&contribution.body),
        };
        let came = self.inbox.came(frame.encode().unwrap().into());
        let (of, inbox, now) = (self.of(site), self.inbox.clone(), self.clock.now());
        tokio::spawn(async move {
            let whole = Whole::parse(inbox.read(came, MAX_FRAME).await?)?;
            of.take_whole(whole, now, inbox).await
        })
    }

    /// The same of several sites, all of which wait for the study's log at the same time.
    async fn send_together(&self, sites: &[SiteId]) -> Vec<Result<ContributionProgress, Refusal>> {
        let log = self.live.served.log.writer().await.unwrap();
        let sent: Vec<_> = sites.iter().map(|site| self.send_whole(site)).collect();
        while self.live.wishes.len() < sites.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        log.unused();
        let mut answers = Vec::new();
        for sent in sent {
            answers.push(sent.await.unwrap());
        }
        answers
    }

    fn data(&self) -> std::path::PathBuf {
        self.service.folder.path().join("data")
    }
}

/// Transactions in a write-ahead log since it was begun: frames that end one.
fn transactions(data: &Path) -> usize {
    const HEAD: usize = 32;
    const FRAME: usize = 24;
    let log = std::fs::read(data.join("statements.sqlite-wal")).unwrap();
    let number = |at: usize| u32::from_be_bytes(log[at..at + 4].try_into().unwrap());
    let page = number(8) as usize;
    let frames = (HEAD..log.len()).step_by(FRAME + page);
    // The size of the database after it, and the numbers that this log began with.
    frames.filter(|at| number(at + 4) > 0 && log[at + 8..at + 16] == log[16..24]).count()
}

#[tokio::test]
async fn contributions_that_wait_together_take_one_transaction_and_one_write_of_the_mark() {
    let play = Play::start().await;
    let sites = play.roster.ids.clone();
    let syncs = Syncs::below(play.service.folder.path());
    let (before, together) = (transactions(&play.data()), &sites[..4]);
    let answers = play.send_together(together).await;
    assert_eq!(transactions(&play.data()) - before, 1, "announcements, receipts and all bytes");
    assert_eq!(syncs.take(), 1, "the mark of all of them");
    assert_eq!(play.live.read().version(), 8);
    for (site, answer) in together.iter().zip(answers) {
        let progress = answer.unwrap();
        let receipt = progress.receipt.expect("a receipt");
        assert_eq!(receipt.statement.site, *site);
        receipt.verify(&play.service.identity.public_key(), &"the aggregator").unwrap();
    }
    // What is stored is the same round, and the same bytes.
    play.contribute(&sites[4..]).await;
    play.reach(RoundState::Reviewing).await;
    let status = play.live.status();
    let play = play.restarted().await;
    assert_eq!(play.live.status(), status);
    play.review(&sites).await;
    play.reach(RoundState::Closed).await;
    let sum = play.roster.oracle(play.live.manifest(), &sites);
    assert_eq!(play.live.closing().unwrap().statement.sum, Some(Digest::of(&sum)));
}

/// Each is decided with what was decided before it, although that is not stored yet.
#[tokio::test]
async fn the_same_contribution_twice_at_a_time_is_one() {
    let play = Play::start().await;
    let site = play.roster.ids[0].clone();
    let answers = play.send_together(&[site.clone(), site.clone(), site]).await;
    let receipts: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().receipt).collect();
    assert!(receipts[0].is_some());
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]));
    assert_eq!(play.live.read().version(), 2);
}

/// One that is refused keeps nobody else from being stored.
#[tokio::test]
async fn a_refusal_among_others_is_of_one_alone() {
    let play = Play::start().await;
    let sites = play.roster.ids[..3].to_vec();
    let other = {
        // Another contribution of the second site, announced first.
        let contribution = play.roster.contribution(play.live.manifest(), &sites[1]);
        let mut header = contribution.header.statement;
        header.body = Digest::of(b"another body");
        play.roster.signed(&sites[1], header)
    };
    let log = play.live.served.log.writer().await.unwrap();
    let announced = tokio::spawn({
        let of = play.of(&sites[1]);
        async move { of.announce(other).await }
    });
    while play.live.wishes.len() < 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sent: Vec<_> = sites.iter().map(|site| play.send_whole(site)).collect();
    while play.live.wishes.len() < 4 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    log.unused();
    announced.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for sent in sent {
        outcomes.push(sent.await.unwrap().map_err(|refusal| refusal.kind()));
    }
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[1], Err(Kind::Conflict));
    assert_eq!(play.of(&sites[1]).progress().await.unwrap().body_bytes, 0, "nothing of it is kept");
}

/// A closing names the log's checkpoint, which must have all that the closing stands on.
#[tokio::test]
async fn who_looks_at_the_log_is_decided_alone() {
    let play = Play::start().await;
    let sites = play.roster.ids.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = play.live.served.log.writer().await.unwrap();
    let waiting = async |count| {
        while play.live.wishes.len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let before = play.send_whole(&sites[0]);
    waiting(1).await;
    let looking = tokio::spawn({
        let (live, seen) = (play.live.clone(), seen.clone());
        async move {
            let served = live.served.clone();
            let look = move |round: &Round, _| {
                seen.lock().unwrap().push((round.version(), served.log.read().size()));
                Ok(Verdict::Repeat)
            };
            live.commit(look).await
        }
    });
    waiting(2).await;
    let after = play.send_whole(&sites[1]);
    waiting(3).await;
    log.unused();
    looking.await.unwrap().unwrap();
    for sent in [before, after] {
        assert!(sent.await.unwrap().unwrap().receipt.is_some());
    }
    // The manifest is a leaf, too.
    assert_eq!(*seen.lock().unwrap(), [(2, 3)]);
}

/// The store breaks for one of several: all are told, nothing of any is seen, and all work again.
#[tokio::test]
async fn what_is_not_stored_together_is_not_stored_at_all() {
    let play = Play::start().await;
    let sites = play.roster.ids[..4].to_vec();
    let data = play.data();
    let breaks = "CREATE TRIGGER broken BEFORE INSERT ON small WHEN NEW.site = 'site-2'
                  BEGIN SELECT RAISE(ABORT, 'broken'); END";
    sqlite_files::asked(&data, breaks).await;
    for answer in play.send_together(&sites).await {
        assert_eq!(answer.unwrap_err().kind(), Kind::Internal);
    }
    assert_eq!(play.live.read().version(), 0);
    let stored = "SELECT (SELECT count(*) FROM events) + count(*) FROM small";
    assert_eq!(sqlite_files::asked(&data, stored).await, Some(0));
    sqlite_files::asked(&data, "DROP TRIGGER broken").await;
    for answer in play.send_together(&sites).await {
        assert!(answer.unwrap().receipt.is_some());
    }
    assert_eq!(play.live.read().version(), 8);
}

/// A crash in the middle of writing the mark: what is stored and was not answered is marked again, and
/// counts.
#[tokio::test]
async fn what_is_stored_and_was_not_marked_is_marked_again() {
    let play = Play::start().await;
    let sites = play.roster.ids[..2].to_vec();
    let (folder, name) = (play.service.folder.path(), play.roster.id().to_string());
    let mark = folder.join("marks").join(&name);
    let before = std::fs::read(&mark).unwrap();
    let sent = play.send_together(&sites).await.into_iter();
    let receipts: Vec<_> = sent.map(Result::unwrap).collect();
    let after = std::fs::read(&mark).unwrap();
    assert_eq!((after.len() - before.len()) / 96, 4);
    for cut in [before.len(), before.len() + 96, before.len() + 2 * 96, after.len() - 1] {
        let copies = folder.join(format!("marks-{cut}"));
        let marks = Marks::open(&copies, play.service.identity.clone(), false).unwrap();
        let copy = copies.join(&name);
        std::fs::write(&copy, &after[..cut]).unwrap();
        let (_stop, stopping) = watch::channel(false);
        let service = &play.service;
        let (store, identity, clock) =
            (service.store.clone(), service.identity.clone(), service.clock.clone());
        let shared = Shared::new(store, marks, identity, clock, stopping);
        let studies = Studies::load(shared).await.unwrap();
        let study = studies.study(play.roster.id()).unwrap();
        let live = study.round(RoundNumber::FIRST).await.unwrap();
        assert_eq!(live.status(), play.live.status(), "{cut}");
        assert_eq!(std::fs::read(&copy).unwrap().len(), after.len(), "all is marked again");
        for (site, receipt) in sites.iter().zip(&receipts) {
            let of = LiveContribution { live: live.clone(), site: site.clone() };
            assert_eq!(of.progress().await.unwrap(), *receipt);
        }
    }
}
