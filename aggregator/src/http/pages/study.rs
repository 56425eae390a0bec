//! A study: its round of now, the ring, the rounds so far, budgets, margin, disputes, and the log's head.

use std::sync::Arc;

use maud::{Markup, html};
use ringfence_crypto::cohorts::CohortReport;
use ringfence_crypto::dealing::Trust;
use ringfence_crypto::id::{StudyId, UnixSeconds};
use ringfence_crypto::statement::{PrivacyPolicy, Study};

use super::budget::budget;
use super::ring::ring;
use super::shell::{card, counted, facts, few, grouped, short, table, time};
use super::sites::sites;
use super::steps::{steps, waiting};
use super::words;
use crate::core::refusal::Refusal;
use crate::core::round_list::Glance;
use crate::core::round_view::{Margin, RoundView};
use crate::core::rounds::LiveStudy;
use crate::store::witnesses::Cosigned;

/// Rounds in one table.
const ROUNDS: usize = 20;

/// The round of now, and why it does not go on by itself, if so.
pub(super) type Latest = (Arc<RoundView>, Option<String>);

/// What is shown of a study beside what is in memory.
pub(super) struct Shown {
    /// The round of now.
    pub(super) latest: Option<Latest>,
    /// What its sums could tell together.
    pub(super) cohorts: Arc<CohortReport>,
    /// What each site has cosigned last of its log.
    pub(super) cosigned: Vec<Cosigned>,
}

/// The page.
pub(super) fn page(
    live: &LiveStudy,
    Shown { latest, cohorts, cosigned }: &Shown,
    (until, now): (Option<u32>, UnixSeconds),
) -> Result<Markup, Refusal> {
    let served = live.at_last();
    let study = &*served.study;
    let id = live.served.first;
    Ok(html! {
        div.title {
            h1 { bdi { (study.name) } }
            p.lead {
                (counted(study.roster.len(), "site")) " · " (words::policy(&study.privacy)) " · study "
                (short(id))
            }
            p { a.action href={ "/studies/" (id) "/held" } { "What this server can see" } }
        }
        div.grid {
            @match latest {
                None => (card("none-yet", "No round yet", html! {
                    p { "The study is registered. Its first round is opened by "
                        bdi { (study.roster.first().map_or("", |site| site.id.as_str())) }
                        ", the first site on the ring." }
                })),
                Some((view, halted)) => {
                    (current(id, (view, halted.as_deref()), now))
                    (card("ring", "The ring", html! {
                        div.ring-and-sites { div { (ring(view)) } (sites(view)) }
                    }))
                }
            }
            (rounds(id, live, until))
            (budget(live, study))
            (together(study, cohorts))
            (match latest {
                Some((view, _)) => margin(study, view.margin),
                None => margin(study, Margin::of(study, study.roster.len())),
            })
            (thresholds(study))
            (disputes(id, live, latest.as_ref().map(|(view, _)| &**view)))
            (log_head(live, cosigned)?)
        }
    })
}

fn current(id: StudyId, (view, halted): (&RoundView, Option<&str>), now: UnixSeconds) -> Markup {
    let number = view.status.round;
    card(
        "now",
        &format!("Round {number}"),
        html! {
            p.state { (words::state(view.status.state)) }
            (steps(view.status.state))
            (waiting(view, halted, now))
            p { a.action href={ "/studies/" (id) "/rounds/" (number) } { "Statements and receipts of round " (number) } }
        },
    )
}

fn rounds(id: StudyId, live: &LiveStudy, until: Option<u32>) -> Markup {
    let all = live.latest().0;
    let until = until.unwrap_or(u32::MAX);
    let glances = live.glances(until, ROUNDS);
    let first = glances.last().map_or(0, |glance| glance.round.0);
    let is_newest = glances.first().is_none_or(|glance| glance.round.0 as usize + 1 == all);
    let rows = html! {
        @for glance in &glances {
            tr {
                th scope="row" { a href={ "/studies/" (id) "/rounds/" (glance.round) } { "Round " (glance.round) } }
                td { (words::state(glance.state)) }
                td { bdi { (glance.initiator) } }
                td.number { (grouped(glance.received as u64)) }
                td { (time(glance.opened_at)) }
                td { @if let Some(at) = glance.closed_at { (time(at)) } }
                td { (named(glance)) }
            }
        }
    };
    card(
        "rounds",
        "Rounds",
        html! {
            @if glances.is_empty() {
                p { "None yet." }
            } @else {
                (table(
                    "Rounds, the newest first",
                    &["Round", "State", "Opened by", "Contributions", "Opened", "Closed", "Disputes"],
                    rows,
                ))
            }
            @if first > 0 || !is_newest {
                p.pager {
                    @if !is_newest { a href={ "/studies/" (id) } { "The newest" } " " }
                    @if first > 0 { a href={ "/studies/" (id) "?until=" (first) "#rounds" } { "Older than round " (first) } }
                }
            }
        },
    )
}

fn named(glance: &Glance) -> Markup {
    html! {
        @if glance.named.is_empty() { span.quiet { "none" } }
        @for named in &glance.named { (few(&named.sites, 3)) " named " }
    }
}

