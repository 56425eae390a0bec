//! At the site: the last bundle that came, and what is to leave.
//!
//! ```text
//! STATE/studies/<study>/by-hand/
//!   inbox.bundle       the bundle that was imported last
//!   outcomes.json      what became of the messages of this site
//!   outbox/<n>.json    a message that is to leave, until its outcome is known
//!   outbox/<n>.bytes   its bytes; a body's lie in the round's journal
//!   wanted.json        what was asked for by name: what the inbox lacks, and what it has by name and is
//!                      needed still
//!   named.json         what was asked for by name when the inbox was fetched
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ringfence_clock::Clock;
use ringfence_crypto::Digest;
use ringfence_crypto::id::{HeaderId, RoundNumber, UnixSeconds};
use ringfence_crypto::signature::{PublicKey, Signed, Statement};
use ringfence_crypto::statement::{CarrierPermit, Study};
use ringfence_crypto::time::MAX_CLOCK_AHEAD;
use ringfence_crypto::wire::json::{self, MAX_STUDY};
use ringfence_durable::{self as durable, Readers};
use ringfence_keys::identity::Identity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::bundle::{Bundle, BundleWriter};
use super::contents::{Item, Kind, Of, Outcome, Way};
use super::error::ByHandError;
use crate::error::SiteError;
use crate::site::Site;
use crate::transport::printable;

/// The mailbox of a site in a study.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    pub(super) of: Of,
    pub(super) clock: Clock,
    /// Read when it is used first: the state is locked by then.
    held: Mutex<Option<Held>>,
}

/// What lies in a mailbox.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) inbox: Option<Inbox>,
    /// Why the bundle that lies here cannot be read, where it cannot: the next one takes its place.
    pub(super) damaged: Option<String>,
    pub(super) outcomes: BTreeMap<Digest, Outcome>,
    pub(super) outbox: BTreeMap<u64, Outgoing>,
    pub(super) wanted: BTreeSet<String>,
    pub(super) named: BTreeSet<String>,
    /// The header of this site that was put last.
    pub(super) announced: Option<HeaderId>,
}

/// The bundle that was imported last.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) bundle: Bundle,
    pub(super) made_at: UnixSeconds,
    /// Where each answer stands among the items.
    pub(super) places: BTreeMap<String, usize>,
}

/// A message that is to leave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outgoing {
    pub(super) item: Item,
    /// Where a body lies, from the folder of the studies; the bytes of others lie beside this record.
    source: Option<PathBuf>,
}

/// What an export wrote.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The messages, in words.
    pub messages: Vec<String>,
    /// How many answers are asked for by name.
    pub wanted: usize,
    /// Length of the file.
    pub bytes: u64,
    /// Until when the carrier may bring it.
    pub until: UnixSeconds,
}

/// What an import brought.
#[derive(Clone, Debug)]
pub struct Imported {
    /// When it was fetched, by the aggregator's clock.
    pub made_at: UnixSeconds,
    /// Answers of the aggregator.
    pub answers: usize,
    /// Length of the file.
    pub bytes: u64,
    /// Whether this bundle had been imported before: nothing has changed.
    pub again: bool,
    /// What the aggregator took of this site, in words.
    pub taken: Vec<String>,
    /// What it refused, in words, and why.
    pub refused: Vec<(String, String)>,
    /// By how many seconds this machine's clock is behind at least, where that is much.
    pub behind: Option<u64>,
}

impl Inbox {
    fn of(bundle: Bundle) -> Option<Self> {
        let Way::ToSite { made_at, .. } = &bundle.way else { return None };
        let numbered = bundle.items.iter().enumerate();
        let places = numbered.map(|(place, (item, _))| (item.path.clone(), place)).collect();
        Some(Self { made_at: *made_at, places, bundle })
    }
}

impl Mailbox {
    /// The mailbox of a site in its state directory. Nothing is read yet.
    pub fn new(state: &Path, study: &Study, identity: &Identity, clock: Clock) -> Self {
        let of = Of {
            study: study.id(),
            site: identity.site().clone(),
            aggregator_key: study.aggregator_key,
        };
        let folder = state.join("studies").join(of.study.to_string()).join("by-hand");
        Self { folder, of, clock, held: Mutex::default() }
    }

