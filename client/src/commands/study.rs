//! `ringfence study new / sign / change / accept / epochs / verify / show / register / cost`.

mod accept;
mod change;
mod cost;
pub(crate) mod describe;
mod epochs;
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
    /// Add a site's signature, after checking the study and opening its check key.
    Sign(sign::Sign),
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
    /// Register a signed study with the aggregator.
    Register(register::Register),
    /// Work out what a study would cost and tolerate, and refuse what cannot work.
    Cost(cost::Cost),
}

impl StudyCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::New(new) => new.run(),
            Self::Sign(sign) => sign.run(),
            Self::Change(change) => change.run().await,
            Self::Accept(accept) => accept.run().await,
            Self::Epochs(epochs) => epochs.run().await,
            Self::Verify(verify) => verify.run(),
            Self::Show(show) => show.run(),
            Self::Register(register) => register.run().await,
            Self::Cost(cost) => cost.run(),
        }
    }
}
