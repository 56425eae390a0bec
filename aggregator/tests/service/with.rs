//! What comes along with a status: what requests for it by themselves would answer, and no more.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use ringfence_crypto::api::{LoggedKeys, OpenedFrame, StatusFrame, StatusPart, StudyStatus};
use ringfence_crypto::id::RoundNumber;
use ringfence_crypto::log::LogEntry;
use ringfence_crypto::round::{RoundState, RoundStatus};
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{HexBytes, RoundKeys};
use ringfence_crypto::wire::{frame, json};

use crate::child::{Aggregator, TOKEN};
use crate::play::Play;
use crate::roster::{Roster, Shape};
use crate::signing::Signer;

const ALL: &str =
    "manifest,freeze,headers,dealt,reviews,closing,proofs,certificate,opened,agreed&seen=1";

/// Asks as a site, or with the administrator's token where none is given; the status and what came
/// along, by its path.
async fn ask(play: &Play, site: Option<usize>, path: &str) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let mut request = play.client.request(Method::GET, path).build().unwrap();
    match site {
        Some(site) => Signer::site(site).sign(&mut request),
        None => {
            let bearer = format!("Bearer {TOKEN}").parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
        }
    }
    let answer = play.client.execute(request).await.ok();
    assert_eq!(answer.kind, "application/octet-stream");
    let StatusFrame { status, parts } = frame::decode(&answer.bytes, "a status").unwrap();
    let named = parts.into_iter().map(|StatusPart { path, bytes }| (path, bytes)).collect();
    (status, named)
}

/// What has come along, without the round and the proofs; each is what a request for it answers.
async fn came(play: &Play, site: Option<usize>) -> BTreeSet<String> {
    let (status, parts) = ask(play, site, &format!("{}?with={ALL}", play.path)).await;
    assert_eq!(
        json::parse::<RoundStatus>(&status, 1 << 20, "status").unwrap(),
        play.status().await
    );
    let mut names = BTreeSet::new();
    for (path, bytes) in parts {
        let alone = play.client.get(&format!("{}/{path}", play.roster.path())).await.ok();
        match path.contains("/opened/") {
            // As many as are needed.
            true => {
                let parts =
                    |bytes: &[u8]| frame::decode::<OpenedFrame>(bytes, "parts").unwrap().parts;
                let (came, all) = (parts(&bytes), parts(&alone.bytes));
                let needed = usize::from(play.roster.study().threshold.opening);
                assert_eq!((came.len(), all.len()), (needed, play.ids().len()));
                assert_eq!(came, all[..needed]);
            }
            false => assert_eq!(alone.bytes, bytes, "{path}"),
        }
        let name = path.strip_prefix("rounds/0/").unwrap_or("log");
        names.insert(name.split(['?', '/']).next().unwrap().to_owned());
    }
    names
}

fn names(text: &str) -> BTreeSet<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn what_comes_along_is_what_requests_by_themselves_answer() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster.clone(), 600).await;
    let sites = play.ids().to_vec();
    assert_eq!(came(&play, Some(1)).await, names("manifest"));
    for site in &sites {
        play.contribute(site).await;
    }
    play.reach(RoundState::Reviewing).await;
    let frozen = "manifest freeze headers";
    assert_eq!(came(&play, Some(1)).await, names(&format!("{frozen} dealt")));
    // What is sealed to a site comes to nobody else.
    assert_eq!(came(&play, None).await, names(frozen));
    let (_, parts) = ask(&play, Some(2), &format!("{}?with=dealt", play.path)).await;
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["rounds/0/dealt/site-2?from=0"]);
    for holder in &sites {
        play.put_review(holder, &[]).await.ok();
    }
    play.reach(RoundState::Closed).await;
    let closing = play.closing().await;
    let closed = format!("{frozen} reviews closing log");
    assert_eq!(came(&play, Some(1)).await, names(&format!("{closed} dealt")));
    assert_eq!(came(&play, None).await, names(&closed));
    // All that a site has to be shown before it endorses: its own receipt, too.
    let receipt = play.receipts.lock().unwrap()[&sites[1]].statement.clone();
    let entries = closing.statement.logged(&play.manifest.statement, Some(&receipt));
    let (_, parts) = ask(&play, Some(1), &format!("{}?with=proofs&seen=3", play.path)).await;
    let size = closing.statement.checkpoint.size;
    for leaf in entries.iter().map(LogEntry::leaf) {
        assert!(parts.contains_key(&format!("log/inclusion?size={size}&leaf={leaf}")));
    }
    assert!(parts.contains_key(&format!("log/consistency?from=3&to={size}")));
    assert_eq!(parts.len(), entries.len() + 1);
    for holder in &sites {
        play.put_endorsement(holder, closing.id()).await.ok();
    }
    assert_eq!(came(&play, Some(1)).await, names(&format!("{closed} dealt certificate")));
    for holder in &sites {
        play.put_opening(holder, closing.id()).await.ok();
    }
    play.agree().await;
    let all = format!("{closed} dealt certificate opened agreed");
    assert_eq!(came(&play, Some(1)).await, names(&all));
    // What was waited for comes with the answer; what was not asked for does not.
    let version = play.status().await.version;
    let path = format!("{}?wait=1&after={}&with=certificate", play.path, version - 1);
    let (_, parts) = ask(&play, Some(0), &path).await;
    assert_eq!(parts.keys().collect::<Vec<_>>(), ["rounds/0/certificate"]);
    for (query, said) in [
        ("with=sum", "expected names of manifest, freeze"),
        ("with=", "expected names of"),
        ("with=freeze&then=1", "unknown field"),
    ] {
        play.client.get(&format!("{}?{query}", play.path)).await.refused(400, &[said]);
    }
}

