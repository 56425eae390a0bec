//! What a site exchanges in a round beside bodies, envelopes and openings: statements, statuses, proofs,
//! and the heads of requests and answers. Their sizes follow from how they are written
//! (`docs/wire.md`, `docs/http.md`). Round keys, which sites exchange once in sixteen rounds, are not
//! among them.

use ringfence_crypto::ring::params::CHECK_WORDS;
use ringfence_crypto::threshold::Threshold;

/// Characters of a site's name, of a round's number and the like, and of a time: as in a study of some
/// rounds.
const NAME: u64 = 8 + 2;
const NUMBER: u64 = 2;
const TIME: u64 = 10;

/// Hashes of a proof about a log of some rounds.
const HASHES: u64 = 7;

/// A digest or a log's hash in JSON, and a signature.
const DIGEST: u64 = 64 + 2;
const SIGNATURE: u64 = 128 + 2;

/// The count before a list, a text or bytes in a frame.
const COUNT: u64 = 8;

/// What shows whose a request is, and what every client of HTTP sends besides.
const ASKED: &str = "signature-input: ringfence=(\"@method\" \"@path\" \"@query\");created=1800000000;\
keyid=\"site-000\";alg=\"ed25519\";tag=\"ringfence-v2\"\r\nsignature: ringfence=::\r\naccept: */*\r\n\
host: aggregator.example:8443\r\n\r\n";

/// The base64 of 64 bytes and of 32.
const SIGNATURE_64: u64 = 88;
const DIGEST_64: u64 = 44;

/// What a request with a message has in its head besides.
const SENT: &str = "content-type: application/octet-stream\r\ncontent-digest: sha-256=::\r\n\
content-length: 12345\r\n \"content-digest\"";

/// The head of an answer.
const ANSWERED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\
content-length: 12345\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n\
content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n\
referrer-policy: no-referrer\r\ncross-origin-resource-policy: same-origin\r\n\
date: Fri, 15 Jan 2027 08:00:00 GMT\r\n\r\n";

/// Bytes of a text.
const fn length(text: &str) -> u64 {
    text.len() as u64
}

/// A signed statement around what it states.
const fn signed(statement: u64) -> u64 {
    length(r#"{"statement":,"signature":}"#) + SIGNATURE + statement
}

/// A list of so many items of one size, each but the last with a comma.
const fn list(items: u64, each: u64) -> u64 {
    1 + items * (each + 1)
}

/// What a site sends and fetches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Exchange {
    /// Bytes that it sends.
    pub(super) sent: u64,
    /// Bytes that it fetches.
    pub(super) fetched: u64,
}

impl Exchange {
    /// One request below a round's or a study's path.
    fn ask(&mut self, path: &str, message: Option<u64>, answer: u64) {
        let first = length("POST /v2/studies//rounds/00 HTTP/1.1\r\n") + DIGEST - 2;
        self.sent += first + length(path) + length(ASKED) + SIGNATURE_64;
        if let Some(message) = message {
            self.sent += length(SENT) + DIGEST_64 + message;
        }
        self.fetched += length(ANSWERED) + answer;
    }
}

/// The shape of a study, as far as it matters.
#[derive(Clone, Copy, Debug)]
struct Shape {
    sites: u64,
    holders: u64,
    endorsements: u64,
}

