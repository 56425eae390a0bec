//! Everything that an aggregator holds, and what of it says anything about a site's update: one list
//! for whoever shows it (the aggregator's own pages, `ringfence-audit --operator`) and for the tests
//! that fail when something is stored that the list does not know.

use serde::{Deserialize, Serialize};

/// Where something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A table of the database; with `: `, the rows of one kind in it.
    Table,
    /// Files of the data folder, or objects of the bucket.
    Files,
    /// Outside both: what only `serve` is told of, what is in memory, what leaves to be read elsewhere.
    Beside,
}

/// What something says about the values of a site's update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OfUpdates {
    /// Nothing.
    Nothing,
    /// Not its values: who took part and when, how long it is, what its site states of it.
    Circumstances,
    /// It is there encrypted, under keys of which none is held in the open.
    Ciphertext,
    /// Whatever passes through: only looking at it can tell.
    Looked,
}

impl OfUpdates {
    /// As reports and pages name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Circumstances => "circumstances",
            Self::Ciphertext => "ciphertext",
            Self::Looked => "looked at",
        }
    }
}

/// One kind of thing that an aggregator holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its name: of the table, of the folder, of the setting.
    pub kind: &'static str,
    /// Where it lies.
    pub place: Place,
    /// What it is.
    pub what: &'static str,
    /// What it says of an update, for programs.
    pub of_updates: OfUpdates,
    /// The same in words.
    pub says: &'static str,
}

const IN_THE_OPEN: &str = "Nothing: who signed what, and digests";
const OWN_WORK: &str = "Nothing: notes on this server's own work";
const BODY: &str = "Encrypted under a key of one use, which is shared among the key holders";

use OfUpdates::{Ciphertext, Circumstances, Looked, Nothing};
use Place::{Beside, Files, Table};

const fn held(
    place: Place,
    kind: &'static str,
    what: &'static str,
    of_updates: OfUpdates,
    says: &'static str,
) -> Held {
    Held { kind, place, what, of_updates, says }
}

/// The list, over all backends.
pub const HELD: [Held; 53] = [
    held(
        Table,
        "studies",
        "Study files that all sites signed",
        Nothing,
        "Nothing: they are agreed before any round",
    ),
    held(
        Table,
        "rounds",
        "Manifests: which rounds were opened, when, and by whom",
        Circumstances,
        "Nothing of its values; the model it starts from only as a digest keyed with a secret of the sites",
    ),
    held(
        Table,
        "events",
        "What was said in each round, in order",
        Circumstances,
        "Who took part and when; see its kinds",
    ),
    held(
        Table,
        "events: announced",
        "Headers: each site's promise of one contribution, by digest",
        Circumstances,
        "Its length, and what its site states of its privacy budget; check words, encrypted",
    ),
    held(
        Table,
        "events: received",
        "Receipts that this server signed",
        Circumstances,
        "That it came, and when",
    ),
    held(Table, "events: damaged", "Notes of bytes lost", Nothing, OWN_WORK),
    held(Table, "events: mended", "Notes of bytes sent again", Nothing, OWN_WORK),
    held(
        Table,
        "events: frozen",
        "The list of contributions that key holders review",
        Circumstances,
        "That it is in the list",
    ),
    held(
        Table,
        "events: reviewed",
        "Key holders' reviews of the shares sealed to them",
        Circumstances,
        "Nothing of its values: check words of shares, masked, and complaints",
    ),
    held(
        Table,
        "events: closed",
        "The set and the digest of its sum, signed by this server",
        Circumstances,
        "That it is in the set",
    ),
    held(Table, "events: endorsed", "Key holders' endorsements of the set", Nothing, IN_THE_OPEN),
    held(
        Table,
        "events: disputed",
        "Disputes of a sum that did not decode",
        Circumstances,
        "Where a sum is wrong",
    ),
    held(
        Table,
        "events: judged",
        "Who was named in a dispute",
        Circumstances,
        "Whose contribution spoiled the sum, and what was taken out for it",
    ),
    held(
        Table,
        "events: opened",
        "Statements that a key holder has opened its share",
        Nothing,
        IN_THE_OPEN,
    ),
    held(
        Table,
        "events: acknowledged",
        "Each site's word on the model that it holds now",
        Circumstances,
        "Nothing of its values: a digest keyed with a secret of the sites",
    ),
    held(Table, "epochs", "Changes of the roster, signed", Nothing, IN_THE_OPEN),
    held(
        Table,
        "round_keys",
        "Public keys of key holders for single rounds",
        Nothing,
        "Nothing: public halves",
    ),
    held(Table, "leaves", "Places of the log", Nothing, IN_THE_OPEN),
    held(
        Table,
        "cosignatures",
        "Each site's signature of the largest log that it has seen",
        Circumstances,
        "Nothing of its values: when its site last looked at the log",
    ),
    held(Table, "changes", "How often something was stored of a study", Nothing, OWN_WORK),
    held(Table, "jobs", "Who adds up which range of a sum", Nothing, OWN_WORK),
    held(
        Table,
        "presence",
        "When a site was last heard of",
        Circumstances,
        "Nothing of its values: when its site was there",
    ),
    held(Table, "ready", "A note that the database takes writes", Nothing, OWN_WORK),
    held(Table, "_sqlx_migrations", "Which versions of the schema were made", Nothing, OWN_WORK),
    held(Table, "drafts", "Studies that wait for signatures", Nothing, IN_THE_OPEN),
    held(Table, "draft_signatures", "Signatures of such studies", Nothing, IN_THE_OPEN),
    held(Table, "proposals", "Proposed changes of the roster", Nothing, IN_THE_OPEN),
    held(Table, "proposal_signatures", "Signatures of such changes", Nothing, IN_THE_OPEN),
    held(Table, "proposers", "Who proposes which change", Nothing, IN_THE_OPEN),
    held(Table, "restores", "Requests of sites restored from backups", Nothing, IN_THE_OPEN),
    held(Table, "standings", "The other sites' answers to them", Nothing, IN_THE_OPEN),
    held(
        Table,
        "small",
        "Bodies and envelopes of small contributions",
        Ciphertext,
        "Encrypted: the body under a key of one use, the envelopes to key holders",
    ),
    held(Files, "bodies", "Bodies of contributions", Ciphertext, BODY),
    held(Files, "parts", "Bodies on their way", Ciphertext, "Encrypted, as bodies are"),
    held(
        Files,
        "envelopes",
        "Shares of those keys, one for each key holder",
        Ciphertext,
        "Sealed to the key holders: enough of them together could open the sum, this server none",
    ),
    held(
        Files,
        "openings",
        "Key holders' shares of the sum of the keys",
        Ciphertext,
        "Sealed to the sites",
    ),
    held(
        Files,
        "sum",
        "Sums of the bodies",
        Ciphertext,
        "Encrypted, as bodies are: the sum of the keys opens it",
    ),
    held(Files, "adding", "Ranges of a sum on their way", Ciphertext, "Encrypted, as bodies are"),
    held(
        Files,
        "unfinished",
        "Files on their way",
        Ciphertext,
        "Encrypted or sealed, as what they become",
    ),
    held(
        Files,
        "database",
        "The database as it lies, with what was removed and is not overwritten yet",
        Looked,
        "What its tables say; their rows are listed one by one",
    ),
    held(Files, "lock", "A file that is held while the server runs", Nothing, OWN_WORK),
    held(
        Beside,
        "marks",
        "Leaves of every study's log, signed, apart from the data",
        Nothing,
        "Nothing: hashes",
    ),
    held(
        Beside,
        "memory",
        "The process's memory",
        Looked,
        "What passes through: requests, answers, bodies as they are added; this server's own key",
    ),
    held(
        Beside,
        "beside",
        "The log, traces, and what else the operator keeps",
        Looked,
        "Which site asks for what, when, from which address; names of routes, no message",
    ),
    held(
        Beside,
        "key",
        "This server's own key",
        Nothing,
        "Nothing: it signs receipts and closings, and opens nothing",
    ),
    held(Beside, "admin-token-file", "The administrator's token", Nothing, "Nothing: it lets in"),
    held(Beside, "tokens", "Hashes of further tokens", Nothing, "Nothing: they let in"),
    held(
        Beside,
        "tls-certificate",
        "The certificate of its address",
        Nothing,
        "Nothing: it is public",
    ),
    held(
        Beside,
        "tls-key",
        "The key of its address",
        Nothing,
        "Nothing: under TLS lies what is encrypted already",
    ),
    held(Beside, "config", "Its settings", Nothing, "Nothing: names and numbers"),
    held(
        Beside,
        "postgres-password-file",
        "The password of the database",
        Nothing,
        "Nothing: it lets in where the tables are",
    ),
    held(
        Beside,
        "s3-credentials-file",
        "The access key of the bucket",
        Nothing,
        "Nothing: it lets in where the files are",
    ),
    held(
        Beside,
        "metrics",
        "Counters for Prometheus",
        Circumstances,
        "Nothing of its values: how many requests, bytes and seconds, over all studies",
    ),
];