#[tokio::test]
async fn a_study_s_status_brings_what_the_next_round_begins_with() {
    let aggregator = Aggregator::start();
    let roster = Roster::new(aggregator.key, Shape::default());
    let play = Play::start(aggregator.client(), roster, 600).await;
    let study = play.roster.path();
    let (site, id) = (play.ids()[1].clone(), play.roster.id());
    let keys = vec![HexBytes(vec![3; 1216]); 4];
    let statement = RoundKeys { study: id, site: site.clone(), first_round: RoundNumber(1), keys };
    let keys: Signed<RoundKeys> = play.roster.signed(&site, statement);
    play.client.put_json(&format!("{study}/round-keys/{site}"), &keys).await.ok();
    let leaf = LogEntry::of_signed(&keys).leaf();
    // Of the round that is open.
    let holder = play.ids()[2].clone();
    let statement = RoundKeys {
        study: id,
        site: holder.clone(),
        first_round: RoundNumber(0),
        keys: vec![HexBytes(vec![4; 1216])],
    };
    let held: Signed<RoundKeys> = play.roster.signed(&holder, statement);
    play.client.put_json(&format!("{study}/round-keys/{holder}"), &held).await.ok();

    let all = "with=manifest,agreed,round-keys,checkpoint,restored,holder-keys";
    let (status, parts) = ask(&play, Some(1), &format!("{study}/status?{all}&leaves={leaf}")).await;
    let status: StudyStatus = json::parse(&status, 1 << 20, "status").unwrap();
    assert_eq!(status.rounds, 1);
    let inclusion = format!("log/inclusion?size=3&leaf={leaf}");
    let holders = format!("round-keys/{holder}?round=0");
    let expected = [
        inclusion.as_str(),
        "log/checkpoint",
        "restored",
        "round-keys?round=1",
        holders.as_str(),
        "rounds/0/manifest",
    ];
    assert_eq!(parts.keys().collect::<BTreeSet<_>>(), expected.map(str::to_owned).iter().collect());
    for (path, bytes) in &parts {
        let alone = play.client.get(&format!("{study}/{path}")).await.ok();
        assert_eq!(alone.bytes, *bytes, "{path}");
    }
    assert_eq!(json::parse::<Signed<RoundKeys>>(&parts[&holders], 1 << 20, "keys").unwrap(), held);
    let logged: Vec<LoggedKeys> =
        json::parse(&parts["round-keys?round=1"], 1 << 20, "list").unwrap();
    let window = play.roster.study().holders(RoundNumber(1)).map(|entry| entry.id.clone());
    assert_eq!(
        logged.iter().map(|of| of.holder.clone()).collect::<Vec<_>>(),
        window.collect::<Vec<_>>()
    );
    for LoggedKeys { holder, keys: of } in logged {
        assert_eq!(of, (holder == site).then(|| keys.id()));
    }
    let leaves = vec![leaf.to_string(); 17].join(",");
    for (query, said) in [
        ("with=freeze".to_owned(), "expected names of manifest, agreed, round-keys"),
        (format!("with=checkpoint&leaves={leaves}"), "expected at most 16, got 17"),
        ("with=checkpoint&leaves=ab".to_owned(), "`leaves`"),
    ] {
        play.client.get(&format!("{study}/status?{query}")).await.refused(400, &[said]);
    }
}
