//! Who may ask what: every route of docs/http.md, with every kind of sender.

use ed25519_dalek::SigningKey;
use reqwest::{Method, Request, StatusCode};
use ringfence_crypto::Digest;
use ringfence_crypto::id::{SiteId, StudyId, UnixSeconds};
use ringfence_crypto::request::{CONTENT_DIGEST, PERMIT, SIGNATURE, SIGNATURE_INPUT};
use ringfence_crypto::signature::{Statement, sign};
use ringfence_crypto::statement::{CarrierPermit, MAX_PERMIT_SECONDS, SignedStudy};
use ringfence_crypto::time::MAX_CLOCK_AHEAD;

use crate::child::{Aggregator, Client, TOKEN, binary};
use crate::play::Play;
use crate::roster::{Roster, Shape, now};
use crate::signing::Signer;

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Stranger,
    UnknownToken,
    Admin,
    Auditor,
    AuditorOfAnother,
    /// Of the study, and named in the path where it names one.
    Own,
    /// Of the study, and not named in the path.
    OtherSite,
    /// A site of another study, of a name that this roster has, too.
    OfAnotherStudy,
    /// No name of this roster's.
    OffTheRoster,
}

const SENDERS: [Sender; 9] = [
    Sender::Stranger,
    Sender::UnknownToken,
    Sender::Admin,
    Sender::Auditor,
    Sender::AuditorOfAnother,
    Sender::Own,
    Sender::OtherSite,
    Sender::OfAnotherStudy,
    Sender::OffTheRoster,
];

const METHODS: [&str; 4] = ["GET ", "PUT ", "POST ", "DELETE "];

/// The rows of the tables: methods, paths, and who; those of drafts for a study that is registered, and
/// for one that is not.
fn routes(study: StudyId, draft: StudyId) -> Vec<(Method, String, String)> {
    let page = include_str!("../../../docs/http.md");
    let id = study;
    let study = format!("/v2/studies/{study}");
    let mut found = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for request in
            cells[0].split('`').filter(|text| METHODS.iter().any(|method| text.starts_with(method)))
        {
            let (method, path) = request.split_once(' ').unwrap();
            let path = match path.strip_prefix("...") {
                Some(rest) => format!("{study}/rounds/0{rest}"),
                None if path.starts_with("/rounds") || path.starts_with("/log") => {
                    format!("{study}{path}")
                }
                None => path.replace("/studies/{study}", &format!("/studies/{id}")),
            };
            let path = path
                .replace("{r}", "0")
                .replace("{d}", "1")
                .replace("offset=N", "offset=0")
                .replace("from=K", "from=0");
            let path = path
                .replace("wait=S&after=R.V.E", "wait=0")
                .replace("wait=S&after=V", "wait=0")
                .replace("wait=S&after=R", "wait=0")
                .replace("round=R", "round=0");
            let path = path.split(',').next().unwrap();
            let whose = if path.contains("{study}") { &[draft, id][..] } else { &[id] };
            for whose in whose {
                let path = path.replace("{study}", &whose.to_string());
                found.push((method.parse().unwrap(), path, cells[1].to_owned()));
            }
        }
    }
    found
}

fn may(who: &str, sender: Sender) -> bool {
    use Sender::{Admin, Auditor, OtherSite, Own};
    match who {
        "anyone" => true,
        "administrator" => sender == Admin,
        "reader" => [Admin, Auditor, Own, OtherSite].contains(&sender),
        "site" => [Own, OtherSite].contains(&sender),
        own if own.starts_with("`{") => sender == Own,
        other => panic!("docs/http.md lets {other:?} ask"),
    }
}

/// A token that may do this, made by the command.
pub(crate) fn token(folder: &std::path::Path, name: &str, arguments: &[&str]) -> (String, String) {
    let out = folder.join(name);
    let mut command = binary();
    command.args(["token", "--name", name, "--out"]).arg(&out).args(arguments);
    let made = command.output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let token = std::fs::read_to_string(out).unwrap().trim().to_owned();
    let line = String::from_utf8(made.stdout).unwrap();
    assert!(!line.contains(&token), "only its hash is shown");
    (token, line)
}

