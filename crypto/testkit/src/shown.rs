//! What a key holder is shown of a round.

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::round::Round;
use ringfence_crypto::signature::Signed;
use ringfence_crypto::statement::{Closing, Freeze, Header, Manifest, Receipt, Review};
use ringfence_keys::duties::holder::{ClosingView, FreezeView};
use ringfence_keys::duties::logged::LogProofs;

use crate::log::{log_of, proofs};

/// What a key holder is shown of a round, honestly; a test may alter it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The manifest.
    pub manifest: Manifest,
    /// Trust before the round.
    pub trust: Trust,
    /// The freeze.
    pub freeze: Signed<Freeze>,
    /// The closing, once there is one.
    pub closing: Option<Signed<Closing>>,
    /// The headers of the freeze.
    pub headers: Vec<Signed<Header>>,
    /// The reviews so far.
    pub reviews: Vec<Signed<Review>>,
    /// The holder's own receipt; none at first.
    pub receipt: Option<Signed<Receipt>>,
    /// Proofs for the closing and no receipt.
    pub log: LogProofs,
}

impl Shown {
    /// What is there of a round that was frozen.
    pub fn of(round: &Round) -> Self {
        let manifest = round.manifest().statement.clone();
        let closing = round.closing().cloned();
        let log = closing.as_ref().map_or_else(LogProofs::default, |closing| {
            proofs(&log_of(round), &manifest, &closing.statement, None, None)
        });
        Self {
            manifest,
            trust: round.trust().clone(),
            freeze: round.freeze().unwrap().clone(),
            closing,
            headers: round.received().map(|(_, header)| header.clone()).collect(),
            reviews: round.reviews().cloned().collect(),
            receipt: None,
            log,
        }
    }

    /// What a holder reviews by.
    pub fn freeze_view(&self) -> FreezeView<'_> {
        let Self { manifest, trust, freeze, headers, receipt, .. } = self;
        FreezeView { manifest, trust, freeze, headers, receipt: receipt.as_ref() }
    }

    /// What a holder endorses a closing by.
    pub fn closing_view(&self) -> ClosingView<'_> {
        let Self { manifest, trust, freeze, closing, headers, reviews, receipt, log } = self;
        let (closing, receipt) = (closing.as_ref().unwrap(), receipt.as_ref());
        ClosingView { manifest, trust, freeze, closing, headers, reviews, receipt, log }
    }
}
