/*!
Plots as SVG: precision over recall, mAP over bits and mAP over training time. Each has a panel for
trained classes and, beside it, one for unseen classes.
*/

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::summary::{Maps, Results, Row, Spread};
use crate::eval::Metrics;

/// Width of a panel and of the legend, and height of the figure, in pixels.
const PANEL: u32 = 460;
const LEGEND: u32 = 230;
const HEIGHT: u32 = 380;
/// Space above the panels (pixels).
const ABOVE: i32 = 34;
/// Space between entries of the legend (pixels).
const LINE: i32 = 21;

/// Colours that are distinguishable with any kind of colour vision (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(70, 70, 70),
];

/// A plot and its file name.
pub struct Plot {
    pub file: String,
    pub title: String,
    pub svg: String,
}

/// A point and its vertical deviation.
type Point = (f64, Spread);

/// The line of one method.
struct Series {
    /// Index in the legend, which determines colour and marker.
    number: usize,
    points: Vec<Point>,
    /// Labels beside the points; empty for none.
    notes: Vec<String>,
    form: Form,
}

/// The style of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A curve.
    Curve,
    /// Markers connected by lines.
    Joined,
    /// Markers alone.
    Alone,
}

/// The panels of a figure.
struct Panel {
    title: &'static str,
    series: Vec<Series>,
}

/// A horizontal axis.
struct Axis {
    title: &'static str,
    /// Whether the scale is logarithmic.
    logarithmic: bool,
}

