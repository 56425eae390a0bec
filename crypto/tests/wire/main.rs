//! The messages of protocol version 2 that are no statements, as they were written when this file was made:
//! neighbouring versions of the software work together, so they must read and write the same. The vectors
//! beside hold the statements and what is sealed.
//!
//! A line may be added for a field that is new, and optional. One that stands here never changes: who has
//! a reason for that has another protocol version.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lints' exceptions for tests do not reach the helpers of an integration test"
)]

use ringfence_crypto::api::{
    AggregatorStatus, ContributionFrame, ContributionProgress, DraftStatus, EnvelopeFrame,
    EpochStatus, InclusionQuery, LoggedKeys, OpenedFrame, Problem, Recovery, Returned, StatusFrame,
    StudyStatus,
};
use ringfence_crypto::log::{ConsistencyProof, InclusionProof};
use ringfence_crypto::round::RoundStatus;
use ringfence_crypto::wire::frame;
use ringfence_crypto::wire::json::{self, MAX_MESSAGE};
use serde::Serialize;
use serde::de::DeserializeOwned;

const MESSAGES: &str = include_str!("v2/messages.txt");
const FRAMES: &str = include_str!("v2/frames.txt");

/// Kind and content of every line.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().map(|line| line.split_once(' ').unwrap())
}

/// Reads a message and writes it again; what is said of one from a neighbour that knows a field more.
fn read<T: Serialize + DeserializeOwned>(message: &str) -> Option<String> {
    let value: T = json::parse(message.as_bytes(), MAX_MESSAGE, "message").unwrap();
    assert_eq!(String::from_utf8(json::compact(&value)).unwrap(), message);
    let newer = message.replacen('{', "{\"of_tomorrow\":1,", 1);
    let read = json::parse::<T>(newer.as_bytes(), MAX_MESSAGE, "message");
    read.err().map(|error| error.to_string())
}

#[test]
fn every_message_is_read_and_written_as_it_was() {
    let mut kinds = std::collections::BTreeSet::new();
    for (kind, message) in lines(MESSAGES) {
        kinds.insert(kind);
        let refused = match kind {
            "problem" => read::<Problem>(message),
            "aggregator-status" => read::<AggregatorStatus>(message),
            "study-status" => read::<StudyStatus>(message),
            "round-status" => read::<RoundStatus>(message),
            "contribution-progress" => read::<ContributionProgress>(message),
            "logged-keys" => read::<LoggedKeys>(message),
            "epoch-status" => read::<EpochStatus>(message),
            "draft-status" => read::<DraftStatus>(message),
            "recovery" => read::<Recovery>(message),
            "inclusion-query" => read::<InclusionQuery>(message),
            "inclusion-proof" => read::<InclusionProof>(message),
            "consistency-proof" => read::<ConsistencyProof>(message),
            "returned" => read::<Returned>(message),
            other => panic!("{other}: no such kind"),
        };
        // A field that it does not know may change what the others mean: it is refused, and the words say
        // what to do. The words of a refusal may have more beside them.
        match (kind, refused) {
            ("problem", refused) => assert_eq!(refused, None),
            (_, Some(error)) => {
                assert!(error.contains("of_tomorrow"), "{kind}: {error}");
                assert!(error.contains("another version"), "{kind}: {error}");
            }
            (_, None) => panic!("{kind}: a field that nobody knows is read over"),
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

fn reread<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let value: T = frame::decode(bytes, "a frame").unwrap();
    assert_eq!(frame::encode(&value).unwrap(), bytes);
}

#[test]
fn every_frame_is_read_and_written_as_it_was() {
    for (kind, digits) in lines(FRAMES) {
        let bytes = hex::decode(digits).unwrap();
        match kind {
            "contribution" => {
                let frame = ContributionFrame::decode(&bytes).unwrap();
                assert_eq!(frame.encode().unwrap(), bytes);
            }
            "envelopes" => reread::<EnvelopeFrame>(&bytes),
            "status" => reread::<StatusFrame>(&bytes),
            "opened" => reread::<OpenedFrame>(&bytes),
            other => panic!("{other}: no such kind"),
        }
    }
}
