//! A round: its ring, receipts, the set and who is not in it, and its statements with their places in
//! the log.

use maud::{Markup, html};
use ringfence_crypto::id::UnixSeconds;

use super::ring::ring;
use super::shell::{bytes, card, counted, facts, few, grouped, short, table, time};
use super::sites::sites;
use super::steps::{steps, waiting};
use super::study::margin;
use super::words;
use crate::core::round_view::{RoundView, SHOWN};
use crate::core::rounds::LiveStudy;

/// The page.
pub(super) fn page(
    live: &LiveStudy,
    view: &RoundView,
    (halted, now): (Option<String>, UnixSeconds),
) -> Markup {
    let number = view.status.round;
    let served = live.in_force(number);
    html! {
        div.title {
            h1 { "Round " (number) " " (words::state(view.status.state)) }
            p.lead { bdi { (served.study.name) } " · manifest " (short(view.summary.manifest)) }
        }
        div.grid {
            (card("now", "How far it is", html! {
                (steps(view.status.state))
                (waiting(view, halted.as_deref(), now))
            }))
            (card("ring", "The ring", html! {
                div.ring-and-sites { div { (ring(view)) } (sites(view)) }
            }))
            (set(view))
            (margin(&served.study, view.margin))
            (receipts(view))
            (statements(view))
        }
    }
}

fn set(view: &RoundView) -> Markup {
    let summary = &view.summary;
    let certified = view.waits.is_none() || summary.sum.is_some();
    card(
        "set",
        "The set",
        html! {
            @if summary.sum.is_none() && !certified {
                p { "Not certified yet: no sum is opened before the key holders have signed that there is one \
                     set and no other." }
            } @else {
                p.big { (grouped(summary.included.len() as u64)) span.unit { " contributions" } }
            }
            (facts(&[
                ("Endorsed by", html! {
                    (grouped(summary.endorsed as u64)) " of " (view.status.endorsements_needed) " that are needed"
                }),
                ("Opened by", html! {
                    (grouped(summary.opened.len() as u64)) " of " (view.status.openings_needed) " that are needed"
                }),
                ("Certificate", html! {
                    @match (&summary.closing, certified) {
                        (Some(closing), true) => { "of closing " (short(closing)) },
                        (Some(closing), false) => { "not yet; closing " (short(closing)) },
                        (None, _) => "not yet",
                    }
                }),
                ("Sum", html! { @match &summary.sum { Some(sum) => (short(sum)), None => "none" } }),
            ]))
            @if !summary.excluded.is_empty() {
                h3 { "Left out" }
                ul {
                    @for left in summary.excluded.iter().take(SHOWN) {
                        li { bdi { (left.site) } ": " (words::left_out(left.reason)) }
                    }
                }
            }
            @if !summary.absent.is_empty() && view.summary.closed_at.is_some() {
                h3 { "Did not contribute" }
                p { (few(&summary.absent, 24)) }
            }
            @if !summary.named.is_empty() {
                h3 #named { "Named" }
                ul {
                    @for named in &summary.named {
                        li {
                            (few(&named.sites, 12)) ": "
                            @match named.position {
                                Some((block, coefficient)) => {
                                    "the sum did not decode at block " (grouped(block)) ", coefficient " (coefficient)
                                },
                                None => "wrong check words",
                            }
                        }
                    }
                }
            }
        },
    )
}

fn place(leaf: Option<u64>) -> Markup {
    html! { @match leaf { Some(leaf) => (grouped(leaf)), None => span.quiet { "none" } } }
}

fn receipts(view: &RoundView) -> Markup {
    let rows = html! {
        @for received in &view.received {
            tr {
                th scope="row" { bdi { (received.site) } }
                td { (time(received.at)) }
                td.number { (bytes(received.body_bytes)) }
                td { (short(received.body)) }
                td.number { (place(received.leaf)) }
            }
        }
    };
    card(
        "receipts",
        "Receipts",
        html! {
            @if view.received.is_empty() {
                p { "None yet." }
            } @else {
                p { "This server's signed word that a contribution is durably stored. Each is a leaf of the log." }
                (table("Receipts, by site", &["Site", "Stored", "Body", "Digest of the body", "Leaf"], rows))
                (the_first(view.received.len(), view.status.received.len(), "receipt"))
            }
        },
    )
}

fn the_first(shown: usize, all: usize, of: &str) -> Markup {
    html! {
        @if shown < all {
            p.quiet { "The first " (shown) " of " (counted(all, of)) "; the round's file for an audit has all." }
        }
    }
}

fn statements(view: &RoundView) -> Markup {
    let rows = html! {
        @for said in &view.said {
            tr {
                th scope="row" { (said.kind) }
                td { @match &said.by { Some(site) => bdi { (site) }, None => "this server" } }
                td { (short(said.digest)) }
                td.number { (place(said.leaf)) }
            }
        }
    };
    let id = view.status.study;
    card(
        "statements",
        "Statements",
        html! {
            p { "Who has signed what, beside headers and receipts. Each of them whole, with its proof, is in \
             the round's file for " code { "ringfence-audit" } ", which a program fetches with the token: "
            code { "GET /v2/studies/" (id) "/rounds/" (view.status.round) "/proof" } }
            (table("Statements of the round", &["Kind", "Signed by", "Digest", "Leaf"], rows))
            @if view.said.len() > SHOWN { p.quiet { "Of each kind the first " (SHOWN) "." } }
        },
    )
}
