//! Charts as SVG: learning curves and bars by site.

use std::error::Error;
use std::path::{Path, PathBuf};

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use ringfence_durable::Readers;

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
/// Width for one letter of a legend's text of 14 px.
const LETTER: f64 = 7.5;

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
    /// Round, and the score of each run there: one, or one a seed.
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

/// Writes learning curves: the mean over runs as a line, least to greatest as a band.
///
/// # Errors
/// [`ChartError`] naming the file.
pub fn curves(path: &Path, title: &str, score: &str, curves: &[Curve]) -> Result<(), ChartError> {
    write(path, (820, 460), &|page| {
        page.fill(&WHITE)?;
        let names: Vec<&str> = curves.iter().map(|curve| curve.name.as_str()).collect();
        let area = heading(page, title, &names)?;
        let points = || curves.iter().flat_map(|curve| &curve.points);
        let last = points().map(|(round, _)| *round).max().unwrap_or(1).max(1);
        let highest = points().flat_map(|(_, runs)| runs).copied().fold(0.0, f64::max);
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
            .x_labels(usize::try_from(last.min(12)).unwrap_or(12))
            .x_label_formatter(&|round| format!("{round:.0}"))
            .y_label_formatter(&|value| format!("{value:.1}"))
            .x_desc("round")
            .y_desc(score)
            .draw()?;
        for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
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

/// Writes bars by group (a site, say): the mean over runs as a bar, least to greatest as a line.
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
    let width = (140 + groups.len() * (40 + 26 * series.len())).clamp(560, 1600);
    write(path, (u32::try_from(width).unwrap_or(1600), 460), &|page| {
        page.fill(&WHITE)?;
        let names: Vec<&str> = series.iter().map(|bars| bars.name.as_str()).collect();
        let area = heading(page, title, &names)?;
        let all = series.iter().flat_map(|bars| bars.values.iter().flatten());
        let highest = all.copied().fold(0.0, f64::max);
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
            .y_label_formatter(&|value| format!("{value:.1}"))
            .y_desc(score)
            .draw()?;
        // Four fifths of a group's width for its bars, the rest between groups.
        let bar = 0.8 / series.len().max(1) as f64;
        for (place, (bars, colour)) in series.iter().zip(COLOURS.iter().cycle()).enumerate() {
            for (group, runs) in bars.values.iter().enumerate().filter(|(_, r)| !r.is_empty()) {
                let left = group as f64 + 0.1 + place as f64 * bar;
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
        for (group, name) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
            page.draw(&Text::new(name.as_str(), (x, y + 8), style.clone()))?;
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

/// Draws the title and the legend below it; the area that is left.
fn heading<'a>(root: &Area<'a>, title: &str, names: &[&str]) -> Result<Area<'a>, Box<dyn Error>> {
    let (head, rest) = root.split_vertically(64);
    head.draw(&Text::new(title.to_owned(), (16, 10), text(18)))?;
    let mut x = 16;
    for (name, colour) in names.iter().zip(COLOURS.iter().cycle()) {
        head.draw(&Rectangle::new([(x, 42), (x + 12, 54)], colour.filled()))?;
        head.draw(&Text::new((*name).to_owned(), (x + 18, 40), text(14)))?;
        x += 40 + (name.chars().count() as f64 * LETTER) as i32;
    }
    Ok(rest)
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// The upper end of the axis: the next tenth above the highest value, 1 at most.
fn ceiling(highest: f64) -> f64 {
    ((highest * 10.0 + 0.5).ceil() / 10.0).clamp(0.1, 1.0)
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
