//! A round as people are shown it: for whom it waits, who has done what, and where each statement
//! stands in the log.

use std::sync::{Arc, PoisonError};

use ringfence_crypto::Digest;
use ringfence_crypto::evidence::RoundSummary;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::log::{LogEntry, StudyLog};
use ringfence_crypto::ring::noise_bound::NoiseModel;
use ringfence_crypto::ring::params::{MAX_BLOCKS, RING_DEGREE};
use ringfence_crypto::round::{Round, RoundState, RoundStatus, SiteSet};
use ringfence_crypto::signature::{Signed, Statement};
use ringfence_crypto::statement::{Study, Subject};

use crate::core::refusal::Refusal;
use crate::core::round::LiveRound;
use crate::core::shared::blocking;

/// Receipts that are shown at most, and statements of one kind.
pub(crate) const SHOWN: usize = 200;

/// A statement of the round.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// Who signed it; none for the aggregator.
    pub(crate) by: Option<SiteId>,
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its place in the log.
    pub(crate) leaf: Option<u64>,
}

/// A contribution that has a receipt.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Whose.
    pub(crate) site: SiteId,
    /// When all of it was durable.
    pub(crate) at: UnixSeconds,
    /// Bytes of its body.
    pub(crate) body_bytes: u64,
    /// BLAKE3 root of its body.
    pub(crate) body: Digest,
    /// The receipt's place in the log.
    pub(crate) leaf: Option<u64>,
}

/// How far the cipher's noise stays from a wrong digit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Margin {
    /// Contributions that were added up.
    pub(crate) sites: usize,
    /// Binary logarithm of half the scale over the largest noise but for a chance of 2^-64.
    pub(crate) bits: f64,
    /// Binary logarithm of a bound on the probability that any digit of the model is wrong.
    pub(crate) failure_log2: f64,
}

impl Margin {
    /// Of a sum of so many contributions.
    pub(crate) fn of(study: &Study, sites: usize) -> Self {
        let packing = study.packing;
        let noise = NoiseModel::new(sites, study.threshold.collusion, packing.wire_bits);
        let half = f64::from(packing.delta_bits) - 1.0;
        let coefficients = study.blocks().unwrap_or(MAX_BLOCKS) * RING_DEGREE;
        Self {
            sites,
            bits: half - (noise.bound().max(1) as f64).log2(),
            failure_log2: noise.failure_log2(half.exp2(), coefficients as f64),
        }
    }
}

/// For whom a round waits.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    /// For what.
    pub(crate) what: &'static str,
    /// Those that have not come yet, in ring order.
    pub(crate) whom: Vec<SiteId>,
    /// How many have come.
    pub(crate) have: usize,
    /// How many must come.
    pub(crate) needed: usize,
    /// Until when at the longest.
    pub(crate) until: Option<UnixSeconds>,
}

/// A round as the dashboard shows it.
#[derive(Clone, Debug)]
pub(crate) struct RoundView {
    /// The roster in force in the round, in ring order.
    pub(crate) roster: Vec<SiteId>,
    /// The round at a glance, as clients are told it.
    pub(crate) status: RoundStatus,
    /// The same as its statements show it.
    pub(crate) summary: RoundSummary,
    /// For whom it waits; none where it is over.
    pub(crate) waits: Option<Waits>,
    /// Of the set that was added up, or of all sites while there is none.
    pub(crate) margin: Margin,
    /// The first [`SHOWN`] contributions with a receipt, by name.
    pub(crate) received: Vec<Received>,
    /// All other statements, by kind; of each kind the first [`SHOWN`].
    pub(crate) said: Vec<Said>,
}

impl LiveRound {
    /// The round as it stands, made once for each of its versions.
    ///
    /// # Errors
    /// A [`Refusal`] when it cannot be made.
    pub(crate) async fn view(self: &Arc<Self>) -> Result<Arc<RoundView>, Refusal> {
        let live = self.clone();
        // Milliseconds of work for a round of a thousand sites.
        blocking(move || {
            let mut viewed = live.viewed.lock().unwrap_or_else(PoisonError::into_inner);
            let round = live.read();
            match &*viewed {
                Some((version, view)) if *version == round.version() => view.clone(),
                _ => {
                    let log = live.served.log.read();
                    let view = Arc::new(RoundView::of(&live.served.study, &round, &log));
                    *viewed = Some((round.version(), view.clone()));
                    view
                }
            }
        })
        .await
    }
}