#[tokio::test]
async fn every_route_is_open_to_those_of_the_table_and_to_nobody_else() {
    let mut aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let (folder, another) = (aggregator.folder.path(), Digest::of(b"another study").to_string());
    let (auditor, first) = token(folder, "officer", &["--role", "auditor"]);
    let (narrow, second) = token(folder, "narrow", &["--role", "auditor", "--study", &another]);
    let file = folder.join("tokens");
    std::fs::write(&file, format!("# officers\n{first}{second}")).unwrap();
    aggregator.kill();
    aggregator.restart_with(&["--tokens", file.to_str().unwrap()]);

    // The same sites, another study.
    let draft = Roster::new(aggregator.key, Shape { values: 9, ..Shape::default() });
    let unsigned = SignedStudy::unsigned(draft.study().clone());
    play.client.post_draft(&unsigned).await.ok();
    let routes = routes(play.roster.id(), draft.id());
    assert!(routes.len() > 45, "{}", routes.len());
    let mut wrong = Vec::new();
    for (method, path, who) in &routes {
        for sender in SENDERS {
            // The name that counts; others in the path are somebody else's.
            let own = who.trim_matches('`');
            let path = path.replace(own, "site-1");
            let path = ["{site}", "{holder}", "{by}"]
                .iter()
                .fold(path, |path, name| path.replace(name, "site-2"));
            let mut request = play.client.request(method.clone(), &path);
            if method != Method::GET {
                request = request.body("no such message");
            }
            let mut request = request.build().unwrap();
            let bearer = |request: &mut Request, token: &str| {
                let value = format!("bearer {token}").parse().unwrap();
                request.headers_mut().insert("authorization", value);
            };
            match sender {
                Sender::Stranger => {}
                Sender::UnknownToken => bearer(&mut request, "a-token-that-nobody-knows"),
                Sender::Admin => bearer(&mut request, TOKEN),
                Sender::Auditor => bearer(&mut request, &auditor),
                Sender::AuditorOfAnother => bearer(&mut request, &narrow),
                Sender::Own => Signer::site(1).sign(&mut request),
                Sender::OtherSite => Signer::site(3).sign(&mut request),
                Sender::OfAnotherStudy => {
                    let key = SigningKey::from_bytes(&[9; 32]);
                    Signer { key, ..Signer::site(1) }.sign(&mut request);
                }
                Sender::OffTheRoster => {
                    Signer { site: "site-77".parse().unwrap(), ..Signer::site(1) }
                        .sign(&mut request);
                }
            }
            let answer = play.client.execute(request).await;
            let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&answer.status);
            if denied == may(who, sender) || answer.status == StatusCode::METHOD_NOT_ALLOWED {
                let said = String::from_utf8_lossy(&answer.bytes).into_owned();
                wrong.push(format!(
                    "{method} {path} ({who}) of {sender:?}: {} {said}",
                    answer.status
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a proxy that reads everything could do with a request that passed it.
#[tokio::test]
async fn a_signed_request_is_for_one_thing_and_not_for_long() {
    let aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let site = play.ids()[1].clone();
    let header = play.contribution(&site).header;
    let path = play.of(&site, "/header");
    let message = ringfence_crypto::wire::json::compact(&header);
    let send = async |signed: (&str, &[u8]), sent: (&str, &[u8]), at| {
        let headers = Signer { at, ..Signer::site(1) }.headers("PUT", signed.0, Some(signed.1));
        let mut request = play.client.request(Method::PUT, sent.0).body(sent.1.to_vec());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        Client::send(request).await.unwrap()
    };
    let right = (path.as_str(), message.as_slice());
    let elsewhere = play.of(&site, "/envelopes");
    send((&elsewhere, &message), right, now()).await.refused(403, &["does not verify"]);
    let mut altered = message.clone();
    altered.push(b' ');
    send(right, (&path, &altered), now()).await.refused(400, &["altered on its way"]);
    for apart in [now().earlier(MAX_CLOCK_AHEAD + 5), now().after(MAX_CLOCK_AHEAD + 5)] {
        let refused = send(right, right, apart).await;
        let problem = refused.refused(401, &["by the clock of site-1", "set the clock"]);
        assert_eq!(problem.kind, "/problems/clock");
    }
    // Without its digest a message is not taken, signed or not.
    let mut request =
        play.client.request(Method::PUT, &path).body(message.clone()).build().unwrap();
    for (name, value) in Signer::site(1).headers("PUT", &path, None) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let refused = play.client.execute(request).await;
    refused.refused(401, &["Content-Digest"]);
    assert!(refused.headers["accept-signature"].to_str().unwrap().contains(CONTENT_DIGEST));
    let twice = play.client.request(Method::GET, &play.path);
    let twice =
        twice.header(SIGNATURE_INPUT, "a").header(SIGNATURE_INPUT, "b").header(SIGNATURE, "a");
    Client::send(twice).await.unwrap().refused(400, &["there twice"]);
    let hosts = play.client.request(Method::GET, &play.path);
    let hosts = hosts.header("host", "a.example").header("host", "b.example");
    Client::send(hosts).await.unwrap().refused(400, &["the header host is there twice"]);
    assert_eq!(play.status().await.version, 0, "nothing of all that was taken");
    send(right, right, now()).await.ok();
    assert_eq!(play.status().await.version, 1);
}

/// A site's permit for a carrier, and what it is not.
struct Leave {
    study: StudyId,
    site: SiteId,
    carrier: SigningKey,
    from: UnixSeconds,
    until: UnixSeconds,
    signer: SigningKey,
}

impl Leave {
    /// The header's value.
    fn header(&self) -> String {
        let permit = CarrierPermit {
            study: self.study,
            site: self.site.clone(),
            carrier: self.carrier.verifying_key().into(),
            from: self.from,
            until: self.until,
        };
        let permit = ringfence_crypto::wire::json::compact(&sign(permit, &self.signer));
        String::from_utf8(permit).unwrap()
    }
}

#[tokio::test]
async fn a_carrier_that_a_site_permits_may_ask_what_that_site_may_for_a_time() {
    let aggregator = Aggregator::start();
    let play =
        Play::start(aggregator.client(), Roster::new(aggregator.key, Shape::default()), 600).await;
    let (site, carrier) = (play.ids()[1].clone(), SigningKey::from_bytes(&[9; 32]));
    let header = play.contribution(&site).header;
    let (path, message) =
        (play.of(&site, "/header"), ringfence_crypto::wire::json::compact(&header));
    let leave = || Leave {
        study: play.roster.signed.study.id(),
        site: site.clone(),
        carrier: carrier.clone(),
        from: now(),
        until: now().after(3600),
        signer: Signer::site(1).key,
    };
    let send = async |permit: Option<String>, path: &str, message: &[u8]| {
        let signer = Signer { site: site.clone(), key: carrier.clone(), at: now() };
        let mut request = play.client.request(Method::PUT, path).body(message.to_vec());
        for (name, value) in signer.headers("PUT", path, Some(message)) {
            request = request.header(name, value);
        }
        if let Some(permit) = permit {
            request = request.header(PERMIT, permit);
        }
        Client::send(request).await.unwrap()
    };
    send(None, &path, &message).await.refused(403, &["does not verify under the key of site-1"]);
    let other = Roster::new(aggregator.key, Shape { values: 9, ..Shape::default() });
    let month = MAX_PERMIT_SECONDS;
    for (leave, status, said) in [
        (Leave { signer: carrier.clone(), ..leave() }, 403, "signature of this carrier-permit"),
        (Leave { signer: Signer::site(0).key, ..leave() }, 403, "signature of this carrier-permit"),
        (Leave { site: play.ids()[0].clone(), ..leave() }, 403, "got one of site site-0"),
        (Leave { study: other.signed.study.id(), ..leave() }, 403, "expected a carrier's permit"),
        (Leave { carrier: Signer::site(2).key, ..leave() }, 403, "does not verify"),
        (Leave { until: now().after(month + 60), ..leave() }, 403, "lasts 2678400 s at most"),
        (Leave { from: now().earlier(60), until: now().earlier(9), ..leave() }, 401, "makes a new"),
        (Leave { from: now().after(900), ..leave() }, 401, "makes a new one"),
    ] {
        send(Some(leave.header()), &path, &message).await.refused(status, &[said]);
    }
    send(Some("{}".to_owned()), &path, &message).await.refused(400, &["the header ringfence-"]);
    let permit = leave().header();
    let elsewhere = play.of(&play.ids()[0], "/header");
    let refused = send(Some(permit.clone()), &elsewhere, &message).await;
    refused.refused(403, &["is for site-0 alone, and this request is signed by site-1"]);
    // It says nothing in the site's name.
    let own = ringfence_crypto::wire::json::compact(&sign(header.statement.clone(), &carrier));
    send(Some(permit.clone()), &path, &own).await.refused(403, &["signature of this header"]);
    assert_eq!(play.status().await.version, 0, "nothing of all that was taken");
    send(Some(permit.clone()), &path, &message).await.ok();
    send(Some(permit), &path, &message).await.ok();
    assert_eq!(play.status().await.version, 1);
}
