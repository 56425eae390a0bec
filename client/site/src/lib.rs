//! A site in a study: what it keeps, what it checks, and its part in a round.
//!
//! A round is driven by typestate: [`Site::join`] gives a [`Joined`], contributing moves that into
//! a [`Contributed`], opening the sum into a [`Done`]. The duties of a key holder run beside it
//! ([`Site::hold`]). Every step is durable before it leaves and may be repeated after a crash.
//!
//! ```text
//! site         Site itself and its memberships; everything else adds to it
//!   history    the rounds before: manifests, certificates, the model that was agreed on
//!   round_keys the site's KEM keys for single rounds
//!   restored   after a restore from a backup: how far to abstain
//!   turn       whose turn it is to open a round
//!   initiate   opening a round
//!   wait       how long each step of a round may take; `overdue` says what it took longer for
//!   telling    what happens here is told; `event` is what, `round_wait` how a round stands,
//!              `obstacles` what stands in the way of steps that are repeated
//!   hold       a key holder's duties
//!   contribute Joined, Prepared, Contributed
//!   late       whether a round still takes a contribution
//!   refrain    what keeps a contribution out of one round, and nothing else
//!   seen       how rounds stood when the aggregator said so last
//!   needs      what a site needs next, and asks for with a status
//!   witness    the log continues all that was seen of it; cosigned, and compared with others
//!   lately     what was done a moment ago and is not done again yet
//!   charging   what a private round spends is asked and charged
//!   finish     from the certificate to the opened sum; `key_sum` from the openings to the key sum
//!   done       Done
//!   findings   what Done found out about others
//!   judged     what the reviews come to: who is trusted, whose openings count
//!   headers    the signed headers of a round's contributions
//!   dealt      what was dealt to this key holder, and its review of it
//!   spoiled    disputes: a sum without those who broke the format; `answers` what is opened in them
//!   mend       what an aggregator lost is sent again
//!   damaged    what this site's own disk has damaged is fetched again
//! participation  a site that takes part in all rounds; `patience` repeats what waiting helps against
//! overview     a study as anybody may see it, without a site: `steps` of each site in each round
//! journal      durable state            transport   HTTP
//! by_hand      a site without a network: its mailbox, and who carries bundles for it
//! epochs       which study is in force in a round, and whether the site has a part in it
//! pending      an epoch that this site has signed and that is not made
//! snapshot     the common model for a site that comes later
//! ledger       the privacy budget of each unit, over all studies
//! model        identities and layouts of weights
//! fingerprint  what is remembered of a base model
//! ```
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, reason = "a site must not stop on what it is sent or finds")]

mod answers;
pub mod by_hand;
mod charging;
mod contribute;
mod damaged;
mod dealt;
mod done;
mod epochs;
mod error;
mod event;
mod findings;
mod fingerprint;
mod finish;
mod headers;
mod history;
mod hold;
mod initiate;
mod journal;
mod judged;
mod key_sum;
mod late;
mod lately;
pub mod ledger;
mod mend;
pub mod model;
mod needs;
mod newcomer;
mod obstacles;
mod openings;
mod overdue;
pub mod overview;
mod participation;
mod patience;
mod pending;
mod refrain;
mod restored;
mod round_keys;
mod round_wait;
mod seen;
mod site;
mod snapshot;
mod spoiled;
mod sum;
mod telling;
pub mod transport;
mod turn;
mod wait;
mod witness;

pub use contribute::{Clipping, Contributed, Joined, Prepared, Sealing};
pub use done::{Abort, Done, RoundEnd};
pub use epochs::{NoPart, known_epochs, sign_enrolment};
pub use error::{ServedError, SiteError, SpoiledError};
pub use event::Event;
pub use findings::Findings;
pub use fingerprint::Fingerprint;
pub use hold::HoldReport;
pub use journal::{
    ContributionRecord, Fork, Journal, JournalError, LedgerNote, Published, RestoreRecord,
    RoundJournal, RoundKeysJournal, SignedHead, Unsettled,
};
pub use late::Late;
pub use newcomer::Newcomer;
pub use obstacles::Obstacle;
pub use overdue::Overdue;
pub use participation::{Own, Participation};
pub use restored::RestoreRun;
pub use round_keys::NamedKey;
pub use round_wait::{Came, RoundWait};
pub use site::{Membership, Site};
pub use snapshot::Start;
pub use turn::Turn;
pub use wait::Awaited;
pub use witness::Witnessed;
