//! Each site's steps in a round, from what the aggregator says of it and what was signed.

use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{SiteId, UnixSeconds};
use ringfence_crypto::round::{RoundState, RoundStatus, SiteSet};
use ringfence_crypto::statement::{Certificate, Freeze, Manifest, Study};

use super::{OpenTurn, RoundOverview, SiteRound, Step};

/// What is known of a round.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) status: RoundStatus,
    pub(super) manifest: Manifest,
    /// Once collecting has ended.
    pub(super) freeze: Option<Freeze>,
    /// Once the closing is certified.
    pub(super) certificate: Option<Certificate>,
    /// Before the round.
    pub(super) trust: Trust,
}

impl RoundOverview {
    /// The round as it stands at a moment.
    pub(super) fn of(study: &Study, known: &Known, now: UnixSeconds) -> Self {
        let Known { status, manifest, freeze, certificate, trust: _ } = known;
        let review = u64::from(study.review_seconds);
        let reviews_until = freeze.as_ref().map(|freeze| freeze.frozen_at.after(review));
        let closed_at = certificate.as_ref().map(|known| known.closing.statement.closed_at);
        let sites = study.roster.iter().enumerate();
        let sites = sites.map(|(place, site)| known.site(place, &site.id, reviews_until, now));
        Self {
            round: status.round,
            state: status.state,
            initiator: manifest.initiator.clone(),
            opened_at: manifest.opened_at,
            deadline: manifest.deadline,
            reviews_until,
            closed_at,
            sites: sites.collect(),
        }
    }
}

impl Known {
    fn site(
        &self,
        place: usize,
        site: &SiteId,
        reviews_until: Option<UnixSeconds>,
        now: UnixSeconds,
    ) -> SiteRound {
        let Self { status, manifest, certificate, trust, .. } = self;
        let (holds_keys, barred) = (manifest.holders.contains(site), trust.bars(site));
        let collecting = status.state == RoundState::Collecting;
        let reviewing = collecting || status.state == RoundState::Reviewing;
        let aborted = status.state == RoundState::Aborted;
        let step = |came: &SiteSet, due: bool, over: bool| match (came.has(place), due, over) {
            (true, ..) => Step::Done,
            (false, false, _) => Step::NotDue,
            (false, true, true) => Step::Late,
            (false, true, false) => Step::Pending,
        };
        let reviews_over = !reviewing || reviews_until.is_some_and(|until| now > until);
        let excluded = certificate.as_ref().and_then(|known| {
            known.closing.statement.excluded.iter().find(|entry| entry.site == *site)
        });
        SiteRound {
            site: site.clone(),
            holds_keys,
            barred,
            contributed: step(&status.received, !barred, !collecting || now > manifest.deadline),
            left_out: excluded.map(|entry| entry.reason),
            wanted: status.wanted.iter().any(|wanted| wanted.site == *site),
            reviewed: step(&status.reviewed, holds_keys, reviews_over),
            endorsed: step(&status.endorsed, holds_keys, false),
            opened: step(&status.opened, holds_keys && !aborted, false),
            acknowledged: step(&status.acknowledged, !aborted, false),
        }
    }
}

impl OpenTurn {
    /// Whose turn the next round is. `last` is the one before, which is over, with the trust after
    /// it; none before the first round.
    pub(super) fn of(
        study: &Study,
        last: Option<(&Known, &Trust)>,
        now: UnixSeconds,
    ) -> Option<Self> {
        let (round, since) = match last {
            None => (Default::default(), study.created_at),
            Some((known, _)) => {
                let closing = &known.certificate.as_ref()?.closing.statement;
                (closing.round.next(), closing.closed_at)
            }
        };
        let nobody = Trust::default();
        let trust = last.map_or(&nobody, |(_, trust)| trust);
        let timeout = u64::from(study.initiator_timeout_seconds);
        // Whole time-outs that have passed; once round the ring all have been late.
        let most =
            study.roster.iter().filter(|site| !trust.bars(&site.id)).count().saturating_sub(1);
        let passed = now.seconds_since(since).checked_div(timeout);
        let passed =
            passed.and_then(|passed| usize::try_from(passed).ok()).map_or(most, |n| n.min(most));
        let member = |turns| study.initiator(round, turns, trust).map(|site| site.id.clone());
        Some(Self {
            round,
            initiator: member(0)?,
            since,
            late: (0..passed).filter_map(member).collect(),
            now: member(passed)?,
            passes_at: since.after(timeout.saturating_mul(passed as u64 + 1)),
        })
    }
}
