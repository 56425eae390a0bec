//! Charts as SVG: learning curves and bars by site.

mod label;

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::coord::ranged1d::BoldPoints;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use ringfence_durable::Readers;

pub(crate) use label::shortened;
use label::{digits, whole};

/// Colours that people with any colour vision tell apart (Okabe and Ito, "Color Universal Design",
/// 2008), the darkest first.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

const INK: RGBColor = RGBColor(32, 36, 44);
const GRID: RGBColor = RGBColor(225, 227, 230);
const FONT: &str = "sans-serif";
/// Width for one letter of a text of 14 px.
const LETTER: f64 = 7.5;
/// Labels of the axis of scores, at most.
const TICKS: usize = 11;
/// What stands where a score is undefined.
const UNDEFINED: &str = "undefined";
/// Widest chart, in pixels.
const WIDEST: u32 = 1600;

/// A chart that cannot be drawn or written.
#[derive(Debug, thiserror::Error)]
#[error("{}: the chart cannot be written: {reason}", path.display())]
pub struct ChartError {
    path: PathBuf,
    reason: String,
}

/// One line of a chart: a score by round, drawn in the middle of its spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// As in the legend.
    pub name: String,
    /// A place on the axis of rounds, and the score of each run there: one, or one a seed.
    pub points: Vec<(u32, Vec<f64>)>,
}

/// One colour of bars: a score for each group, from one run or one a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// As in the legend.
    pub name: String,
    /// For each group its runs' scores.
    pub values: Vec<Vec<f64>>,
}

/// Writes learning curves: the mean over runs as a line, least to greatest as a band. `rounds` says
/// what the axis of rounds counts.
///
/// # Errors
/// [`ChartError`] naming the file.
pub fn curves(
    path: &Path,
    title: &str,
    (rounds, score): (&str, &str),
    curves: &[Curve],
) -> Result<(), ChartError> {
    write(path, (820, 460), &|page| {
        page.fill(&WHITE)?;
        let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
        let area = heading(page, title, &names)?;
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let last = points().map(|(round, _)| *round).max().unwrap_or(1).max(1);
        let highest = points().flat_map(|(_, runs)| runs).copied().fold(0.0, f64::max);
        let decimals = digits(&ticks(ceiling(highest)));
        let mut chart = ChartBuilder::on(&area)
            .margin_right(24)
            .margin_left(14)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..f64::from(last), 0.0..ceiling(highest))?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, 14).into_font().color(&INK))
            .x_labels(usize::try_from(last.min(12)).unwrap_or(12) + 1)
            .x_label_formatter(&|round| whole(*round))
            .y_labels(TICKS)
            .y_label_formatter(&|value| format!("{value:.decimals$}"))
            .x_desc(rounds)
            .y_desc(score)
            .draw()?;
        for (curve, colour) in curves.iter().zip(colours()) {
            let at = |of: fn(&[f64]) -> f64| {
                curve.points.iter().map(move |(round, runs)| (f64::from(*round), of(runs)))
            };
            let band: Vec<_> = at(least).chain(at(greatest).rev()).collect();
            chart.draw_series([Polygon::new(band, colour.mix(0.15))])?;
            chart.draw_series(LineSeries::new(at(mean), colour.stroke_width(2)))?;
        }
        Ok(())
    })
}

