//! What can go wrong at a site, and what to do about it.

mod served;
mod spoiled;

use std::path::PathBuf;

use ringfence_crypto::Digest;
use ringfence_crypto::id::{FreezeId, HeaderId, ModelId, RoundNumber, SiteId, StudyId};
use ringfence_crypto::log::checkpoint::CheckpointError;
use ringfence_crypto::ring::packing::PackingError;
use ringfence_crypto::signature::SignatureError;
use ringfence_crypto::statement::{
    CertificateError, ClosingError, DisputeError, EpochError, FreezeError, HeaderError,
    ManifestError, QuorumError, RoundKeysError, StudyError,
};
use ringfence_crypto::time::Utc;
use ringfence_keys::duties::contributor::RuleError;
use ringfence_keys::duties::holder::HolderError;
use ringfence_keys::duties::restored::Recalled;
use ringfence_keys::encrypt::contribution::ContributeError;
use ringfence_keys::identity::IdentityError;
use ringfence_keys::open::{OpenError, RecountError};
use ringfence_keys::share::envelope::WrongEnvelope;
use ringfence_keys::share::seal::SealError;
use ringfence_keys::snapshot::SnapshotError;
use ringfence_keys::study::spending::SpendingError;
use ringfence_keys::update::quantize::QuantizeError;
use ringfence_keys::update::site_noise::parameters::SiteNoiseError;
use ringfence_keys::update::weigh::WeighError;

pub use served::ServedError;
pub use spoiled::SpoiledError;

use crate::by_hand::ByHandError;
use crate::epochs::NoPart;
use crate::journal::{Fork, JournalError};
use crate::late::Late;
use crate::ledger::{LedgerError, UnitKind};
use crate::overdue::Overdue;
use crate::restored::unanswered;
use crate::round_keys::NamedKey;
use crate::transport::TransportError;
use crate::turn::Turn;

