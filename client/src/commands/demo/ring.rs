//! The ring, drawn: who opened the round and who held its keys.

use std::fmt::Write;

use ringfence_federation::RoundReport;

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

const SIDE: f64 = 340.0;
const COLUMNS: usize = 3;
/// Width that the legend takes.
const LEGEND: f64 = 620.0;

/// The ring of every round as an SVG picture.
pub(super) fn svg(sites: &[&str], rounds: &[RoundReport]) -> String {
    let columns = rounds.len().clamp(1, COLUMNS);
    let rows = rounds.len().div_ceil(columns);
    let (width, height) = ((columns as f64 * SIDE).max(LEGEND), rows as f64 * SIDE + 40.0);
    let mut out = String::new();
    let _ = write!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">
<title>The ring of sites in every round: initiator and key holders</title>
<rect width="100%" height="100%" fill="#ffffff"/>
"##
    );
    for (index, round) in rounds.iter().enumerate() {
        let (column, row) = (index % columns, index / columns);
        draw(&mut out, sites, round, column as f64 * SIDE, row as f64 * SIDE);
    }
    let y = height - 18.0;
    let _ = write!(
        out,
        r##"<circle cx="30" cy="{y}" r="9" fill="#1b6ca8"/><text x="46" y="{0}">key holder, opened its share</text>
<circle cx="270" cy="{y}" r="9" fill="#ffffff" stroke="#1b6ca8" stroke-width="2"/><text x="286" y="{0}">key holder, silent</text>
<circle cx="440" cy="{y}" r="9" fill="#c9ced4"/><text x="456" y="{0}">site</text>
<circle cx="520" cy="{y}" r="12" fill="none" stroke="#d9822b" stroke-width="3"/><text x="540" y="{0}">initiator</text>
</svg>
"##,
        y + 5.0
    );
    out
}

fn draw(out: &mut String, sites: &[&str], round: &RoundReport, x: f64, y: f64) {
    let (cx, cy, radius) = (x + SIDE / 2.0, y + SIDE / 2.0 + 6.0, SIDE * 0.29);
    let _ = writeln!(
        out,
        r##"<circle cx="{cx}" cy="{cy}" r="{radius}" fill="none" stroke="#c9ced4" stroke-width="2"/>
<text x="{cx}" y="{0}" text-anchor="middle" font-size="15" font-weight="bold">round {1}</text>
<text x="{cx}" y="{2}" text-anchor="middle" fill="#555">{3} of {4} contributions</text>"##,
        cy - 2.0,
        round.round,
        cy + 18.0,
        round.contributions,
        sites.len(),
    );
    for (position, site) in sites.iter().enumerate() {
        let angle = std::f64::consts::TAU * position as f64 / sites.len() as f64
            - std::f64::consts::FRAC_PI_2;
        let (px, py) = (cx + radius * angle.cos(), cy + radius * angle.sin());
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
        // Below the lower half's dots, above the upper half's, so that the ring stays free.
        let label = if angle.sin() > -0.2 { py + 30.0 } else { py - 20.0 };
        let _ = writeln!(
            out,
            r##"<text x="{px:.1}" y="{label:.1}" text-anchor="middle">{site}</text>"##
        );
    }
}