/// Returns all plots of the results.
pub fn all(results: &Results) -> Vec<Plot> {
    let mut names: Vec<&str> = results.rows.iter().map(|row| row.name.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let number = |row: &Row| names.iter().position(|name| *name == row.name).unwrap_or(0);
    let mut bits: Vec<usize> = results.rows.iter().map(|row| row.bits).collect();
    bits.sort_unstable();
    bits.dedup();

    let mut plots = Vec::new();
    for bits in &bits {
        let rows = || results.rows.iter().filter(|row| row.bits == *bits);
        let panels = panels(|unseen| {
            let curve = |row: &Row| {
                let curve = if unseen { &row.unseen_curve } else { &row.curve };
                let steps = (curve.len().max(2) - 1) as f64;
                let point = |(i, mean): (usize, &f64)| {
                    (i as f64 / steps, Spread { mean: *mean, deviation: None })
                };
                let points = curve.iter().enumerate().map(point).collect();
                Series { number: number(row), points, notes: Vec::new(), form: Form::Curve }
            };
            rows().map(curve).collect()
        });
        let title = format!("Precision and recall, {bits} bits");
        let axis = Axis { title: "recall", logarithmic: false };
        plots.extend(plot(
            format!("precision-recall-{bits}.svg"),
            title,
            &panels,
            &names,
            &axis,
            "precision",
        ));
    }
    let several = bits.len() > 1;
    let by_method = |form, x: &dyn Fn(&Row) -> f64| {
        panels(|unseen| {
            let of = |(number, name): (usize, &&str)| {
                let figure = |row: &Row| {
                    let maps = row.best();
                    if unseen { maps.unseen_fresh } else { Some(maps.map) }
                };
                let rows = results.rows.iter().filter(|row| row.name == *name);
                let rows: Vec<&Row> = rows.filter(|row| figure(row).is_some()).collect();
                let point = |row: &&Row| Some((x(row), figure(row)?));
                let points = rows.iter().filter_map(point).collect();
                let notes = if several && form == Form::Alone {
                    rows.iter().map(|row| row.bits.to_string()).collect()
                } else {
                    Vec::new()
                };
                Series { number, points, notes, form }
            };
            names.iter().enumerate().map(of).collect()
        })
    };
    if several {
        let panels = by_method(Form::Joined, &|row| row.bits as f64);
        let (file, title) = ("map-bits.svg".to_owned(), "mAP and bits per code".to_owned());
        let axis = Axis { title: "bits", logarithmic: false };
        plots.extend(plot(file, title, &panels, &names, &axis, "mAP"));
    }
    let panels = by_method(Form::Alone, &|row| row.seconds_training.mean.max(1e-3));
    let beside = if several { ", bits beside each mark" } else { "" };
    let (file, title) = ("map-training.svg".to_owned(), format!("mAP and training time{beside}"));
    let axis = Axis { title: "seconds of training", logarithmic: true };
    plots.extend(plot(file, title, &panels, &names, &axis, "mAP"));
    plots.extend(known_and_unseen(results, &names, several));
    plots
}

/// Returns the plot of known classes against unseen ones: every method is a point in each panel.
fn known_and_unseen(results: &Results, names: &[&str], several: bool) -> Option<Plot> {
    let panel = |title, maps: &dyn Fn(&Row) -> Option<Maps>| {
        let of = |(number, name): (usize, &&str)| {
            let rows = results.rows.iter().filter(|row| row.name == *name);
            let point = |row: &Row| {
                let maps = maps(row)?;
                let known = maps.map.mean;
                Some(((known, maps.unseen_fresh?), row.bits.to_string()))
            };
            let (points, notes) = rows.filter_map(point).unzip();
            let notes = if several { notes } else { Vec::new() };
            Series { number, points, notes, form: Form::Alone }
        };
        Panel { title, series: names.iter().enumerate().map(of).collect() }
    };
    let panels = vec![
        panel("Hamming distance", &|row| Some(row.codes).filter(|_| !row.words)),
        panel("real-valued query", &|row| row.real),
    ];
    let shown = |panel: &Panel| panel.series.iter().any(|series| !series.points.is_empty());
    let panels: Vec<Panel> = panels.into_iter().filter(shown).collect();
    let beside = if several { ", bits beside each mark" } else { "" };
    let title = format!("Known and unseen classes{beside}");
    let axis = Axis { title: "mAP, known classes", logarithmic: false };
    let y = "mAP, classes never trained on";
    plot("known-unseen.svg".to_owned(), title, &panels, names, &axis, y)
}

/// The curves of one data set's rankings, each with its name and, if classes were held out, the
/// figures of those classes.
pub fn of_rankings(rankings: &[(&str, &Metrics, Option<&Metrics>)]) -> Vec<Plot> {
    let names: Vec<&str> = rankings.iter().map(|(name, ..)| *name).collect();
    let drawn = |form, points: &dyn Fn(&Metrics) -> Vec<(f64, f64)>| {
        panels(|unseen| {
            let series =
                |(number, (_, known, new)): (usize, &(&str, &Metrics, Option<&Metrics>))| {
                    let metrics = if unseen { *new } else { Some(*known) };
                    let points = metrics.map(points).unwrap_or_default();
                    let points = points.into_iter();
                    let points =
                        points.map(|(x, mean)| (x, Spread { mean, deviation: None })).collect();
                    Series { number, points, notes: Vec::new(), form }
                };
            rankings.iter().enumerate().map(series).collect()
        })
    };
    let curve = |metrics: &Metrics| {
        metrics.curve.iter().map(|point| (point.recall, point.precision)).collect()
    };
    let depths =
        |metrics: &Metrics| metrics.recall_at.iter().map(|at| (at.k as f64, at.recall)).collect();
    let (file, title) = ("precision-recall.svg".to_owned(), "Precision and recall".to_owned());
    let axis = Axis { title: "recall", logarithmic: false };
    let first = plot(file, title, &drawn(Form::Curve, &curve), &names, &axis, "precision");
    let (file, title) = ("recall-at.svg".to_owned(), "Recall among the first".to_owned());
    let axis = Axis { title: "images looked at", logarithmic: true };
    let second = plot(file, title, &drawn(Form::Joined, &depths), &names, &axis, "recall");
    first.into_iter().chain(second).collect()
}

/// Returns the panel of known classes, and that of unseen classes if it is not empty.
fn panels(series: impl Fn(bool) -> Vec<Series>) -> Vec<Panel> {
    let panel = |unseen| Panel {
        title: if unseen { "classes never trained on" } else { "known classes" },
        series: series(unseen),
    };
    let shown = |panel: &Panel| panel.series.iter().any(|series| !series.points.is_empty());
    [panel(false), panel(true)].into_iter().filter(shown).collect()
}

/// Draws a plot; `None` if it is empty.
fn plot(
    file: String,
    title: String,
    panels: &[Panel],
    names: &[&str],
    axis: &Axis,
    y: &str,
) -> Option<Plot> {
    if panels.is_empty() {
        return None;
    }
    let mut svg = String::new();
    let width = PANEL * panels.len() as u32 + LEGEND;
    let height = HEIGHT.max((names.len() as i32 * LINE + ABOVE + 20) as u32);
    // Writing to a string cannot fail, and plotters rejects only impossible ranges.
    draw(&mut svg, (width, height), &title, panels, names, axis, y).ok()?;
    Some(Plot { file, title, svg })
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(
    svg: &mut String,
    size: (u32, u32),
    title: &str,
    panels: &[Panel],
    names: &[&str],
    axis: &Axis,
    y: &str,
) -> Drawn {
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE)?;
    let heading = ("sans-serif", 18).into_font().color(&BLACK);
    root.draw(&Text::new(title.to_owned(), (14, 10), heading))?;
    let (_, below) = root.split_vertically(ABOVE);
    let (left, right) = below.split_horizontally(PANEL as i32 * panels.len() as i32);
    let (x, top) = (along(panels, axis), top(panels));
    for (panel, area) in panels.iter().zip(left.split_evenly((1, panels.len()))) {
        draw_panel(&area, panel, axis, x.clone(), (y, top))?;
    }
    draw_legend(&right, names, panels)?;
    root.present()?;
    Ok(())
}

/// Returns the position of a value along an axis.
fn place(value: f64, axis: &Axis) -> f64 {
    if axis.logarithmic { value.log10() } else { value }
}

/// Returns the common horizontal range of all panels, with space beside the marks.
fn along(panels: &[Panel], axis: &Axis) -> Range<f64> {
    let series = || panels.iter().flat_map(|panel| &panel.series);
    let all = || series().flat_map(|series| &series.points).map(|(x, _)| place(*x, axis));
    let (low, high) =
        (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let marked = series().any(|series| series.form != Form::Curve);
    let room = if marked { ((high - low) * 0.06).max(0.1) } else { 0.0 };
    low - room..high + room
}

/// Returns the common height of all panels, rounded up to a tenth.
fn top(panels: &[Panel]) -> f64 {
    let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let reach = |spread: &Spread| spread.mean + spread.deviation.unwrap_or(0.0);
    let highest = points.map(|(_, spread)| reach(spread)).fold(0.0, f64::max);
    ((highest * 10.0 + 0.2).ceil() / 10.0).clamp(0.1, 1.1)
}

fn draw_panel(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    panel: &Panel,
    axis: &Axis,
    x: Range<f64>,
    (y, top): (&str, f64),
) -> Drawn {
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 14))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(46)
        .build_cartesian_2d(x, 0.0..top)?;
    let logarithmic = axis.logarithmic;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .axis_style(BLACK.mix(0.5))
        .label_style(("sans-serif", 12))
        .x_labels(7)
        .y_labels(6)
        .x_desc(axis.title)
        .y_desc(y)
        .x_label_formatter(&|x| label(*x, logarithmic))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .draw()?;
    for Series { number, points, notes, form } in &panel.series {
        let colour = COLOURS[number % COLOURS.len()];
        let at: Vec<(f64, f64)> =
            points.iter().map(|(x, spread)| (place(*x, axis), spread.mean)).collect();
        if *form == Form::Alone {
            let small = ("sans-serif", 10).into_font().color(&colour);
            let note = |(at, note): (&(f64, f64), &String)| {
                EmptyElement::at(*at) + Text::new(note.clone(), (6, -4), small.clone())
            };
            chart.draw_series(at.iter().zip(notes).map(note))?;
        } else if *number < COLOURS.len() {
            chart.draw_series(LineSeries::new(at.iter().copied(), colour.stroke_width(2)))?;
        } else {
            let dashed = DashedLineSeries::new(at.iter().copied(), 6, 4, colour.stroke_width(2));
            chart.draw_series(dashed)?;
        }
        if *form == Form::Curve {
            continue;
        }
        for ((x, y), (_, spread)) in at.iter().zip(points) {
            if let Some(deviation) = spread.deviation {
                let ends = vec![(*x, (y - deviation).max(0.0)), (*x, y + deviation)];
                chart.draw_series([PathElement::new(ends, colour)])?;
            }
        }
        // Each round of colours uses another marker.
        let at = at.into_iter();
        match number / COLOURS.len() {
            0 => chart.draw_series(at.map(|at| Circle::new(at, 4, colour.filled())))?,
            1 => chart.draw_series(at.map(|at| TriangleMarker::new(at, 5, colour.filled())))?,
            2 => chart.draw_series(at.map(|at| Cross::new(at, 4, colour.stroke_width(2))))?,
            _ => chart.draw_series(at.map(|at| Circle::new(at, 4, colour.stroke_width(2))))?,
        };
    }
    Ok(())
}