/// Why a site's step failed. Nothing was sent that is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The study is unsound or not signed by all.
    #[error(transparent)]
    Study(#[from] StudyError),
    /// The identity does not belong to the study.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The state directory.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The privacy ledger, or a budget that does not suffice.
    #[error(transparent)]
    Ledger(Box<LedgerError>),
    /// What the study spends cannot be computed.
    #[error(transparent)]
    Spending(#[from] SpendingError),
    /// The study's noise cannot be had.
    #[error(transparent)]
    SiteNoise(#[from] SiteNoiseError),
    /// A study with a budget, and nothing that it is kept in.
    #[error(
        "the study has a privacy budget for each {0}, and nothing says where this site keeps account of it: give --ledger the folder of its privacy ledger (`ringfence ledger init --unit {0}` makes one)"
    )]
    NoLedger(UnitKind),
    /// Other units than the study's.
    #[error(
        "the study's privacy budget is for each {expected}, and units of the kind {got} were given"
    )]
    Units {
        /// The study's.
        expected: UnitKind,
        /// As given.
        got: UnitKind,
    },
    /// The aggregator.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A bundle that is carried by hand.
    #[error(transparent)]
    Bundle(#[from] ByHandError),
    /// Another update than the one that was contributed.
    #[error(
        "round {round}: another update has been contributed in this round already, or one from another base model (contribution {header} is on record, and stays); a site contributes once in a round, so nothing was sent: contribute this update in a later round, or give the earlier one to send that again"
    )]
    OtherUpdate {
        /// The round.
        round: RoundNumber,
        /// The contribution that is on record.
        header: HeaderId,
    },
    /// The manifest is not the study's next.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The certificate certifies nothing.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The freeze is wrong.
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    /// What was certified after the closing is wrong.
    #[error(transparent)]
    Dispute(#[from] DisputeError),
    /// A sum that does not decode, and a dispute that does not mend it.
    #[error(transparent)]
    Spoiled(#[from] SpoiledError),
    /// The closing is wrong.
    #[error(transparent)]
    Closing(#[from] ClosingError),
    /// A signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A key holder's round keys are missing or wrong.
    #[error(transparent)]
    RoundKeys(#[from] RoundKeysError),
    /// The secret half of this site's round key is gone.
    #[error(
        "round {round} has this site hold under its round keys {statement}, and their secret for this round is not in the state directory (destroyed after its round, or restored from a backup); this site cannot hold in this round, the others go on without it"
    )]
    RoundSecret {
        /// The round.
        round: RoundNumber,
        /// Digest of the statement.
        statement: Digest,
    },
    /// A round secret could not be made.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Too few answers of other sites after a restore.
    #[error("{}", unanswered(.0))]
    RestoreUnanswered(Box<Recalled>),
    /// Nothing to go on waiting for.
    #[error(
        "expected an unanswered restore request in the state directory to go on with, found none; run `ringfence restored` without --continue"
    )]
    NoRestoreRequest,
    /// A round that the study's plan does not have.
    #[error(
        "this site cannot have forgotten anything of round {through}: the study's plan has {rounds} rounds, so that {rounds} is the largest number to give; it is never taken back, and rounds up to it are charged to the privacy ledger: ask the other sites once more for the highest round that they know, or run `ringfence restored` without --through, which asks them"
    )]
    RestoreBeyond {
        /// As given.
        through: RoundNumber,
        /// Rounds of the plan.
        rounds: u32,
    },
    /// A round that the site's own state contradicts.
    #[error(
        "this site's own state knows round {} already, so that {least} is the least number to give, and {through} came: the number is one more than the highest round that any other site knows, and none of this site's own rounds is unknown to all of them; ask the other sites once more, or run `ringfence restored` without --through, which asks them",
        least.before().unwrap_or_default()
    )]
    RestoreBelow {
        /// As given.
        through: RoundNumber,
        /// One more than the highest round that the state knows.
        least: RoundNumber,
    },
    /// The aggregator shows what a site has not signed.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The aggregator shows another envelope than the one that was dealt.
    #[error(transparent)]
    Envelope(#[from] WrongEnvelope),
    /// The manifest names another round key than the one that this site published.
    #[error(
        "the manifest of round {round} leaves out the round key that this site published ({published}) and names {named}: forward secrecy would be off, so this site takes no part; its initiator {initiator} left it out, or the aggregator hid it from {initiator}: ask both, with {proof}, by which the aggregator has had it in its log; the next round is open to this site"
    )]
    RoundKeyLeftOut {
        /// The round.
        round: RoundNumber,
        /// Who opened it.
        initiator: SiteId,
        /// Digest of what this site published.
        published: Digest,
        /// What the manifest names.
        named: NamedKey,
        /// The file that proves that the study's log contains what this site published.
        proof: String,
    },
    /// The study's log is not shown to contain this site's round keys.
    #[error(
        "the study's log is not proved to contain this site's round keys {statement} ({reason}): the aggregator took them and could hide them; this site goes no further, ask the aggregator's administrator"
    )]
    RoundKeysNotLogged {
        /// Digest of the statement.
        statement: Digest,
        /// Why the proof does not hold, or that there is none.
        reason: String,
    },
    /// The log of a closing lacks what it must hold.
    #[error(
        "the log under the closing of round {round} lacks something that it must hold: {}what the closing names ({source}); nothing was endorsed{}",
        if *contributed { "this site's receipt or " } else { "" },
        if *contributed { ": run `ringfence contribute` for this round again, which sends the same bytes, and then this; if that does not help, ask the aggregator's administrator" } else { ": ask the aggregator's administrator" }
    )]
    NotInLog {
        /// The round.
        round: RoundNumber,
        /// Whether this site has a receipt that must be in it.
        contributed: bool,
        /// What the aggregator says.
        source: TransportError,
    },
    /// The aggregator shows another freeze than the certified closing names.
    #[error(
        "the certified closing of round {round} names freeze {named}; this site was shown freeze {kept} before, and the aggregator does not show the named one now: ask the aggregator's administrator"
    )]
    FreezeNotShown {
        /// The round.
        round: RoundNumber,
        /// The freeze that counts.
        named: FreezeId,
        /// The one on disk.
        kept: FreezeId,
    },
    /// The aggregator says that rounds were opened and does not show that they were.
    #[error(
        "the aggregator says that round {next} is the next one, but does not show that the round before it was opened ({source}): nobody signs the number alone, and round keys for rounds so far ahead would leave those before without any; nothing was published, ask the aggregator's administrator"
    )]
    RoundsNotShown {
        /// The round that the aggregator says is next.
        next: RoundNumber,
        /// Why the round before does not count as opened.
        source: Box<SiteError>,
    },
    /// The aggregator does not show round keys any more that this site has seen.
    #[error(
        "the aggregator shows no round keys of {holder} for round {round}, but this site has seen a statement of {holder} that covers it ({seen}): the aggregator hides it, and a manifest without it would switch forward secrecy off; nothing was signed, ask the aggregator's administrator"
    )]
    RoundKeysHidden {
        /// Whose keys.
        holder: SiteId,
        /// The round.
        round: RoundNumber,
        /// Digest of the statement.
        seen: Digest,
    },
    /// The round takes no contribution any more.
    #[error("{0}; nothing was charged and nothing sent, contribute to the next round")]
    TooLate(Late),
    /// Contributing would break a rule.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The site's updates have no weight.
    #[error(transparent)]
    Weigh(#[from] WeighError),
    /// The update does not fit.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// Encrypting or sealing failed.
    #[error(transparent)]
    Contribute(#[from] ContributeError),
    /// The key holder refuses.
    #[error(transparent)]
    Holder(#[from] HolderError),
    /// The sum did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The study's own numbers.
    #[error(transparent)]
    Packing(#[from] PackingError),
    /// This site is barred.
    #[error(
        "this site, {site}, is barred from round {round} on: what other sites signed in the rounds before shows that it broke the protocol; it contributes and opens rounds no more, and still endorses as key holder and opens the others' means; ask them for their evidence"
    )]
    Barred {
        /// This site.
        site: SiteId,
        /// The round.
        round: RoundNumber,
    },
    /// No certificate of an earlier round.
    #[error("this site holds no certificate of round {0}; finish that round first")]
    NoCertificate(RoundNumber),
    /// This site never has a turn to open a round.
    #[error(
        "site {0} has no turn to open a round: it is barred from this study, or not on its ring (then check that study and identity belong together)"
    )]
    NoTurn(SiteId),
    /// No manifest of a round.
    #[error("this site has not joined round {0}")]
    NoManifest(RoundNumber),
    /// The randomness of the operating system failed.
    #[error("the operating system gives no randomness ({0}); nothing can be encrypted safely")]
    Randomness(String),
    /// The first round starts from another model.
    #[error(
        "the study starts from the model with digest {expected}, the model given has {got}; use the study's initial model"
    )]
    NotInitialModel {
        /// The study's.
        expected: ModelId,
        /// This site's.
        got: ModelId,
    },
    /// The manifest's base model is not this site's.
    #[error(
        "round {round} starts from another model than this site's ({got}); the initiator or this site has a wrong model, nothing was sent"
    )]
    BaseModel {
        /// The round.
        round: RoundNumber,
        /// This site's model.
        got: ModelId,
    },
    /// The study starts from a spent model with few values changed.
    #[error(
        "{equal} of {of} sampled values of this study's initial model are those of the model from which this site contributed in {study} round {round}: it is that model changed a little, updates from both are nearly the same, and the difference of two opened sums would reveal single updates; start from a model that does not derive from it (docs/safety.md, \"After a round that failed\")"
    )]
    BaseModelNear {
        /// The study of the spent model.
        study: StudyId,
        /// The round there.
        round: RoundNumber,
        /// Sampled values with the same bits.
        equal: usize,
        /// Sampled values.
        of: usize,
    },
    /// Too few sites hold the same model.
    #[error(
        "{agreeing} sites acknowledged this site's model after round {round}, needed {needed}: it is another one than the sites hold, or too few have said which they hold; give the model that this site made of round {round} (--base), or wait for more, or find out who differs"
    )]
    NotAgreed {
        /// The last opened round.
        round: RoundNumber,
        /// Q.
        needed: u16,
        /// Sites that hold the same model.
        agreeing: usize,
    },
    /// Waited too long.
    #[error("{0}")]
    Impatient(Box<Overdue>),
    /// Waited too long for one's turn.
    #[error(
        "{turn}; nobody has opened it within {patience} s, as long as --patience says: ask {}, or wait longer", .turn.initiator
    )]
    OutOfTurn {
        /// Whose turn it is, and from when this site may step in.
        turn: Box<Turn>,
        /// Seconds that were waited.
        patience: u64,
    },
    /// Waited too long for a round to be opened.
    #[error(
        "round {round} is not open, and nobody has opened it within {patience} s, as long as --patience says: {}",
        if *.own { "this site is next on the ring and opens it by `ringfence open`".to_owned() } else { format!("its initiator runs `ringfence open`, ask {initiator}, who is next on the ring, or wait longer") }
    )]
    NotOpened {
        /// The round.
        round: RoundNumber,
        /// Who stands on the ring where this round begins.
        initiator: SiteId,
        /// Whether that is this site.
        own: bool,
        /// Seconds that were waited.
        patience: u64,
    },
    /// The round before ended in this site's future.
    #[error(
        "round {round} may be opened from {since} on, when the round before was closed (or the study made), and this site's clock shows {now}; set this site's clock, or ask the aggregator's operator about its own"
    )]
    ClockBehind {
        /// The round.
        round: RoundNumber,
        /// When the round before ended.
        since: Utc,
        /// What this site's clock shows.
        now: Utc,
    },
    /// A round shorter or longer than the study allows.
    #[error(
        "a round is to take contributions for {got} s, the study allows {min} to {longest} s; give that many"
    )]
    RoundSeconds {
        /// `min_round_seconds`.
        min: u32,
        /// `longest_round_seconds`.
        longest: u32,
        /// As asked for.
        got: u32,
    },
    /// The aggregator asks again for what this site does not keep.
    #[error(
        "the aggregator lost bytes of this site's contribution to round {0} and asks for them again, but they are not in this state directory; the round is closed without them"
    )]
    NotKept(RoundNumber),
    /// The closing leaves this site out.
    #[error(
        "the certified set of round {0} does not hold this site's contribution, for which it has a receipt"
    )]
    LeftOut(RoundNumber),
    /// The aggregator served something else than what was asked for.
    #[error(transparent)]
    Served(#[from] ServedError),
    /// A change of the roster does not hold.
    #[error(transparent)]
    Epoch(Box<EpochError>),
    /// This site has no part in a round.
    #[error(transparent)]
    NoPart(Box<NoPart>),
    /// The roster has changed, and this site does not know how yet.
    #[error(
        "the study's roster has changed ({0} times by now) since this command has begun; run it again, and it goes on under the new one"
    )]
    NewEpoch(u32),
    /// A round of another roster.
    #[error(
        "round {round} is after round {last}, the last before epoch {epoch}: its manifest is for the study after that epoch, and one for the study before it is refused"
    )]
    EpochOver {
        /// The round.
        round: RoundNumber,
        /// The epoch that ended the roster.
        epoch: u32,
        /// Its last round.
        last: RoundNumber,
    },
    /// A round after an epoch that was signed and is not made.
    #[error(
        "this site has signed epoch {epoch}, by which round {last} is the last under the present roster, and the epoch lacks signatures of others: it takes part in round {round} once they have signed, too (`ringfence study epochs` says who is missing)"
    )]
    EpochPending {
        /// The round.
        round: RoundNumber,
        /// The epoch that was signed.
        epoch: u32,
        /// Its last round.
        last: RoundNumber,
    },
    /// Another epoch was signed.
    #[error(
        "this site has signed another epoch {epoch} ({known}); a site signs one epoch a number, else a study could fork: sign that one, which it sends again, or wait until one is made"
    )]
    EpochSigned {
        /// The number.
        epoch: u32,
        /// Digest of the one that was signed.
        known: Digest,
    },
    /// Another epoch may have been signed and forgotten.
    #[error(
        "this site's state came from a backup, and it may have signed another epoch {epoch} since: it signs none before the other sites have said what they know of it (`ringfence restored --continue`)"
    )]
    EpochForgotten {
        /// The number.
        epoch: u32,
    },
    /// An epoch that gives this site other new keys.
    #[error(
        "epoch {epoch} does not give this site, {own}, new keys of its own: expected those of --new-identity, and whoever proposed it has others (--new-identity is of {site}); nothing was signed: compare the signature key and the KEM key's digest that `ringfence study epochs` shows with what `ringfence keygen` has printed, and have the change made again"
    )]
    OtherNewKeys {
        /// The epoch.
        epoch: u32,
        /// Of whom the new identity is; this site where none was given.
        site: SiteId,
        /// This site.
        own: SiteId,
    },
    /// An epoch whose last round is over, as the aggregator says.
    #[error(
        "round {last} is to be the last under the present roster, and {opened} rounds are open: the aggregator makes no such epoch any more, and whoever signed it would take part in no round until it is; have the change made again, with a later last round"
    )]
    EpochMissed {
        /// As stated.
        last: RoundNumber,
        /// How many rounds are open.
        opened: u32,
    },
    /// An epoch that ends before a round that this site has accepted.
    #[error(
        "round {last} is to be the last under the present roster, and this site has accepted round {known} under it; make the change again with --last-round {known} or later"
    )]
    EpochTooLate {
        /// As stated.
        last: RoundNumber,
        /// The highest round that this site knows.
        known: RoundNumber,
    },
    /// An epoch that the log is not shown to contain.
    #[error(
        "the study's log is not proved to contain epoch {epoch} ({reason}): the aggregator shows it to this site and perhaps to no other; nothing was taken over, ask its administrator"
    )]
    EpochNotLogged {
        /// The epoch.
        epoch: u32,
        /// Why the proof does not hold, or that there is none.
        reason: String,
    },
    /// A site that is not there.
    #[error("{0} is not on the study's newest roster: nothing is sealed to it")]
    NotOnRoster(SiteId),
    /// A sealed snapshot does not open.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A snapshot of another model.
    #[error("the snapshot's model does not have the study's layout: {0}")]
    SnapshotModel(String),
    /// No snapshot that holds.
    #[error(
        "no site has sealed a model after round {round} to this one that enough sites have acknowledged ({found}); sites that take part do so by themselves when their `ringfence join`, `round` or `contribute` goes on to the round after it: try again then"
    )]
    NoSnapshot {
        /// After which round.
        round: RoundNumber,
        /// What there is, and why it does not hold.
        found: String,
    },
    /// A checkpoint that is none of the study's log.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log has two histories.
    #[error(
        "the log was forked: {} had seen {}, and the aggregator shows this site {} ({}): it keeps two histories of this study, or was put back to an older one. This site goes on no further in the study. Both signed heads are in {}: show them to the other sites and to whoever audits the study", fork.seen_by, fork.seen.checkpoint, fork.shown.checkpoint, fork.reason, evidence.display()
    )]
    LogForked {
        /// Both heads.
        fork: Box<Fork>,
        /// Where they lie.
        evidence: PathBuf,
    },
    /// The same, found before.
    #[error(
        "this study's log was found to be forked before, and this site goes on no further in it: both signed heads are in {}; move that file away only when all sites agree which history counts", .0.display()
    )]
    LogForkKnown(PathBuf),
    /// The published sum does not fit, and the bodies could not be added up.
    #[error(transparent)]
    Recount(#[from] RecountError),
}

impl From<QuorumError> for SiteError {
    fn from(error: QuorumError) -> Self {
        Self::Dispute(error.into())
    }
}

impl From<EpochError> for SiteError {
    fn from(error: EpochError) -> Self {
        Self::Epoch(Box::new(error))
    }
}

impl From<NoPart> for SiteError {
    fn from(error: NoPart) -> Self {
        Self::NoPart(Box::new(error))
    }
}

impl From<LedgerError> for SiteError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(Box::new(error))
    }
}
