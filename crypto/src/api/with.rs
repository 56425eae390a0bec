//! What a client asks for with a status: answers of other requests, which it need not make then.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most bytes of what comes with a status: of a few sites all that they need next. Of hundreds, lists
/// come in part, or not at all, and are asked for by themselves.
pub const MAX_WITH: usize = 1 << 20;

/// Most leaves whose proofs are asked for with a study's status.
pub const MAX_LEAVES: usize = 16;

/// Something that may come with a status.
pub trait Part: Copy + fmt::Debug + PartialEq + 'static {
    /// All of them, each with its name in a query.
    const ALL: &'static [(Self, &'static str)];
}

/// What may come with the status of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundPart {
    /// The manifest.
    Manifest,
    /// The freeze.
    Freeze,
    /// The headers of its contributions.
    Headers,
    /// What they seal to the asking site.
    Dealt,
    /// The reviews, once the round is closed.
    Reviews,
    /// The closing.
    Closing,
    /// The proofs that the closing's log has what it must, and is the log that the client has seen.
    Proofs,
    /// The certificate.
    Certificate,
    /// The parts of as many openings as are needed that are sealed to the asking site.
    Opened,
    /// As many acknowledgements of one model as are needed.
    Agreed,
}

impl Part for RoundPart {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Manifest, "manifest"),
        (Self::Freeze, "freeze"),
        (Self::Headers, "headers"),
        (Self::Dealt, "dealt"),
        (Self::Reviews, "reviews"),
        (Self::Closing, "closing"),
        (Self::Proofs, "proofs"),
        (Self::Certificate, "certificate"),
        (Self::Opened, "opened"),
        (Self::Agreed, "agreed"),
    ];
}

/// What may come with the status of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StudyPart {
    /// The manifest of the last round.
    Manifest,
    /// As many acknowledgements of one model of the last round as are needed.
    Agreed,
    /// Which round keys a manifest of the next round must name.
    RoundKeys,
    /// The log's checkpoint, with the proofs that it has the leaves which are named.
    Checkpoint,
    /// The requests of sites that were restored.
    Restored,
    /// The statements of round keys of the key holders of the last round.
    HolderKeys,
}

impl Part for StudyPart {
    const ALL: &'static [(Self, &'static str)] = &[
        (Self::Manifest, "manifest"),
        (Self::Agreed, "agreed"),
        (Self::RoundKeys, "round-keys"),
        (Self::Checkpoint, "checkpoint"),
        (Self::Restored, "restored"),
        // Last, for they are long.
        (Self::HolderKeys, "holder-keys"),
    ];
}

/// What is asked for with a status: names with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct With<P>(pub Vec<P>);

impl<P> Default for With<P> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A name that is none of a part's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected names of {expected} with commas between, got {got:?}")]
pub struct UnknownPart {
    /// The names that there are.
    expected: String,
    /// What came.
    got: String,
}

impl<P: Part> FromStr for With<P> {
    type Err = UnknownPart;

    fn from_str(text: &str) -> Result<Self, UnknownPart> {
        let part = |name: &str| {
            let found = P::ALL.iter().find(|(_, known)| *known == name);
            found.map(|(part, _)| *part).ok_or_else(|| {
                let names: Vec<&str> = P::ALL.iter().map(|(_, name)| *name).collect();
                UnknownPart { expected: names.join(", "), got: name.to_owned() }
            })
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

impl<P: Part> fmt::Display for With<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            let name = P::ALL.iter().find(|(known, _)| known == part).map_or("", |(_, name)| *name);
            write!(f, "{}{name}", if place > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

/// A status with what was asked for with it, as a binary frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFrame {
    /// JSON of the status.
    #[serde(with = "crate::wire::byte_string")]
    pub status: Vec<u8>,
    /// What came with it, as far as it was there.
    pub parts: Vec<StatusPart>,
}

/// An answer that came with a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusPart {
    /// What it answers: a GET of this path below the study's, with its query.
    pub path: String,
    /// The answer to that.
    #[serde(with = "crate::wire::byte_string")]
    pub bytes: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_in_a_list() {
        let with = With(vec![RoundPart::Freeze, RoundPart::Headers, RoundPart::Dealt]);
        assert_eq!(with.to_string(), "freeze,headers,dealt");
        assert_eq!("freeze,headers,dealt".parse(), Ok(with));
        for bad in ["", "freeze,", "Freeze", "freeze headers", "checkpoint"] {
            let error = bad.parse::<With<RoundPart>>().unwrap_err().to_string();
            assert!(error.contains("expected names of manifest, freeze, headers"), "{error}");
        }
        assert_eq!("round-keys".parse(), Ok(With(vec![StudyPart::RoundKeys])));
    }
}