impl RoundView {
    fn of(study: &Study, round: &Round, log: &StudyLog) -> Self {
        let status = round.status();
        let summary = RoundSummary::of(study, round, round.ended().as_ref());
        let sites = match summary.included.len() {
            0 => study.roster.len(),
            included => included,
        };
        Self {
            roster: study.roster.iter().map(|entry| entry.id.clone()).collect(),
            waits: waits(study, round, &status),
            margin: Margin::of(study, sites),
            received: received(round, log),
            said: said(round, log),
            status,
            summary,
        }
    }
}

fn waits(study: &Study, round: &Round, status: &RoundStatus) -> Option<Waits> {
    // By places: to look each site up would take as long as the roster is, squared.
    let all = |set: &SiteSet| -> Vec<SiteId> {
        let places = study.roster.iter().enumerate();
        places.filter(|(place, _)| !set.has(*place)).map(|(_, entry)| entry.id.clone()).collect()
    };
    let holders = |set: &SiteSet| -> Vec<SiteId> {
        let missing = |site: &&SiteId| !set.contains(&study.roster, site);
        status.holders.iter().filter(missing).cloned().collect()
    };
    let waits = match status.state {
        RoundState::Collecting => Waits {
            what: "contributions",
            whom: all(&status.received),
            have: status.received.len(),
            needed: study.roster.len(),
            until: Some(status.deadline),
        },
        RoundState::Reviewing => Waits {
            what: "the key holders' reviews",
            whom: holders(&status.reviewed),
            have: status.reviewed.len(),
            needed: status.holders.len(),
            until: round
                .freeze()
                .map(|freeze| freeze.statement.frozen_at.after(study.review_seconds.into())),
        },
        RoundState::Closed => Waits {
            what: "endorsements of the set by key holders",
            whom: holders(&status.endorsed),
            have: status.endorsed.len(),
            needed: status.endorsements_needed.into(),
            until: None,
        },
        RoundState::Certified => Waits {
            what: "openings by key holders",
            whom: holders(&status.opened),
            have: status.opened.len(),
            needed: status.openings_needed.into(),
            until: None,
        },
        RoundState::Opened if round.agreed_model().is_none() => Waits {
            what: "acknowledgements of one model",
            whom: all(&status.acknowledged),
            have: status.acknowledged.len(),
            needed: status.endorsements_needed.into(),
            until: None,
        },
        RoundState::Opened | RoundState::Aborted => return None,
    };
    Some(waits)
}

fn leaf<T: Statement>(log: &StudyLog, signed: &Signed<T>) -> Option<u64> {
    log.index(LogEntry::of_signed(signed).leaf(), log.size()).ok()
}

fn received(round: &Round, log: &StudyLog) -> Vec<Received> {
    let of = |(site, header): (&SiteId, &Signed<ringfence_crypto::statement::Header>)| {
        let receipt = round.contribution(site).ok()?.receipt.as_ref()?;
        Some(Received {
            site: site.clone(),
            at: receipt.statement.received_at,
            body_bytes: header.statement.body_bytes,
            body: header.statement.body,
            leaf: leaf(log, receipt),
        })
    };
    round.received().take(SHOWN).filter_map(of).collect()
}

fn said(round: &Round, log: &StudyLog) -> Vec<Said> {
    fn one<T: Statement>(log: &StudyLog, by: Option<&SiteId>, signed: &Signed<T>) -> Said {
        let leaf = leaf(log, signed);
        Said { kind: T::LABEL, by: by.cloned(), digest: signed.id().into(), leaf }
    }
    let manifest = round.manifest();
    let mut said = vec![one(log, Some(&manifest.statement.initiator), manifest)];
    said.extend(round.freeze().map(|freeze| one(log, None, freeze)));
    let reviews = round.reviews().take(SHOWN);
    said.extend(reviews.map(|review| one(log, Some(&review.statement.holder), review)));
    said.extend(round.closing().map(|closing| one(log, None, closing)));
    let endorsements = round.certificate().into_iter().flat_map(|known| known.endorsements);
    said.extend(endorsements.take(SHOWN).map(|e| one(log, Some(&e.statement.holder), &e)));
    let openings = round.openings(Subject::Sum).take(SHOWN);
    said.extend(openings.map(|opening| one(log, Some(&opening.statement.holder), opening)));
    let acknowledgements = round.acknowledgements().take(SHOWN);
    said.extend(acknowledgements.map(|ack| one(log, Some(&ack.statement.site), ack)));
    said
}