/// Returns the label of a tick.
fn label(x: f64, logarithmic: bool) -> String {
    if !logarithmic {
        let text = format!("{x:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    match 10f64.powf(x) {
        value if value < 1.0 => format!("{value:.2}"),
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn draw_legend(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    names: &[&str],
    panels: &[Panel],
) -> Drawn {
    let mut forms = panels.iter().flat_map(|panel| &panel.series).map(|series| series.form);
    let form = forms.next().unwrap_or(Form::Curve);
    let text = ("sans-serif", 13).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    for (number, name) in names.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let y = 16 + number as i32 * LINE;
        let line = |from, to| PathElement::new(vec![(from, y), (to, y)], colour.stroke_width(2));
        if form == Form::Alone {
            // Only the marker.
        } else if number < COLOURS.len() {
            area.draw(&line(4, 34))?;
        } else {
            [4, 14, 24].iter().try_for_each(|from| area.draw(&line(*from, from + 6)))?;
        }
        if form != Form::Curve {
            match number / COLOURS.len() {
                0 => area.draw(&Circle::new((19, y), 4, colour.filled()))?,
                1 => area.draw(&TriangleMarker::new((19, y), 5, colour.filled()))?,
                2 => area.draw(&Cross::new((19, y), 4, colour.stroke_width(2)))?,
                _ => area.draw(&Circle::new((19, y), 4, colour.stroke_width(2)))?,
            }
        }
        area.draw(&Text::new((*name).to_owned(), (42, y), text.clone()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::METHODS;

    #[test]
    fn every_method_has_a_mark_of_its_own() {
        const MARKS: usize = 4;
        assert!(METHODS.len() <= COLOURS.len() * MARKS);
    }

    #[test]
    fn labels_are_short() {
        assert_eq!((label(0.2, false), label(12.0, false)), ("0.2".into(), "12".into()));
        assert_eq!((label(-1.0, true), label(0.5, true)), ("0.10".into(), "3.2".into()));
        assert_eq!(label(2.0, true), "100");
    }
}
