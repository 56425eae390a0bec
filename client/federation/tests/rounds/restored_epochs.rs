//! Sites whose state was restored from a backup sign no second epoch of a number.

use std::path::Path;
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::signature::Statement;
use ringfence_crypto::statement::{HasSigned, Standing};
use ringfence_keys::identity::Identity;
use ringfence_site::transport::Transport;
use ringfence_site::{RestoreRun, Site, SiteError};

use crate::epochs::{Life, revoke};
use crate::liar;

/// As a backup program does it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => _ = std::fs::copy(entry.path(), to).unwrap(),
        }
    }
}

/// Site d, whose state is of before it has signed what it does here, and a connection for it.
struct Restored {
    life: Life,
    backup: std::path::PathBuf,
}

impl Restored {
    async fn start() -> Self {
        let mut life = Life::start(5).await;
        life.round(0).await;
        let folder = life.trio.folder.path();
        let backup = folder.join("backup-3");
        copy(&folder.join("state-3"), &backup);
        Self { life, backup }
    }

    /// The site on its backup, at this address.
    fn site(&self, url: &str) -> Site {
        self.life.trio.site_with(3, |membership| {
            membership.state = self.backup.clone();
            membership.transport = Transport::new(url, false, Clock::system()).unwrap();
            membership.patience = Duration::from_secs(1);
        })
    }
}

fn is_bound(site: &Site, other: &ringfence_crypto::statement::SignedEpoch) -> Option<String> {
    match site.sign_epoch(other.clone(), None).unwrap_err() {
        SiteError::EpochSigned { epoch: 1, known } => Some(known.to_string()),
        SiteError::EpochForgotten { epoch: 1 } => None,
        error => panic!("{error}"),
    }
}

/// The aggregator hides what is proposed: another site that answers has signed after the restored one,
/// and shows its signature. One that makes up a signature is not believed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_site_is_bound_by_what_another_one_shows_that_it_has_signed() {
    let mut old = Restored::start().await;
    let life = &mut old.life;
    let (out, other) = (life.epoch(vec![revoke("e")], 0), life.epoch(vec![revoke("b")], 0));
    assert!(!life.sign(&out, &["d"]).await);
    drop(life.gone("d"));
    let (study, a) = (life.sites[0].first_study(), life.site("a"));
    let proposed = a.transport().proposed_epochs(study).await.unwrap().remove(0);
    assert!(!life.sign(&proposed, &["a"]).await);

    let url = liar::start(life.trio.aggregator.url(), move |asked, answer| {
        if asked.path.ends_with("/epochs") {
            answer.bytes = b"[]".to_vec();
        }
    });
    let site = old.site(&url);
    site.restored(RestoreRun::Ask).await.unwrap_err();
    assert_eq!(is_bound(&site, &other), None, "not before the others have answered");
    let life = &old.life;
    // One that says what d has never signed.
    let b = life.site("b");
    let request = b.transport().restore_requests(study).await.unwrap().remove(0);
    let forger: Identity = life.trio.identity(1);
    let mut forged = other.clone();
    forged.sign(forger.site(), forger.signer());
    let lie = forger.sign(Standing {
        study: life.sites[0].study_id(),
        request: request.id(),
        site: forger.site().clone(),
        round: Some(RoundNumber(0)),
        has_signed: Some(Box::new(HasSigned {
            epoch: forged.epoch,
            signature: forged.signatures[0].signature,
        })),
    });
    b.transport().put_standing(study, site.id(), &lie).await.unwrap();
    for name in ["a", "c"] {
        life.site(name).answer_restored().await.unwrap();
    }
    assert_eq!(site.restored(RestoreRun::Continue).await.unwrap(), RoundNumber(1));
    assert_eq!(is_bound(&site, &other), Some(out.epoch.id().to_string()));
    let error = site.takes_part(RoundNumber(2)).unwrap_err();
    assert!(matches!(error, SiteError::EpochPending { epoch: 1, .. }), "{error}");
    // After it was started again, too; and the same one it may sign again.
    drop(site);
    let site = old.site(&url);
    assert_eq!(is_bound(&site, &other), Some(out.epoch.id().to_string()));
    site.sign_epoch(out, None).unwrap();
}

/// No other site knows of it: the aggregator has it among what is proposed.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_site_is_bound_by_its_signature_at_the_aggregator() {
    let mut old = Restored::start().await;
    let life = &mut old.life;
    let (out, other) = (life.epoch(vec![revoke("e")], 0), life.epoch(vec![revoke("b")], 0));
    assert!(!life.sign(&out, &["d"]).await);
    drop(life.gone("d"));
    let site = old.site(old.life.trio.aggregator.url());
    site.abstain(RoundNumber(1)).unwrap();
    assert_eq!(site.recall_epoch().await.unwrap(), Some(1));
    assert_eq!(site.recall_epoch().await.unwrap(), None, "once");
    assert_eq!(is_bound(&site, &other), Some(out.epoch.id().to_string()));
}