impl Shape {
    fn manifest(self) -> u64 {
        let named = list(self.holders, NAME) + list(self.holders, DIGEST);
        let fixed =
            length(r#"{"study":,"round":,"initiator":,"opened_at":,"deadline":,"holders":,"#)
                + length(r#""holder_keys":,"base_model":,"previous":,"trust":}"#);
        signed(fixed + 4 * DIGEST + NUMBER + NAME + 2 * TIME + named)
    }

    fn header(self) -> u64 {
        let check = 2 * (CHECK_WORDS as u64 * 8 + 16) + 2;
        let fixed =
            length(r#"{"study":,"round":,"manifest":,"site":,"body_bytes":1234567,"body":,"#)
                + length(r#""check":,"envelopes":}"#);
        signed(fixed + 3 * DIGEST + NUMBER + NAME + check + list(self.holders, DIGEST))
    }

    /// The contributions as freeze and closing name them.
    fn named(self) -> u64 {
        list(self.sites, length(r#"{"site":,"header":}"#) + NAME + DIGEST)
    }

    fn freeze(self) -> u64 {
        let fixed = length(r#"{"study":,"round":,"manifest":,"frozen_at":,"contributions":}"#);
        signed(fixed + 2 * DIGEST + NUMBER + TIME + self.named())
    }

    fn review(self) -> u64 {
        let answers = list(self.sites, length(r#"{"masked":""}"#) + 32);
        signed(
            length(r#"{"manifest":,"freeze":,"holder":,"answers":}"#) + 2 * DIGEST + NAME + answers,
        )
    }

    fn closing(self) -> u64 {
        let fixed = length(r#"{"study":,"round":,"manifest":,"freeze":,"closed_at":,"included":,"#)
            + length(r#""excluded":[],"reviews":,"sum":,"checkpoint":{"size":,"root":}}"#);
        let lists = self.named() + list(self.holders, DIGEST);
        signed(fixed + 5 * DIGEST + 2 * NUMBER + TIME + lists)
    }

    fn certificate(self) -> u64 {
        let endorsements = list(self.endorsements, endorsement());
        length(r#"{"closing":,"endorsements":}"#) + self.closing() + endorsements
    }

    /// A round's status.
    fn status(self) -> u64 {
        let fixed = length(r#"{"study":,"round":,"version":,"state":"reviewing","deadline":,"#)
            + length(r#""initiator":,"holders":,"received":"","wanted":[],"reviewed":"","#)
            + length(r#""endorsed":"","endorsements_needed":,"opened":"","openings_needed":,"#)
            + length(r#""disputes":[],"acknowledged":""}"#);
        let sets = 5 * 2 * self.sites.div_ceil(8);
        fixed + DIGEST + 4 * NUMBER + TIME + NAME + list(self.holders, NAME) + sets
    }

    /// The proofs about a closing's log.
    fn proofs(self) -> u64 {
        let hashes = list(HASHES, DIGEST);
        let path = length("log/inclusion?size=&leaf=") + NUMBER + DIGEST - 2;
        let proof = length(r#"{"index":,"size":,"hashes":}"#) + 2 * NUMBER + hashes;
        // Manifest, freeze, the closing before, receipt and round keys; headers and reviews.
        let leaves = 5 + self.sites + self.holders;
        leaves * (part(path) + proof) + part(path) + hashes
    }
}

fn endorsement() -> u64 {
    signed(length(r#"{"study":,"round":,"closing":,"holder":}"#) + 2 * DIGEST + NUMBER + NAME)
}

fn acknowledgement() -> u64 {
    let fixed = length(r#"{"manifest":,"closing":,"site":,"outcome":{"applied":{"model":}}}"#);
    signed(fixed + 3 * DIGEST + NAME)
}

fn receipt() -> u64 {
    signed(length(r#"{"manifest":,"site":,"header":,"received_at":}"#) + 2 * DIGEST + NAME + TIME)
}

/// What an answer that comes along has around it in a frame, with a path of so many characters.
const fn part(path: u64) -> u64 {
    2 * COUNT + path
}

/// What comes along at a path below a round's.
const fn brought(path: &str, bytes: u64) -> u64 {
    part(length("rounds/00/") + length(path)) + bytes
}

/// What a site that is also a key holder exchanges in a round that goes as it should.
pub(super) fn of_round(sites: usize, threshold: &Threshold) -> Exchange {
    let Threshold { holders, endorsements, .. } = *threshold;
    let (holders, endorsements) = (holders.into(), endorsements.into());
    let shape = Shape { sites: sites as u64, holders, endorsements };
    let status = shape.status();
    let framed = 2 * COUNT + status;
    let agreed = list(endorsements, acknowledgement());
    let mut round = Exchange::default();
    round.ask("", None, length(r#"{"aggregator_key":,"now":}"#) + DIGEST + TIME);
    // How the study stands, with what a round begins with; and then that it is open.
    let study = length(r#"{"study":,"name":"","rounds":,"latest":}"#) + DIGEST + NAME + NUMBER;
    let keys = list(holders, length(r#"{"holder":,"keys":}"#) + NAME + DIGEST);
    let note = length("ringfence//origin and root, and the line of a signature") + 4 * DIGEST;
    let proof = part(length("log/inclusion?size=00&leaf=") + DIGEST) + list(HASHES, DIGEST);
    let begins = brought("manifest", shape.manifest())
        + brought("agreed", agreed)
        + brought("round-keys?round=0", keys)
        + brought("checkpoint", note)
        + proof;
    let query = "status?with=manifest,agreed,round-keys,checkpoint,restored&leaves=";
    round.ask(query, None, study + framed + begins);
    round.sent += DIGEST - 2;
    let opened = study + framed + brought("manifest", shape.manifest());
    round.ask("status?wait=20&after=00&with=manifest", None, opened);
    let progress = length(r#"{"header":,"envelopes":true,"body_bytes":1234567,"receipt":}"#);
    let contribution = shape.header() + (holders + 2) * COUNT;
    round.ask("/contributions/site-000", Some(contribution), progress + DIGEST + receipt());
    // The steps of the round, each waited for and then said.
    let frozen = brought("freeze", shape.freeze())
        + brought("headers?from=0", list(shape.sites, shape.header()))
        + brought("dealt/site-000?from=0", COUNT * (shape.sites + 1));
    let closed = brought("closing", shape.closing())
        + brought("reviews", list(holders, shape.review()))
        + shape.proofs();
    let certified = brought("certificate", shape.certificate());
    let opened = brought("opened/site-000?from=0", COUNT);
    round.ask("?wait=20&after=00&with=freeze,headers,dealt", None, framed + frozen);
    round.ask("/reviews/site-000", Some(shape.review()), status);
    round.ask("?wait=20&after=00&with=closing,proofs,reviews&seen=00", None, framed + closed);
    round.ask("/endorsements/site-000", Some(endorsement()), status);
    round.ask("?wait=20&after=00&with=certificate", None, framed + certified);
    round.ask("/openings/site-000", Some(0), status);
    round.ask("?wait=20&after=00&with=opened", None, framed + opened);
    round.ask("/sum", None, 0);
    round.ask("/acks/site-000", Some(acknowledgement()), status);
    round.ask("/agreed", None, agreed);
    round
}
