//! How far a round has come: its steps, for whom it waits, and until when.

use maud::{Markup, html};
use ringfence_crypto::id::UnixSeconds;
use ringfence_crypto::round::RoundState;

use super::shell::{facts, few, grouped, time, time_from};
use super::words;
use crate::core::round_view::{RoundView, Waits};

/// Sites that are named at most of those that are waited for.
const NAMED: usize = 12;

/// The steps, with the one that the round is in.
pub(super) fn steps(state: RoundState) -> Markup {
    let at = words::STEPS.iter().position(|(of, ..)| *of == state);
    html! {
        ol.steps {
            @for (place, (of, name, what)) in words::STEPS.iter().enumerate() {
                @let is_now = *of == state;
                @let is_done = at.is_some_and(|at| place < at) || (is_now && state == RoundState::Opened);
                li.done[is_done].now[is_now && !is_done] aria-current=[is_now.then_some("step")] {
                    span.name { (name) @if is_done { span.visually-hidden { ", done" } } }
                    span.what { (what) }
                }
            }
        }
        @if state == RoundState::Aborted {
            p.said { "The round was aborted: its certified set is empty, and nothing is opened." }
        }
    }
}

/// For whom the round waits, in words, with what holds it up.
pub(super) fn waiting(view: &RoundView, halted: Option<&str>, now: UnixSeconds) -> Markup {
    html! {
        @if let Some(reason) = halted {
            p.said role="alert" { strong { "It does not go on by itself: " } (reason) }
        }
        @if !view.status.wanted.is_empty() {
            p.said {
                strong { "Bytes are to be sent again " } "by "
                (few(&view.status.wanted.iter().map(|wanted| &wanted.site).collect::<Vec<_>>(), NAMED))
                ": this server lost or damaged them."
            }
        }
        @match &view.waits {
            None => p.waits { "Over: it waits for nobody." },
            Some(waits) => (waits_for(waits, now)),
        }
        (facts(&[
            ("Opened by", html! { bdi { (view.status.initiator) } }),
            ("Opened at", time(view.summary.opened_at)),
            ("Contributions", html! {
                (grouped(view.status.received.len() as u64)) " of " (grouped(view.roster.len() as u64))
                ", " (view.summary.min_sites) " are needed"
            }),
            ("Acknowledged", html! {
                (grouped(view.status.acknowledged.len() as u64)) " of "
                (grouped(view.roster.len() as u64))
            }),
        ]))
    }
}

fn waits_for(waits: &Waits, now: UnixSeconds) -> Markup {
    html! {
        p.waits {
            "Waits for " strong { (waits.what) } ": " (grouped(waits.have as u64)) " of "
            (grouped(waits.needed as u64))
            @if waits.have + waits.whom.len() > waits.needed { " needed" }
            @if let Some(until) = waits.until { ", until " (time_from(until, now)) ", if they do not come before" }
            "."
        }
        @if !waits.whom.is_empty() {
            p.quiet { "Not yet: " (few(&waits.whom, NAMED)) "." }
        }
    }
}
