//! What each site states that its data have spent of the privacy budget, as a gauge.
//!
//! The figures are the sites' own, signed in their headers. `ringfence-audit` computes offline what the
//! rounds spend at least and holds them to it; a server that vouched for them would be no evidence.

use maud::{Markup, html};
use ringfence_crypto::id::{RoundNumber, SiteId};
use ringfence_crypto::statement::{Spent, Study};

use super::shell::card;
use super::words;
use crate::core::rounds::LiveStudy;

/// Sites whose gauges are shown at most: of more, those that have spent most.
const MOST: usize = 60;

/// The part of a budget from which on it is said to be nearly spent.
const NEARLY: f32 = 0.8;

/// The card.
pub(super) fn budget(live: &LiveStudy, study: &Study) -> Markup {
    let Some(budget) = study.privacy.budget() else {
        return card(
            "budget",
            "Privacy budget",
            html! {
                p { (words::policy(&study.privacy)) "." }
                p.quiet { "The study promises no differential privacy, so there is no budget to spend. What \
                           an opened sum shows of its sites is not bounded by noise." }
            },
        );
    };
    let stated = live.spent();
    let mut rows: Vec<(&SiteId, Option<(RoundNumber, Spent)>)> =
        study.roster.iter().map(|site| (&site.id, stated.get(&site.id).copied())).collect();
    let all = rows.len();
    if all > MOST {
        let spent =
            |row: &(&SiteId, Option<(RoundNumber, Spent)>)| row.1.map_or(0.0, |(_, s)| s.epsilon);
        rows.sort_by(|one, other| spent(other).total_cmp(&spent(one)));
        rows.truncate(MOST);
    }
    card(
        "budget",
        "Privacy budget",
        html! {
            p { (words::policy(&study.privacy)) ", \u{3b4} " (budget.delta) "." }
            ul.gauges {
                @for (site, spent) in &rows {
                    li { (gauge(site, *spent, budget.epsilon)) }
                }
            }
            @if all > MOST { p.quiet { "The " (MOST) " of " (all) " sites that have spent most." } }
            p.quiet { "As each site states in the header of its last contribution. "
                      code { "ringfence-audit" } " computes what the rounds spend at least and holds them to it." }
        },
    )
}

fn gauge(site: &SiteId, spent: Option<(RoundNumber, Spent)>, most: f32) -> Markup {
    let Some((round, spent)) = spent else {
        return html! {
            span.who { bdi { (site) } }
            (bar(0.0))
            span.figure { "\u{3b5} 0" }
            span.quiet { "no contribution" }
        };
    };
    let part = if most > 0.0 { (spent.epsilon / most).clamp(0.0, 1.0) } else { 1.0 };
    html! {
        span.who { bdi { (site) } }
        (bar(part))
        span.figure { "\u{3b5} " (format!("{:.3}", spent.epsilon)) " of " (most) }
        span.quiet {
            (format!("{:.0} %", f64::from(part) * 100.0))
            @if part >= NEARLY { ", nearly spent" }
            ", after round " (round)
        }
    }
}

fn bar(part: f32) -> Markup {
    html! {
        svg.bar.nearly[part >= NEARLY] viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect.all x="0" y="0" width="100" height="6" {}
            rect.part x="0" y="0" width=(format!("{:.2}", part * 100.0)) height="6" {}
        }
    }
}