/// Writes bars by group (a site, say): the mean over runs as a bar, least to greatest as a line. In the
/// place of one without a score stands that it is undefined.
///
/// # Errors
/// [`ChartError`] naming the file.
pub fn bars(
    path: &Path,
    title: &str,
    score: &str,
    groups: &[String],
    series: &[Bars],
) -> Result<(), ChartError> {
    let longest = groups.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let group = (40 + 26 * series.len()).max((longest + 2) * LETTER as usize);
    let width = u32::try_from(140 + groups.len() * group).unwrap_or(WIDEST).clamp(560, WIDEST);
    write(path, (width, 460), &|page| {
        page.fill(&WHITE)?;
        let names: Vec<&str> = series.iter().map(|bars| bars.name.as_str()).collect();
        let area = heading(page, title, &names)?;
        let all = series.iter().flat_map(|bars| bars.values.iter().flatten());
        let highest = all.copied().fold(0.0, f64::max);
        let decimals = digits(&ticks(ceiling(highest)));
        let mut chart = ChartBuilder::on(&area)
            .margin_right(16)
            .margin_left(14)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..ceiling(highest))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, 14).into_font().color(&INK))
            .x_labels(0)
            .y_labels(TICKS)
            .y_label_formatter(&|value| format!("{value:.decimals$}"))
            .y_desc(score)
            .draw()?;
        // Four fifths of a group's width for its bars, the rest between groups.
        let bar = 0.8 / series.len().max(1) as f64;
        for (place, (bars, colour)) in series.iter().zip(colours()).enumerate() {
            for (group, runs) in bars.values.iter().enumerate() {
                let left = group as f64 + 0.1 + place as f64 * bar;
                if runs.is_empty() {
                    let (x, y) = chart.backend_coord(&(left + bar / 2.0, 0.0));
                    // From below upwards: a bar is narrower than a word.
                    let style = text(13).transform(FontTransform::Rotate270);
                    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
                    page.draw(&Text::new(UNDEFINED, (x, y - 6), style.color(&colour)))?;
                    continue;
                }
                let corners = [(left + bar * 0.06, 0.0), (left + bar * 0.94, mean(runs))];
                chart.draw_series([Rectangle::new(corners, colour.filled())])?;
                if runs.len() > 1 {
                    let middle = left + bar / 2.0;
                    let spread = vec![(middle, least(runs)), (middle, greatest(runs))];
                    chart.draw_series([PathElement::new(spread, INK.stroke_width(2))])?;
                }
            }
        }
        let style = text(13).pos(Pos::new(HPos::Center, VPos::Top));
        let across = f64::from(width - 90) / groups.len().max(1) as f64;
        let letters = ((across / LETTER) as usize).saturating_sub(1);
        for (group, name) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
            page.draw(&Text::new(shortened(name, letters), (x, y + 8), style.clone()))?;
        }
        Ok(())
    })
}

/// Draws a chart of this size and writes it.
fn write(
    path: &Path,
    size: (u32, u32),
    draw: &dyn Fn(&Area<'_>) -> Drawn,
) -> Result<(), ChartError> {
    let chart = || -> Drawn {
        let mut svg = String::new();
        let page = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&page)?;
        page.present()?;
        drop(page);
        Ok(ringfence_durable::write(path, svg.as_bytes(), Readers::Usual)?)
    };
    chart().map_err(|error| ChartError { path: path.to_path_buf(), reason: error.to_string() })
}

type Drawn = Result<(), Box<dyn Error>>;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws the title and the legend below it, in as many lines as it takes; the area that is left.
fn heading<'a>(root: &Area<'a>, title: &str, names: &[&str]) -> Result<Area<'a>, Box<dyn Error>> {
    let (width, _) = root.dim_in_pixel();
    let places = legend(names, width);
    let lines = places.last().map_or(1, |(_, line)| line + 1);
    let (head, rest) = root.split_vertically(44 + 20 * lines);
    head.draw(&Text::new(title.to_owned(), (16, 10), text(18)))?;
    for ((name, colour), (x, line)) in names.iter().zip(colours()).zip(places) {
        let y = 42 + 20 * line;
        head.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
        head.draw(&Text::new((*name).to_owned(), (x + 18, y - 2), text(14)))?;
    }
    Ok(rest)
}