    /// Does something with what lies here.
    pub(super) fn with<T>(
        &self,
        act: impl FnOnce(&mut Held) -> Result<T, ByHandError>,
    ) -> Result<T, ByHandError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = Some(self.load()?);
        }
        act(held.get_or_insert_with(Held::default))
    }

    fn load(&self) -> Result<Held, ByHandError> {
        let outbox = self.outbox();
        durable::create_folder(&outbox).map_err(ByHandError::file(&outbox))?;
        for folder in [&self.folder, &outbox] {
            durable::clear_unfinished(folder).map_err(ByHandError::file(folder))?;
        }
        let mut held = Held::default();
        let inbox = self.inbox();
        match Bundle::open_unread(&inbox) {
            Ok(bundle) => held.inbox = Inbox::of(bundle),
            Err(ByHandError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            // A disk's fault: everything in it comes again with the next bundle.
            Err(error) => held.damaged = Some(error.to_string()),
        }
        let outcomes: Vec<Outcome> = read(&self.folder.join("outcomes.json"))?.unwrap_or_default();
        held.outcomes = outcomes.into_iter().map(|of| (of.message, of)).collect();
        held.wanted = read(&self.folder.join("wanted.json"))?.unwrap_or_default();
        held.named = read(&self.folder.join("named.json"))?.unwrap_or_default();
        for entry in fs::read_dir(&outbox).map_err(ByHandError::file(&outbox))? {
            let path = entry.map_err(ByHandError::file(&outbox))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| name.strip_suffix(".json")?.parse().ok());
            let Some(number) = number else { continue };
            if let Some(outgoing) = read::<Outgoing>(&path)? {
                held.outbox.insert(number, outgoing);
            }
        }
        Ok(held)
    }

    fn inbox(&self) -> PathBuf {
        self.folder.join("inbox.bundle")
    }

    fn outbox(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    fn message(&self, number: u64, kind: &str) -> PathBuf {
        self.outbox().join(format!("{number:09}.{kind}"))
    }

    /// When the answers here were true, by this site's clock, at the latest.
    pub(crate) fn as_of(&self, now: UnixSeconds) -> UnixSeconds {
        let made_at = self.with(|held| Ok(held.inbox.as_ref().map(|inbox| inbox.made_at)));
        match made_at {
            Ok(Some(made_at)) => made_at.earlier(MAX_CLOCK_AHEAD).min(now),
            _ => UnixSeconds(0),
        }
    }

    /// Where the site's studies lie. After an epoch a body lies with another one than the mailbox.
    fn studies(&self) -> &Path {
        self.folder.ancestors().nth(2).unwrap_or(&self.folder)
    }

    /// Puts a message into the outbox, unless it lies there or its outcome is known; answers with why
    /// it was refused, if it was. Durable when it returns.
    pub(super) fn put(
        &self,
        held: &mut Held,
        item: Item,
        bytes: Result<&[u8], &Path>,
    ) -> Result<Option<super::contents::Refusal>, ByHandError> {
        let message = item.message();
        if let Some(outcome) = held.outcomes.get(&message) {
            return Ok(outcome.refused.clone());
        }
        if held.outbox.values().any(|outgoing| outgoing.item.message() == message) {
            return Ok(None);
        }
        let number = held.outbox.keys().next_back().map_or(0, |last| last + 1);
        let source = match bytes {
            Ok(bytes) => {
                write(&self.message(number, "bytes"), bytes)?;
                None
            }
            Err(source) => Some(source.strip_prefix(self.studies()).unwrap_or(source).to_owned()),
        };
        let outgoing = Outgoing { item, source };
        write(&self.message(number, "json"), &json::pretty(&outgoing))?;
        held.outbox.insert(number, outgoing);
        Ok(None)
    }

    /// Notes that an answer was needed. What came by name would be missing in the next bundle, when the
    /// same step asks for what comes after it.
    pub(super) fn used(&self, held: &mut Held, path: &str) -> Result<(), ByHandError> {
        match held.named.contains(path) {
            true => self.want(held, path),
            false => Ok(()),
        }
    }

    /// Notes what was asked for in vain, for the carrier to fetch.
    pub(super) fn want(&self, held: &mut Held, path: &str) -> Result<(), ByHandError> {
        match held.wanted.insert(path.to_owned()) {
            true => write(&self.folder.join("wanted.json"), &json::pretty(&held.wanted)),
            false => Ok(()),
        }
    }

    /// Takes a bundle that was carried here, after all of it was checked.
    ///
    /// # Errors
    /// [`ByHandError`]; nothing has changed then.
    pub fn import(&self, path: &Path) -> Result<Imported, ByHandError> {
        let bundle = Bundle::open(path)?;
        self.is_ours(&bundle)?;
        let Way::ToSite { made_at, outcomes } = bundle.way.clone() else {
            let (expected, got) = ("to the site", "to the aggregator");
            return Err(ByHandError::Direction { path: path.to_owned(), expected, got });
        };
        let bytes = fs::metadata(path).map_err(ByHandError::file(path))?.len();
        let (taken, refused): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|outcome| outcome.refused.is_none());
        let refused = refused.into_iter().filter_map(|outcome| {
            Some((printable(&outcome.what), printable(&outcome.refused.as_ref()?.detail)))
        });
        let behind = made_at.seconds_since(self.clock.now());
        let mut imported = Imported {
            made_at,
            answers: bundle.items.len(),
            bytes,
            again: false,
            taken: taken.into_iter().map(|outcome| printable(&outcome.what)).collect(),
            refused: refused.collect(),
            behind: (behind >= 30).then_some(behind),
        };
        self.with(|held| {
            if let Some(inbox) = &held.inbox {
                if inbox.bundle.digest == bundle.digest {
                    imported.again = true;
                    // The process that imported it may have been killed before it came to this.
                    return self.note(held, outcomes);
                }
                // One from the future would stand in the way of every bundle after it.
                let is_told = self.clock.now().after(MAX_CLOCK_AHEAD) >= inbox.made_at;
                if made_at < inbox.made_at && is_told {
                    let (path, known) = (path.to_owned(), inbox.made_at);
                    return Err(ByHandError::Older { path, made_at, known });
                }
            }
            let inbox = self.inbox();
            let file = ByHandError::file(&inbox);
            let mut copy = durable::Unfinished::new(&inbox, Readers::Owner).map_err(&file)?;
            let mut source = File::open(path).map_err(ByHandError::file(path))?;
            io::copy(&mut source, &mut copy).map_err(&file)?;
            // What was checked is what was copied.
            if Bundle::open(copy.path())?.digest != bundle.digest {
                let reason = "it has changed while it was read".to_owned();
                return Err(ByHandError::Altered { path: path.to_owned(), reason });
            }
            copy.replace().map_err(&file)?;
            held.inbox = Inbox::of(Bundle::open_unread(&inbox)?);
            held.damaged = None;
            self.note(held, outcomes)?;
            held.named = std::mem::take(&mut held.wanted);
            write(&self.folder.join("named.json"), &json::pretty(&held.named))?;
            write(&self.folder.join("wanted.json"), &json::pretty(&held.wanted))
        })?;
        Ok(imported)
    }

    /// Notes what became of messages, and takes those out of the outbox.
    fn note(&self, held: &mut Held, outcomes: Vec<Outcome>) -> Result<(), ByHandError> {
        // What this bundle says, of what this site has put: whoever brought another one may have lied,
        // and what was not taken in truth is put again by the step that needs it.
        let put: BTreeSet<Digest> = held.outbox.values().map(|of| of.item.message()).collect();
        let known = |of: &Digest| put.contains(of) || held.outcomes.contains_key(of);
        let said = outcomes.into_iter().filter(|outcome| known(&outcome.message));
        held.outcomes = said.map(|outcome| (outcome.message, outcome)).collect();
        let all: Vec<&Outcome> = held.outcomes.values().collect();
        write(&self.folder.join("outcomes.json"), &json::pretty(&all))?;
        let known = |of: &Outgoing| held.outcomes.contains_key(&of.item.message());
        let done: Vec<u64> =
            held.outbox.iter().filter(|(_, of)| known(of)).map(|(number, _)| *number).collect();
        for number in done {
            // The record first: bytes without one are nothing.
            for kind in ["json", "bytes"] {
                let path = self.message(number, kind);
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(ByHandError::file(&path)(error));
                    }
                    _ => {}
                }
            }
            held.outbox.remove(&number);
        }
        Ok(())
    }

    fn is_ours(&self, bundle: &Bundle) -> Result<(), ByHandError> {
        let Of { study, site, aggregator_key } = bundle.of.clone();
        let (path, own) = (bundle.path.clone(), &self.of);
        if study != own.study {
            return Err(ByHandError::OtherStudy { path, expected: own.study, got: study });
        }
        if site != own.site {
            return Err(ByHandError::OtherSite { path, expected: own.site.clone(), got: site });
        }
        if aggregator_key != own.aggregator_key {
            let (expected, got) = (Box::new(own.aggregator_key), Box::new(aggregator_key));
            return Err(ByHandError::OtherAggregator { path, expected, got });
        }
        Ok(())
    }

    /// Writes a bundle of what is to leave and what is asked for.
    pub(crate) fn export(
        &self,
        path: &Path,
        permit: Signed<CarrierPermit>,
        first_round: RoundNumber,
        seen_log: Option<u64>,
    ) -> Result<Exported, ByHandError> {
        let until = permit.statement.until;
        self.with(|held| {
            let mut bundle = BundleWriter::new(path)?;
            let mut messages = Vec::new();
            for (number, Outgoing { item, source }) in &held.outbox {
                let source = match source {
                    Some(body) => self.studies().join(body),
                    None => self.message(*number, "bytes"),
                };
                let file = match File::open(&source) {
                    // Its round has ended, and the body was deleted.
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && item.kind == Kind::Body =>
                    {
                        continue;
                    }
                    file => file.map_err(ByHandError::file(&source))?,
                };
                let written = bundle.add(item.path.clone(), item.kind.clone(), file)?;
                if written != item.digest {
                    let reason = format!("{} has changed since it was made", item.described());
                    return Err(ByHandError::Altered { path: source, reason });
                }
                messages.push(item.described());
            }
            let made_at = self.clock.now();
            let wanted: Vec<String> = held.wanted.iter().cloned().collect();
            let count = wanted.len();
            let way = Way::FromSite { made_at, permit, first_round, seen_log, wanted };
            let bytes = bundle.finish(self.of.clone(), way)?;
            Ok(Exported { messages, wanted: count, bytes, until })
        })
    }
}

