//! The comparison as an SVG: horizontal bars on log scales, one panel for the time to encrypt and
//! one for the bytes that a site uploads.

use std::fmt::Write;

use super::report::{Row, digits, seconds};

const WIDTH: f64 = 1120.0;
const LABELS: f64 = 190.0;
const PANEL: f64 = 345.0;
const GAP: f64 = 110.0;
const TOP: f64 = 96.0;
const BAR: f64 = 20.0;
const STEP: f64 = 32.0;

/// One panel: what it shows, and how a figure is written.
struct Panel {
    title: &'static str,
    figure: fn(&Row) -> Option<f64>,
    show: fn(f64) -> String,
    tick: fn(f64) -> String,
    left: f64,
}

fn power(value: f64, units: &[(f64, &str)]) -> String {
    let unit = units.iter().find(|(size, _)| value >= size * 0.999);
    unit.map_or_else(|| digits(value), |(size, name)| format!("{:.0}{name}", value / size))
}

fn panels() -> [Panel; 2] {
    [
        Panel {
            title: "Encrypt at one site (quantize, pack, encrypt)",
            figure: |row| row.encrypt_seconds,
            show: seconds,
            tick: |value| power(value, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " us")]),
            left: LABELS,
        },
        Panel {
            title: "Uploaded by one site, bytes a parameter",
            figure: |row| row.bytes_per_parameter,
            show: digits,
            tick: |value| power(value, &[(1e6, " M"), (1e3, " k"), (1.0, "")]),
            left: LABELS + PANEL + GAP,
        },
    ]
}

/// The chart of all rows that have figures; `title` and `note` are plain text.
pub fn svg(rows: &[Row], title: &str) -> String {
    let drawn: Vec<&Row> = rows.iter().filter(|row| row.encrypt_seconds.is_some()).collect();
    let bottom = TOP + STEP * drawn.len() as f64;
    let height = bottom + 62.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" font-family=\"Helvetica, Arial, sans-serif\" \
         font-size=\"13\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, [24.0, 32.0], "start", "font-size=\"18\" font-weight=\"bold\"", title);
    for (index, row) in drawn.iter().enumerate() {
        let weight = if row.scheme == "ringfence" { "font-weight=\"bold\"" } else { "" };
        let name = if row.extrapolated { format!("{} *", row.scheme) } else { row.scheme.clone() };
        text(&mut svg, [LABELS - 10.0, middle(index)], "end", weight, &name);
    }
    for panel in panels() {
        draw(&mut svg, &panel, &drawn, bottom);
    }
    let note = "Log scales; shorter is better. * measured on fewer values, scaled linearly. \
                Settings of each scheme: see the JSON beside this chart.";
    text(&mut svg, [24.0, height - 14.0], "start", "font-size=\"12\" fill=\"#555\"", note);
    svg.push_str("</svg>\n");
    svg
}

/// Baseline of the text of a row.
fn middle(index: usize) -> f64 {
    TOP + STEP * index as f64 + BAR / 2.0 + 10.5
}

fn draw(svg: &mut String, panel: &Panel, rows: &[&Row], bottom: f64) {
    let values = || rows.iter().filter_map(|row| (panel.figure)(row)).filter(|value| *value > 0.0);
    let (low, high) = values().fold((f64::MAX, 0.0f64), |(a, b), v| (a.min(v), b.max(v)));
    if high == 0.0 {
        return;
    }
    // Whole decades, and a stretch to the left so that the shortest bar can be seen.
    let (first, last) = ((low / 1.5).log10().floor(), high.log10().ceil());
    let decades = (last - first).max(1.0);
    let place = |value: f64| panel.left + PANEL * (value.log10() - first) / decades;
    text(svg, [panel.left, 66.0], "start", "font-weight=\"bold\"", panel.title);
    // Seven labels fit.
    let every = (decades / 6.0).ceil() as usize;
    for decade in (0..=decades as usize).step_by(every) {
        let value = 10f64.powf(first + decade as f64);
        let x = place(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>",
            TOP - 8.0
        );
        let style = "font-size=\"11\" fill=\"#666\"";
        text(svg, [x, bottom + 16.0], "middle", style, &(panel.tick)(value));
    }
    for (index, row) in rows.iter().enumerate() {
        let Some(value) = (panel.figure)(row).filter(|value| *value > 0.0) else { continue };
        let colour = match (row.scheme.as_str(), row.extrapolated) {
            ("ringfence", _) => "#0b6e4f",
            (_, true) => "#c9ced6",
            (_, false) => "#8793a6",
        };
        let (end, y) = (place(value), TOP + STEP * index as f64 + 6.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>",
            panel.left,
            end - panel.left
        );
        text(svg, [end + 6.0, middle(index)], "start", "", &(panel.show)(value));
    }
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, style: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{content}</text>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scheme: &str, seconds: f64, bytes: f64) -> Row {
        let (encrypt_seconds, bytes_per_parameter) = (Some(seconds), Some(bytes));
        Row { scheme: scheme.into(), encrypt_seconds, bytes_per_parameter, ..Row::default() }
    }

    fn bars(svg: &str) -> Vec<f64> {
        let rects = svg.lines().filter(|line| line.starts_with("<rect x="));
        rects
            .map(|l| l.split("width=\"").nth(1).unwrap().split('"').next().unwrap())
            .map(|w| w.parse().unwrap())
            .collect()
    }

    #[test]
    fn bars_are_on_a_log_scale_and_rows_without_figures_are_left_out() {
        let rows =
            [row("a", 0.01, 4.0), row("b", 1.0, 40.0), Row::default(), row("c", 100.0, 400.0)];
        let chart = svg(&rows, "a < b");
        let bars = bars(&chart);
        assert_eq!(bars.len(), 6);
        // Equal ratios, equal steps.
        assert!((bars[2] - bars[1] - (bars[1] - bars[0])).abs() < 0.2, "{bars:?}");
        assert!((bars[5] - bars[4] - (bars[4] - bars[3])).abs() < 0.2, "{bars:?}");
        assert!(bars.iter().all(|width| *width > 1.0 && *width <= PANEL + 0.1));
        assert!(chart.contains("a &lt; b"));
    }
}