/// How far the noise stays from a wrong digit.
pub(super) fn margin(study: &Study, margin: Margin) -> Markup {
    let packing = study.packing;
    card(
        "margin",
        "Noise margin",
        html! {
            p.big { (format!("{:.1}", margin.bits)) span.unit { " bits" } }
            p {
                "The cipher's noise in a sum of " (counted(margin.sites, "contribution"))
                " stays below half of a digit's scale by this much, but for a chance of once in 2"
                sup { "64" } " for the largest model."
            }
            (facts(&[
                ("A wrong digit in this model", html! {
                    @if margin.failure_log2.is_finite() {
                        "less than once in 2" sup { (format!("{:.0}", -margin.failure_log2.ceil())) }
                    } @else { "impossible" }
                }),
                ("Value", html! { (packing.value_bits) " bits" }),
                ("Slots in a coefficient", html! { (packing.slots) " of " (packing.slot_bits) " bits" }),
                ("Scale", html! { "2" sup { (packing.delta_bits) } }),
                ("Word on the wire", html! { (packing.wire_bits) " bits" }),
            ]))
        },
    )
}

/// What the sums of several rounds could tell together.
fn together(study: &Study, cohorts: &CohortReport) -> Markup {
    card(
        "cohorts",
        "Rounds together",
        html! {
            @if let Some(fewest) = cohorts.fewest {
                p.big {
                    @match fewest.exactly() {
                        Some(sites) => (sites),
                        None => { (fewest.at_least) " to " (fewest.at_most) }
                    }
                    span.unit { @if fewest.at_most == 1 { " site" } @else { " sites" } }
                }
                p.quiet { "The fewest that any combination of the rounds' sums is over, were every site's update \
                           the same in all of them. This server opens no sum; it knows the sets." }
            }
            @for sentence in cohorts.sentences(study.threshold.collusion) {
                p { (sentence) }
            }
            @if study.privacy == PrivacyPolicy::SetsApart {
                p { "The study holds its sets apart: each holds all or none of each of its "
                    (counted(study.groups().len(), "group")) ", barred sites aside." }
            }
        },
    )
}

fn disputes(id: StudyId, live: &LiveStudy, view: Option<&RoundView>) -> Markup {
    let none = Trust::default();
    let trust = view.map_or(&none, |view| &view.summary.trust);
    let running = view.map_or(&[][..], |view| &view.status.disputes);
    let glances = live.glances(u32::MAX, ROUNDS);
    let named: Vec<&Glance> = glances.iter().filter(|glance| !glance.named.is_empty()).collect();
    card(
        "disputes",
        "Disputes",
        html! {
            @if trust.barred.is_empty() && trust.pairs.is_empty() && named.is_empty()
                && running.is_empty()
            {
                p { "None. No site is barred, and nobody accuses anybody." }
            }
            @for dispute in running {
                p {
                    @if dispute.index == 0 { "Wrong check words" } @else { "Dispute " (dispute.index) }
                    " in the last round: " (dispute.disputing.len()) " holders dispute, "
                    (dispute.answered.len()) " have answered, " (dispute.judging.len())
                    " have judged."
                }
            }
            @if !trust.barred.is_empty() {
                p { strong { "Barred: " } (few(&trust.barred, 12)) ". They contribute no more." }
            }
            @if !trust.pairs.is_empty() {
                p { strong { "In doubt: " }
                    @for (place, pair) in trust.pairs.iter().take(12).enumerate() {
                        @if place > 0 { "; " }
                        bdi { (pair.holder) } " accuses " bdi { (pair.dealer) }
                    }
                    @if trust.pairs.len() > 12 { " and " (trust.pairs.len() - 12) " more pairs" }
                    ". One of each pair is wrong." }
            }
            @if !named.is_empty() {
                ul {
                    @for glance in named {
                        li { a href={ "/studies/" (id) "/rounds/" (glance.round) "#named" } { "Round " (glance.round) }
                             ": " (self::named(glance)) }
                    }
                }
            }
        },
    )
}

fn log_head(live: &LiveStudy, cosigned: &[Cosigned]) -> Result<Markup, Refusal> {
    let head = live.log_head()?;
    let root = head.checkpoint.root;
    Ok(card(
        "log",
        "The log's head",
        html! {
            p.big { (grouped(head.checkpoint.size)) span.unit { " statements" } }
            p { "Every statement of the study is a leaf of this log, in the order in which it was stored. \
                 The sites keep the last head that they saw; one who is shown another history can prove it." }
            (facts(&[("Root", html! { code.long { (root) } })]))
            details {
                summary { "The signed checkpoint" }
                pre tabindex="0" { (head.note) }
            }
            (witnesses(live, cosigned))
        },
    ))
}

/// Which sites have cosigned which state of the log.
fn witnesses(live: &LiveStudy, cosigned: &[Cosigned]) -> Markup {
    let sites = live.at_last().study.roster.len();
    let rows = html! {
        @for of in cosigned.iter().rev() {
            tr {
                th scope="row" { bdi { (of.site) } }
                td.number { (grouped(of.size)) }
                td { (time(of.at)) }
            }
        }
    };
    html! {
        @if cosigned.is_empty() {
            p { "No site has cosigned it yet." }
        } @else {
            details {
                summary { "Cosigned by " (cosigned.len()) " of " (counted(sites, "site")) }
                (table("Which state of the log each site has cosigned last", &["Site", "Statements", "When"], rows))
            }
        }
    }
}

fn thresholds(study: &Study) -> Markup {
    let threshold = study.threshold;
    card(
        "thresholds",
        "Thresholds",
        html! {
            (facts(&[
                ("Key holders of a round (m)", html! { (threshold.holders) }),
                ("May collude, with each other and this server (c)", html! { (threshold.collusion) }),
                ("Endorsements that certify a set (Q)", html! { (threshold.endorsements) }),
                ("Openings that open its sum (t)", html! { (threshold.opening) }),
                ("Fewest contributions in a sum", html! { (study.min_sites) }),
            ]))
            @if let Some(rounds) = study.training.rounds() {
                p.quiet { "The training plan has " (counted(rounds as usize, "round")) "." }
            }
        },
    )
}
