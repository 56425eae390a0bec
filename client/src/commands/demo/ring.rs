//! The ring, drawn: who opened the round and who held its keys.

mod geometry;

use std::fmt::Write;

use ringfence_federation::RoundReport;

use geometry::Geometry;

/// The ring on one line: `*` opened the round, `[...]` held keys.
pub(super) fn line(sites: &[&str], round: &RoundReport) -> String {
    let mark = |site: &&str| {
        let star = if round.initiator.as_str() == *site { "*" } else { "" };
        if round.holders.iter().any(|holder| holder.as_str() == *site) {
            format!("[{star}{site}]")
        } else {
            format!("{star}{site}")
        }
    };
    format!("{} -> (round again)", sites.iter().map(mark).collect::<Vec<_>>().join(" -> "))
}

const COLUMNS: usize = 3;
/// Width that the legend takes.
const LEGEND: f64 = 620.0;
/// Space between rows.
const HEADING: f64 = 12.0;

/// The ring of every round as an SVG picture.
pub(super) fn svg(sites: &[&str], rounds: &[RoundReport]) -> String {
    let ring = Geometry::of(sites);
    let columns = rounds.len().clamp(1, COLUMNS);
    let rows = rounds.len().div_ceil(columns);
    let (across, down) = (ring.side, ring.side + HEADING);
    let (width, height) = ((columns as f64 * across).max(LEGEND), rows as f64 * down + 40.0);
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1} {height:.1}" font-family="sans-serif" font-size="13">
<title>The ring of sites in every round: initiator and key holders</title>
<rect width="100%" height="100%" fill="#ffffff"/>
"##
    );
    for (index, round) in rounds.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        let centre =
            ((column as f64 + 0.5) * across, row as f64 * down + HEADING + ring.side / 2.0);
        draw(&mut out, &ring, sites, round, centre);
    }
    let y = height - 18.0;
    let _ = write!(
        out,
        r##"<circle cx="30" cy="{y:.1}" r="9" fill="#1b6ca8"/><text x="46" y="{0:.1}">key holder, opened its share</text>
<circle cx="270" cy="{y:.1}" r="9" fill="#ffffff" stroke="#1b6ca8" stroke-width="2"/><text x="286" y="{0:.1}">key holder, silent</text>
<circle cx="440" cy="{y:.1}" r="9" fill="#c9ced4"/><text x="456" y="{0:.1}">site</text>
<circle cx="520" cy="{y:.1}" r="12" fill="none" stroke="#d9822b" stroke-width="3"/><text x="540" y="{0:.1}">initiator</text>
</svg>
"##,
        y + 5.0
    );
    out
}

fn draw(
    out: &mut String,
    ring: &Geometry,
    sites: &[&str],
    round: &RoundReport,
    (cx, cy): (f64, f64),
) {
    let _ = writeln!(
        out,
        r##"<circle cx="{cx:.1}" cy="{cy:.1}" r="{0:.1}" fill="none" stroke="#c9ced4" stroke-width="2"/>
<text x="{cx:.1}" y="{1:.1}" text-anchor="middle" font-size="15" font-weight="bold">round {2}</text>
<text x="{cx:.1}" y="{3:.1}" text-anchor="middle" fill="#555">{4} of {5} contributions</text>"##,
        ring.radius,
        cy - 2.0,
        round.round,
        cy + 18.0,
        round.contributions,
        sites.len(),
    );
    for (place, site) in ring.sites.iter().zip(sites) {
        let (px, py) = (cx + place.x, cy + place.y);
        let holder = round.holders.iter().any(|holder| holder.as_str() == *site);
        let opened = round.opened_by.iter().any(|holder| holder.as_str() == *site);
        let style = match (holder, opened) {
            (true, true) => r##"fill="#1b6ca8""##,
            (true, false) => r##"fill="#ffffff" stroke="#1b6ca8" stroke-width="2""##,
            (false, _) => r##"fill="#c9ced4""##,
        };
        let _ = writeln!(out, r##"<circle cx="{px:.1}" cy="{py:.1}" r="10" {style}/>"##);
        if round.initiator.as_str() == *site {
            let _ = writeln!(
                out,
                r##"<circle cx="{px:.1}" cy="{py:.1}" r="14" fill="none" stroke="#d9822b" stroke-width="3"/>"##
            );
        }
        let (x, y) = (cx + place.name_x, cy + place.name_y);
        let _ = writeln!(
            out,
            r##"<text x="{x:.1}" y="{y:.1}" text-anchor="{}">{}</text>"##,
            place.anchor, place.name
        );
    }
}