/// What an extract says of itself: what is not in it, and what was taken from memory. The folder of an
/// extract has it as `held.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractList {
    /// What made it.
    pub program: String,
    /// Files that are named and not copied: they hold secrets that let in, or nothing of a study.
    pub named: Vec<NamedFile>,
    /// The process whose memory is in it; none where none was asked for.
    pub memory: Option<MemoryRead>,
    /// How much lies in each of its folders.
    pub taken: Vec<TakenFolder>,
}

/// A folder of an extract, as it was filled: so that what is taken out of it later is missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakenFolder {
    /// Its name.
    pub name: String,
    /// Files in it and below.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A file that an extract names and does not copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedFile {
    /// What it is, as in [`HELD`].
    pub kind: String,
    /// Where it lies.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// What was read of a process's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryRead {
    /// Its number.
    pub process: u32,
    /// Ranges of addresses that may be read.
    pub ranges: u64,
    /// Bytes that were read of them.
    pub bytes: u64,
    /// Ranges that could not be read, as the system names them: those that the kernel keeps for itself.
    pub not_read: Vec<String>,
}

/// The name of the file that holds an [`ExtractList`].
pub const LIST: &str = "held.json";

/// What is known of a kind; none where the list does not have it.
pub fn of(kind: &str) -> Option<&'static Held> {
    HELD.iter().find(|held| held.kind == kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_there_once_and_has_its_words() {
        let kinds: BTreeSet<&str> = HELD.iter().map(|held| held.kind).collect();
        assert_eq!(kinds.len(), HELD.len());
        for held in &HELD {
            assert!(!held.what.is_empty() && !held.says.is_empty(), "{held:?}");
            let says_nothing = held.says.starts_with("Nothing");
            assert!(held.of_updates != Nothing || says_nothing, "{held:?}");
            assert_eq!(of(held.kind), Some(held));
        }
        assert_eq!(of("plaintexts"), None);
    }

    #[test]
    fn every_kind_of_event_is_in_the_list() {
        let source = include_str!("round/event.rs").split("fn name").nth(1).unwrap_or_default();
        let names: Vec<&str> = source
            .split("=> \"")
            .skip(1)
            .map(|rest| &rest[..rest.find('"').unwrap_or(0)])
            .collect();
        assert!(names.len() > 10, "{names:?}");
        for name in names {
            assert!(of(&format!("events: {name}")).is_some(), "{name}");
        }
    }
}
