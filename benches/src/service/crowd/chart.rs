//! What rounds cost the aggregator, drawn: against the number of sites, and against the size of the model.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::Cost;

const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];
const INK: RGBColor = RGBColor(32, 36, 44);
const GRID: RGBColor = RGBColor(225, 227, 230);
const FONT: &str = "sans-serif";

/// A line: what it is called, and its points.
type Line = (String, Vec<(f64, f64)>);

/// The chart as an SVG. Rounds of the most frequent size of model are drawn by their sites, those of the
/// most frequent number of sites by their values; a panel with fewer than two points is left out.
///
/// # Errors
/// When nothing can be drawn.
pub fn svg(costs: &[Cost]) -> anyhow::Result<String> {
    let values = most_frequent(costs.iter().map(|cost| cost.crowd.values));
    let sites = most_frequent(costs.iter().map(|cost| cost.crowd.sites));
    let by_sites =
        lines(costs, |cost| (cost.crowd.values == values).then_some(cost.crowd.sites as f64));
    let by_values =
        lines(costs, |cost| (cost.crowd.sites == sites).then_some(cost.crowd.values as f64));
    let panels = [
        (format!("Models of {values} values"), "sites", by_sites),
        (format!("{sites} sites"), "values of the model", by_values),
    ];
    let panels: Vec<_> =
        panels.iter().filter(|(_, _, lines)| lines.iter().any(|line| line.1.len() > 1)).collect();
    let mut text = String::new();
    {
        let width = 560 * u32::try_from(panels.len().max(1))?;
        let page = SVGBackend::with_string(&mut text, (width, 440)).into_drawing_area();
        page.fill(&WHITE).map_err(undrawn)?;
        for (area, (title, axis, lines)) in
            page.split_evenly((1, panels.len().max(1))).iter().zip(panels)
        {
            panel(area, title, axis, lines)?;
        }
        page.present().map_err(undrawn)?;
    }
    Ok(text)
}

fn undrawn(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the chart cannot be drawn: {error}")
}

fn most_frequent(numbers: impl Iterator<Item = usize> + Clone) -> usize {
    let count = |of: usize| numbers.clone().filter(|number| *number == of).count();
    numbers.clone().max_by_key(|number| count(*number)).unwrap_or_default()
}

/// A line for each part that is absent, of those rounds that have a place on the axis.
fn lines(costs: &[Cost], place: impl Fn(&Cost) -> Option<f64>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for cost in costs {
        let Some(x) = place(cost) else { continue };
        let name = format!("{:.0} % absent", 100.0 * cost.crowd.absent);
        match lines.iter_mut().find(|line| line.0 == name) {
            Some(line) => line.1.push((x, cost.cpu)),
            None => lines.push((name, vec![(x, cost.cpu)])),
        }
    }
    for line in &mut lines {
        line.1.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    lines
}

/// A place on a logarithmic axis, if it is one of the first of its decade.
fn labelled(value: f64, first: u32) -> String {
    let of_decade = value / 10f64.powf(value.log10().floor());
    if of_decade < f64::from(first) + 0.5 { format!("{value}") } else { String::new() }
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    axis: &str,
    lines: &[Line],
) -> anyhow::Result<()> {
    let points = || lines.iter().flat_map(|line| &line.1);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = points()
            .map(of)
            .fold((f64::MAX, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        // Whole decades.
        10f64.powf(low.log10().floor())..10f64.powf(high.log10().ceil())
    };
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 17).into_font().color(&INK))
        .margin(14)
        .margin_right(28)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(range(|point| point.0).log_scale(), range(|point| point.1).log_scale())
        .map_err(undrawn)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        // Between decades only the first ones have room.
        .x_label_formatter(&|value| labelled(*value, 3))
        .y_label_formatter(&|value| labelled(*value, 5))
        .x_desc(axis)
        .y_desc("CPU-seconds of the aggregator, a round")
        .draw()
        .map_err(undrawn)?;
    for ((name, points), colour) in lines.iter().zip(COLOURS) {
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(line)
            .map_err(undrawn)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        let dots = points.iter().map(|point| Circle::new(*point, 3, colour.filled()));
        chart.draw_series(dots).map_err(undrawn)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .border_style(GRID)
        .background_style(WHITE)
        .label_font((FONT, 14).into_font().color(&INK))
        .draw()
        .map_err(undrawn)
}

#[cfg(test)]
mod tests {
    use super::super::Crowd;
    use super::*;

    #[test]
    fn there_is_a_line_for_each_part_that_is_absent_and_a_panel_for_each_axis() {
        let cost = |sites, absent, values, cpu| Cost {
            crowd: Crowd { sites, absent, values },
            cpu,
            memory: 1,
            fetched: 1,
        };
        let rounds = [
            cost(100, 0.0, 1000, 1.0),
            cost(1000, 0.0, 1000, 9.0),
            cost(1000, 0.3, 1000, 7.0),
            cost(100, 0.3, 1000, 0.8),
            cost(100, 0.0, 100_000, 2.0),
        ];
        let chart = svg(&rounds).unwrap();
        for text in ["0 % absent", "30 % absent", "Models of 1000 values", "100 sites"] {
            assert!(chart.contains(text), "{text}");
        }
        let [with_none, with_some] =
            lines(&rounds[..4], |cost| Some(cost.crowd.sites as f64)).try_into().unwrap();
        assert_eq!(with_none.1, [(100.0, 1.0), (1000.0, 9.0)]);
        assert_eq!(with_some.1, [(100.0, 0.8), (1000.0, 7.0)]);
        assert!(!svg(&rounds[..4]).unwrap().contains("values of the model"));
    }
}
