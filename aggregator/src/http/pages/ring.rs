//! The ring of a round, drawn: who opened it, who holds keys, who has contributed and acknowledged.
//!
//! Each of these is a shape of its own, so that no colour is needed to tell them apart; the table of
//! sites beside it says the same in words.

use std::f64::consts::TAU;

use maud::{Markup, html};
use ringfence_crypto::round::RoundStatus;

use super::shell::counted;
use crate::core::round_view::RoundView;

/// Sites up to which each has its number in the picture, and up to which each is drawn.
const NUMBERED: usize = 40;
const DRAWN: usize = 400;

const CENTRE: f64 = 200.0;
const RADIUS: f64 = 150.0;

/// What is drawn of a site.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    /// It opened the round.
    pub(super) initiates: bool,
    /// It holds keys.
    pub(super) holds: bool,
    /// Its contribution has a receipt.
    pub(super) contributed: bool,
    /// It has acknowledged the mean.
    pub(super) acknowledged: bool,
    /// It is barred.
    pub(super) barred: bool,
}

/// The part of each site, in ring order.
pub(super) fn parts(view: &RoundView) -> Vec<Part> {
    let status = &view.status;
    let part = |(place, site): (usize, &ringfence_crypto::id::SiteId)| Part {
        initiates: *site == status.initiator,
        holds: status.holders.contains(site),
        contributed: status.received.has(place),
        acknowledged: status.acknowledged.has(place),
        barred: view.summary.trust.bars(site),
    };
    view.roster.iter().enumerate().map(part).collect()
}

/// The picture, with a title and a description.
pub(super) fn ring(view: &RoundView) -> Markup {
    let (status, parts) = (&view.status, parts(view));
    let sites = parts.len();
    let size = match sites {
        0..=12 => 17.0,
        13..=24 => 13.0,
        25..=NUMBERED => 9.0,
        _ => (TAU * RADIUS / sites as f64 / 2.6).clamp(1.5, 7.0),
    };
    let first = view.roster.iter().position(|site| status.holders.first() == Some(site));
    html! {
        svg.ring viewBox="0 0 400 400" role="img" aria-labelledby="ring-title ring-text" {
            title #ring-title { "The ring of round " (status.round) }
            desc #ring-text { (described(view)) }
            circle.line cx=(CENTRE) cy=(CENTRE) r=(RADIUS) {}
            @if let Some(first) = first {
                path.window d=(arc(sites, first, status.holders.len())) {}
            }
            @if sites <= DRAWN {
                @for (place, part) in parts.iter().enumerate() {
                    (site(at(sites, place as f64), size, (*part, (sites <= NUMBERED).then_some(place + 1))))
                }
            } @else {
                path.share d=(arc(sites, 0, status.received.len())) {}
            }
            text.round x="200" y="182" { "Round " (status.round) }
            text.count x="200" y="216" {
                (status.received.len()) tspan.of { " / " (sites) }
            }
            text.what x="200" y="242" { "contributions" }
        }
        (legend())
    }
}

fn described(view: &RoundView) -> String {
    let status: &RoundStatus = &view.status;
    let holders: Vec<&str> = status.holders.iter().take(12).map(|site| site.as_str()).collect();
    let more = match status.holders.len().saturating_sub(12) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} on a ring. {} opened the round. Key holders: {}{more}. {} of them have contributed, {} have acknowledged the mean. The table of sites says the same of each.",
        counted(view.roster.len(), "site"),
        status.initiator,
        holders.join(", "),
        status.received.len(),
        status.acknowledged.len(),
    )
}

/// The angle of a place, from the top on.
fn angle(sites: usize, place: f64) -> f64 {
    TAU * place / sites.max(1) as f64 - TAU / 4.0
}

fn at(sites: usize, place: f64) -> (f64, f64) {
    let angle = angle(sites, place);
    (CENTRE + RADIUS * angle.cos(), CENTRE + RADIUS * angle.sin())
}

/// The part of the ring over so many places from one on.
fn arc(sites: usize, first: usize, count: usize) -> String {
    // All of it would begin where it ends.
    let (count, sites_drawn) = (count.min(sites) as f64, sites as f64);
    let (from, to) = (first as f64 - 0.5, first as f64 + (count - 0.5).min(sites_drawn - 0.501));
    let ((x, y), (u, v)) = (at(sites, from), at(sites, to));
    let large = u8::from(to - from > sites_drawn / 2.0);
    format!("M {x:.2} {y:.2} A {RADIUS} {RADIUS} 0 {large} 1 {u:.2} {v:.2}")
}

fn site((x, y): (f64, f64), size: f64, (part, number): (Part, Option<usize>)) -> Markup {
    let [left, top] = [x - size, y - size].map(rounded);
    let (cx, cy) = (rounded(x), rounded(y));
    html! {
        g.site.in[part.contributed].holder[part.holds].barred[part.barred] {
            @if part.initiates {
                circle.initiator cx=(cx) cy=(cy) r=(rounded(size * 1.75)) {}
            }
            @if part.holds {
                rect x=(left) y=(top) width=(rounded(size * 2.0)) height=(rounded(size * 2.0)) rx=(rounded(size / 3.5)) {}
            } @else {
                circle cx=(cx) cy=(cy) r=(rounded(size)) {}
            }
            @if let Some(number) = number {
                text x=(cx) y=(rounded(y + size * 0.32)) font-size=(rounded(size * 0.95)) { (number) }
            }
            @if part.acknowledged {
                (tick(x + size * 0.85, y - size * 0.85, size * 0.5))
            }
        }
    }
}

fn tick(x: f64, y: f64, size: f64) -> Markup {
    let d = format!(
        "M {:.2} {:.2} l {:.2} {:.2} l {:.2} {:.2}",
        x - size * 0.5,
        y,
        size * 0.38,
        size * 0.42,
        size * 0.66,
        -size * 0.86
    );
    html! {
        circle.badge cx=(rounded(x)) cy=(rounded(y)) r=(rounded(size)) {}
        path.tick d=(d) {}
    }
}

fn rounded(value: f64) -> String {
    format!("{value:.2}")
}

fn legend() -> Markup {
    let sample = |part: Part| {
        html! { svg viewBox="0 0 40 40" width="26" height="26" aria-hidden="true" { (site((20.0, 20.0), 10.0, (part, None))) } }
    };
    let none = Part::default();
    html! {
        ul.legend aria-label="Shapes of the ring" {
            li { (sample(Part { initiates: true, ..none })) "opened the round" }
            li { (sample(Part { holds: true, ..none })) "key holder" }
            li { (sample(none)) "not yet" }
            li { (sample(Part { contributed: true, ..none })) "contributed" }
            li { (sample(Part { contributed: true, acknowledged: true, ..none })) "acknowledged" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_an_arc_from_its_first_holder_to_its_last() {
        // Four sites, two holders from the top on: from an eighth before it to three eighths after it.
        let drawn = arc(4, 0, 2);
        let (x, y) = at(4, -0.5);
        assert!(drawn.starts_with(&format!("M {x:.2} {y:.2} ")), "{drawn}");
        assert!(drawn.contains(" 0 0 1 "), "not the larger part: {drawn}");
        let all = arc(4, 0, 4);
        assert!(all.contains(" 0 1 1 "), "{all}");
        let numbers: Vec<&str> = all.split(' ').collect();
        assert_ne!(numbers[1..3], numbers[numbers.len() - 2..], "an arc onto itself is nothing");
    }
}