/// Where each name of a legend begins, in pixels, and on which line.
fn legend(names: &[&str], width: u32) -> Vec<(i32, i32)> {
    let (mut x, mut line) = (16, 0);
    let width = i32::try_from(width).unwrap_or(i32::MAX);
    let place = |name: &&str| {
        let takes = 40 + (name.chars().count() as f64 * LETTER) as i32;
        if x > 16 && x + takes > width {
            (x, line) = (16, line + 1);
        }
        let at = (x, line);
        x += takes;
        at
    };
    names.iter().map(place).collect()
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// The upper end of the axis: the next tenth above the highest value, 1 at most.
fn ceiling(highest: f64) -> f64 {
    ((highest * 10.0 + 0.5).ceil() / 10.0).clamp(0.1, 1.0)
}

/// Where the axis of scores is labelled.
fn ticks(ceiling: f64) -> Vec<f64> {
    RangedCoordf64::from(0.0..ceiling).key_points(BoldPoints(TICKS))
}

fn mean(runs: &[f64]) -> f64 {
    runs.iter().sum::<f64>() / runs.len().max(1) as f64
}

fn least(runs: &[f64]) -> f64 {
    runs.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(runs: &[f64]) -> f64 {
    runs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

/// A colour for each curve or bar: [`COLOURS`], then their darker halves.
fn colours() -> impl Iterator<Item = RGBColor> {
    let darker = |RGBColor(red, green, blue): &RGBColor| RGBColor(red / 2, green / 2, blue / 2);
    COLOURS.iter().copied().chain(COLOURS.iter().map(darker)).cycle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_labels_of_an_axis_are_alike_and_none_is_rounded() {
        for tenth in 1..=10 {
            let ticks = ticks(f64::from(tenth) / 10.0);
            let decimals = digits(&ticks);
            let labels: Vec<String> = ticks.iter().map(|v| format!("{v:.decimals$}")).collect();
            assert!(labels.windows(2).all(|two| two[0] != two[1]), "{labels:?}");
            assert!(decimals <= 2 && ticks.len() >= 3, "{labels:?}");
        }
    }

    fn drawn(draw: impl Fn(&Path) -> Result<(), ChartError>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chart.svg");
        draw(&path).unwrap();
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn an_undefined_score_is_said_in_the_place_of_its_bar() {
        let bars = |values: &[Vec<f64>]| {
            let series = [Bars { name: "local".into(), values: values.to_vec() }];
            let groups = ["a", "b"].map(String::from);
            drawn(|path| super::bars(path, "t", "macro-F1", &groups, &series))
        };
        assert_eq!(bars(&[vec![], vec![]]).matches("undefined").count(), 2);
        assert_eq!(bars(&[vec![0.5], vec![]]).matches("undefined").count(), 1);
        assert_eq!(bars(&[vec![0.5], vec![0.0]]).matches("undefined").count(), 0);
    }

    #[test]
    fn a_curve_says_what_its_rounds_count() {
        let curve = Curve { name: "a".into(), points: vec![(0, vec![0.5]), (1, vec![0.6])] };
        let svg = drawn(|path| {
            curves(path, "t", ("rounds done", "accuracy"), std::slice::from_ref(&curve))
        });
        assert!(svg.contains("rounds done") && svg.contains("accuracy"), "{svg}");
    }

    #[test]
    fn eight_budgets_have_a_colour_each() {
        let colours: Vec<_> = colours().take(14).map(|RGBColor(r, g, b)| (r, g, b)).collect();
        let apart: std::collections::BTreeSet<_> = colours.iter().collect();
        assert_eq!(apart.len(), 14);
    }

    #[test]
    fn a_legend_that_is_too_wide_goes_on_below() {
        let names = ["fedavg, fine-tuned", "perfedavg, fine-tuned", "local"];
        assert_eq!(legend(&names, 1000).iter().map(|(_, line)| *line).collect::<Vec<_>>(), [0; 3]);
        let narrow = legend(&names, 420);
        assert_eq!(narrow.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(narrow[2].0, 16);
    }
}
