//! Contributions that are refused: of a wrong form, a second, a late and a stranger's one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringfence_clock::Clock;
use ringfence_crypto::api::EnvelopeFrame;
use ringfence_crypto::id::{RoundNumber, UnixSeconds};
use ringfence_crypto::request::{RequestParts, sign};
use ringfence_crypto::wire::frame;
use ringfence_keys::identity::Identity;
use ringfence_site::transport::Transport;
use ringfence_site::{Membership, Site};

use crate::liar::{self, Answer, Asked};
use crate::trio::{Trio, update};

#[tokio::test(flavor = "multi_thread")]
async fn second_and_late_contributions_and_strangers_are_refused() {
    let trio = Trio::start().await;
    let sites: Vec<Site> = (0..3).map(|k| trio.site(k)).collect();
    sites[0].open_round(trio.base, 3).await.unwrap();
    trio.contribute(&sites[0], 0, RoundNumber(0)).await.unwrap();

    // Update of a wrong length and with a NaN: nothing is sent.
    let joined = sites[1].join(RoundNumber(0)).await.unwrap();
    let short = joined.contribute(trio.base, &[0.0; 3], |_| ()).await.unwrap_err();
    assert!(short.to_string().contains("has 3 values, the study's layout has 5000"), "{short}");
    let mut nan = update(1);
    nan[17] = f32::NAN;
    let joined = sites[1].join(RoundNumber(0)).await.unwrap();
    let nan = joined.contribute(trio.base, &nan, |_| ()).await.unwrap_err();
    assert!(nan.to_string().contains("value 17 of tensor \"w\" is NaN"), "{nan}");

    // The state was lost: the site makes a second, different contribution. 409, nothing changes.
    drop(sites);
    let lost = trio.folder.path().join("lost");
    let amnesiac = trio.site_with(0, |membership| membership.state = lost);
    let refused = trio.contribute(&amnesiac, 0, RoundNumber(0)).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("(409)") && text.contains("only the same bytes"), "{text}");

    // After the deadline.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let late = trio.contribute(&trio.site(2), 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(late.contains("takes none any more") && late.contains("nothing was charged"), "{late}");

    // Somebody whose keys are not in the roster.
    let mut rng = ringfence_keys::system_rng().unwrap();
    let stranger = Identity::generate("a".parse().unwrap(), &mut rng).unwrap();
    let state = trio.folder.path().join("stranger");
    let membership = Membership { identity: stranger, ..trio.membership(0, &state) };
    let error = Site::open(membership);
    assert!(error.unwrap_err().to_string().contains("does not stand in this study's roster"));
}

