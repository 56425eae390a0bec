//! `ringfence study new / sign / fetch / change / accept / epochs / verify / show / register / drafts /
//! cost`.

mod accept;
mod change;
mod cost;
pub(crate) mod describe;
mod drafts;
mod epochs;
mod fetch;
mod new;
mod privacy;
mod promise;
mod register;
mod show;
mod sign;

pub(crate) use accept::given_up_in_words;
pub(crate) use epochs::newest_epoch;

/// Commands on study files.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum StudyCommand {
    /// Make a study file for a roster and an initial model; every site signs it afterwards.
    New(Box<new::New>),
    /// Add a site's signature, after checking the study and opening its check key; with --server send it
    /// to the aggregator, which gathers them in any order.
    Sign(sign::Sign),
    /// Get a study's file from the aggregator: complete once it is registered, and before that with the
    /// signatures that it has.
    Fetch(fetch::Fetch),
    /// Propose a change of a study's roster: a site comes, goes, is put out, or has new keys.
    Change(Box<change::Change>),
    /// Show what a proposed change of the roster does, and sign it.
    Accept(accept::Accept),
    /// Show how a study's roster has changed, and which changes are proposed.
    Epochs(epochs::Epochs),
    /// Check that a study is sound and signed by its whole roster.
    Verify(show::Verify),
    /// Show what a study says, all that a site signs with `study sign`; of the tensors the first few
    /// unless --tensors is given.
    Show(show::Show),
    /// Register a signed study with the aggregator; one that not all have signed is registered once all
    /// have sent their signatures (`study sign --server`).
    Register(register::Register),
    /// List the studies that wait for signatures at the aggregator, or remove one.
    Drafts(drafts::Drafts),
    /// Work out what a study would cost and tolerate, and refuse what cannot work.
    Cost(cost::Cost),
}

impl StudyCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::New(new) => new.run(),
            Self::Sign(sign) => sign.run().await,
            Self::Fetch(fetch) => fetch.run().await,
            Self::Change(change) => change.run().await,
            Self::Accept(accept) => accept.run().await,
            Self::Epochs(epochs) => epochs.run().await,
            Self::Verify(verify) => verify.run(),
            Self::Show(show) => show.run(),
            Self::Register(register) => register.run().await,
            Self::Drafts(drafts) => drafts.run().await,
            Self::Cost(cost) => cost.run(),
        }
    }
}
