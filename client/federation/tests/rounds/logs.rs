//! A key holder that is shown another log than before.

use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::{Checkpoint, LogHash};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::Closing;
use ringfence_crypto::wire::json;
use ringfence_site::{Journal, Site};

use crate::trio::{Trio, finish, next_model, update};

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_refuses_a_log_that_is_not_the_one_it_saw() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        trio.contribute(site, k, RoundNumber(0)).await.unwrap();
    }
    finish(&sites, RoundNumber(0)).await;
    let next = next_model();
    sites[1].open_round(next, 600).await.unwrap();
    for (k, site) in sites.iter().enumerate() {
        let joined = site.join(RoundNumber(1)).await.unwrap();
        joined.contribute(next, &update(k), |_| ()).await.unwrap();
    }

    // What a fork looks like to the site: the log that it saw in round 0 was another one.
    let study = trio.study_id();
    let state = trio.folder.path().join("state-2");
    let rounds = state.join("studies").join(study.to_string()).join("rounds");
    let of_round = |round| Journal::open(&state).unwrap().round(study, RoundNumber(round)).unwrap();
    let mut sites = sites;
    drop(sites.pop());
    let closing = of_round(0).closing().unwrap().unwrap();
    let write = |alter: &dyn Fn(&mut Checkpoint)| {
        let mut seen = closing.clone();
        alter(&mut seen.statement.checkpoint);
        // It is no damage: this is what it saw.
        of_round(0).save_closing(&seen).unwrap();
    };
    let refusing = async {
        write(&|seen| seen.root = LogHash::leaf(b"another"));
        let forked = trio.site(2).hold(RoundNumber(1)).await.unwrap_err().to_string();
        assert!(forked.contains("the log was forked"), "{forked}");
        assert!(forked.contains("keep both signed closings as evidence"), "{forked}");
        write(&|seen| seen.size += 1000);
        let shrunk = trio.site(2).hold(RoundNumber(1)).await.unwrap_err().to_string();
        assert!(shrunk.contains("the log shrank"), "{shrunk}");
        assert!(of_round(1).endorsement().unwrap().is_none());
        assert!(of_round(1).closing().unwrap().is_none());
        // Both sides of the evidence are on disk.
        let transport = trio.transport();
        let shown = transport.round(study, RoundNumber(1)).closing().await.unwrap();
        let refused = rounds.join(format!("000001.refused-{}.json", shown.id()));
        let refused = std::fs::read(refused).unwrap();
        assert_eq!(json::parse::<Signed<Closing>>(&refused, 1 << 20, "closing").unwrap(), shown);
        write(&|_| ());
        trio.site(2).hold(RoundNumber(1)).await.unwrap();
        assert!(of_round(1).closing().unwrap().is_some());
    };
    let others = futures_util::future::join_all(sites.iter().map(|site| site.hold(RoundNumber(1))));
    let (others, ()) = tokio::join!(others, refusing);
    others.into_iter().for_each(|report| assert!(report.unwrap().opened));
}