impl Site {
    /// Writes what this site has to say and to ask to a bundle, for a carrier with this key; its round
    /// keys are published in it where they are due. What is in it stays in the outbox until a bundle
    /// says what became of it, so that one that is lost is made again.
    ///
    /// # Errors
    /// [`SiteError`]; no bundle was written then.
    pub async fn export(
        &self,
        mailbox: &Mailbox,
        path: &Path,
        (carrier, seconds): (PublicKey, u64),
    ) -> Result<Exported, SiteError> {
        match self.publish_round_keys().await {
            // They are in the outbox.
            Err(SiteError::Transport(error)) if error.is_by_hand() => {}
            published => published?,
        }
        let from = self.clock.now();
        let permit = self.identity.sign(CarrierPermit {
            study: self.first_study,
            site: self.id().clone(),
            carrier,
            from,
            until: from.after(seconds),
        });
        let mut known = None;
        for site in self.all() {
            let round = self.journal.first_to_check(site.study_id, RoundNumber(u32::MAX))?;
            known = known.or(round);
        }
        // Of the round before, too: whether its model is agreed on.
        let first = known.and_then(RoundNumber::before).unwrap_or(RoundNumber::FIRST);
        let seen = self.last_closing()?;
        let seen = seen.map(|closing| closing.statement.checkpoint.size);
        Ok(mailbox.export(path, permit, first, seen)?)
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ByHandError> {
    let bytes = match durable::read(path, MAX_STUDY) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ByHandError::file(path)(error)),
    };
    json::parse(&bytes, MAX_STUDY, "record of the mailbox")
        .map(Some)
        .map_err(|error| ByHandError::Altered { path: path.to_owned(), reason: error.to_string() })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ByHandError> {
    durable::write(path, bytes, Readers::Owner).map_err(ByHandError::file(path))
}

#[cfg(test)]
mod tests;