/// Begins to send a contribution's body of so many bytes, signed at a time, with its first byte. Only its
/// site's signature lets it in; what the bytes are is not signed with the request, so that a proxy which
/// ends TLS can do as much.
fn begin_body(
    address: &str,
    folder: &str,
    (identity, at): (&Identity, UnixSeconds),
    bytes: u64,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let path = format!("{folder}/body");
    let query = Some("offset=0");
    let parts = RequestParts { method: "PUT", path: &path, query, content_digest: None };
    let signed = sign(&parts, identity.site(), at, identity.signer());
    let head = format!("PUT {path}?offset=0 HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    let head =
        format!("{head}signature-input: {}\r\nsignature: {}\r\n", signed.input, signed.signature);
    write!(stream, "{head}content-length: {bytes}\r\n\r\nx").unwrap();
    stream
}

/// Sends a byte as the first of a contribution's body.
fn place_a_byte(address: &str, folder: &str, identity: &Identity) {
    let mut stream = begin_body(address, folder, (identity, Clock::system().now()), 1);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A site that is killed while it sends, and is back before the aggregator has heard of that.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_ones_own_that_is_not_given_up_yet_is_waited_for() {
    let trio = Trio::start().await;
    let site = trio.site(0);
    site.open_round(trio.base, 600).await.unwrap();
    let joined = site.join(RoundNumber(0)).await.unwrap();
    let prepared = joined.prepare(trio.base, &update(0), |_| ()).await.unwrap();
    let envelopes: EnvelopeFrame =
        frame::decode(&prepared.envelopes().unwrap(), "envelopes").unwrap();
    let transport = trio.transport_of(0);
    let at = transport.round(trio.study_id(), RoundNumber(0));
    at.put_announcement(prepared.header(), &envelopes.envelopes).await.unwrap();
    let folder = format!("/v2/studies/{}/rounds/0/contributions/a", trio.study_id());
    let address = &trio.aggregator.url()["http://".len()..];
    // Signed a moment after what the site sends first.
    let signed_at = Clock::system().now().after(2);
    let lost = begin_body(address, &folder, (&trio.identity(0), signed_at), 1000);
    tokio::time::sleep(Duration::from_millis(200)).await;
    prepared.send().await.unwrap();
    drop(lost);
}

/// The answer of an aggregator that does not know what is put right under this folder.
fn of_an_earlier_version(asked: &Asked<'_>, folder: &str, status: u16) -> Option<Answer> {
    let (_, rest) = asked.path.split_once(folder)?;
    let unknown = asked.method == "PUT" && !rest.contains('/');
    unknown.then(|| Answer { status, bytes: b"{}".to_vec() })
}

/// A small contribution is one request; where that does not get through, or the aggregator is of a
/// version that does not know it, it is sent in steps.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_contribution_is_one_request_and_steps_where_that_is_not_taken() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    // What the first of these requests is answered with by somebody before the aggregator, who does
    // not pass it on.
    for (k, first, expected) in
        [(0, None, &[""][..]), (1, Some(400), &["", "/body"]), (2, Some(502), &["", "/body"])]
    {
        let (said, asked) = (AtomicU32::new(0), Arc::new(Mutex::new(Vec::new())));
        let made = move |asked: &Asked<'_>| {
            let status = first.filter(|_| said.load(Ordering::SeqCst) == 0)?;
            let answer = of_an_earlier_version(asked, "/contributions/", status)?;
            said.fetch_add(1, Ordering::SeqCst);
            Some(answer)
        };
        let seen = asked.clone();
        let url = liar::start_answering(trio.aggregator.url(), made, move |asked, _| {
            let path = asked.path.split('?').next().unwrap();
            if let Some((_, rest)) = path.split_once("/contributions/")
                && asked.method == "PUT"
            {
                seen.lock().unwrap().push(rest[1..].to_owned());
            }
        });
        let site = trio.site_with(k, |membership| {
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        });
        trio.contribute(&site, k, RoundNumber(0)).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), expected, "{first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_somebody_places_in_a_body_are_sent_over_again() {
    let trio = Trio::start().await;
    trio.site(0).open_round(trio.base, 600).await.unwrap();
    let placed = Arc::new(AtomicU32::new(0));
    // Once for `b`, and for `c` whenever its body begins anew.
    let (count, address) = (placed.clone(), trio.aggregator.url()["http://".len()..].to_owned());
    let identities = [trio.identity(1), trio.identity(2)];
    // Of the first version: header, envelopes and body come one after the other.
    let made = |asked: &Asked<'_>| of_an_earlier_version(asked, "/contributions/", 405);
    let url = liar::start_answering(trio.aggregator.url(), made, move |asked, answer| {
        let [b, c] = &identities;
        let identity = if asked.path.contains("/contributions/b") { b } else { c };
        let folder = asked.path.split("/body").next().unwrap();
        let begins = asked.path.ends_with("/envelopes")
            || answer.status == 422 && asked.path.contains("/contributions/c/body");
        if asked.method == "PUT" && begins {
            place_a_byte(&address, folder.trim_end_matches("/envelopes"), identity);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let site = |k| {
        trio.site_with(k, |membership| {
            membership.transport = Transport::new(&url, false, Clock::system()).unwrap();
        })
    };
    trio.contribute(&site(1), 1, RoundNumber(0)).await.unwrap();
    assert_eq!(placed.load(Ordering::SeqCst), 1);
    // Not for ever: then the refusal is reported.
    let refused = trio.contribute(&site(2), 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(refused.contains("(422)") && refused.contains("it was discarded"), "{refused}");
    assert_eq!(placed.load(Ordering::SeqCst), 1 + 4);
    // If it is this site's own disk, the site says so.
    let study = format!("state-2/studies/{}/rounds/000000.body.bin", trio.study_id());
    let body = trio.folder.path().join(study);
    let mut bytes = std::fs::read(&body).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&body, bytes).unwrap();
    let damaged = trio.contribute(&trio.site(2), 2, RoundNumber(0)).await.unwrap_err().to_string();
    assert!(damaged.contains("body.bin is damaged"), "{damaged}");
}
