//! Figures over time as lines, events as points.
//!
//! Guarantees: points that are not finite, or beyond 10³⁰⁰, are left out; the scale holds
//! every other point and every limit.

use super::bars::Limit;
use super::canvas::{Area, Failure, NORMAL, SMALL, Svg, WIDTH, bold, quiet, words};
use super::ink::Ink;
use super::number;
use plotters::chart::ChartBuilder;
use plotters::coord::types::RangedCoordf64;
use plotters::element::{Circle, Cross, DashedPathElement, PathElement, Text, TriangleMarker};
use plotters::prelude::Cartesian2d;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, ShapeStyle};

/// Lines over one pair of scales.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// Heading, with the unit of the figures.
    pub title: String,
    /// What is to be seen beside the heading, in words.
    pub label: String,
    /// What goes to the right, with its unit.
    pub x_title: String,
    /// How a place on that axis is written.
    pub x_text: fn(f64) -> String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Dashed lines from left to right.
    pub limits: Vec<Limit>,
    /// Whether the scale of figures begins at 0.
    pub from_zero: bool,
    /// The least that goes from the left end to the right, if the points span less.
    pub x_least: f64,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// In the legend; a chart with one series needs none.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// How its points are marked.
    pub mark: Mark,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// How points are marked: series must be told apart without their colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Joined by a line, not marked.
    Joined,
    /// Filled circles.
    Disc,
    /// Empty circles.
    Ring,
    /// Filled triangles.
    Triangle,
    /// Crosses.
    Cross,
}

impl Mark {
    /// For series of points, one after the other.
    pub fn of_series(index: usize) -> Self {
        [Self::Disc, Self::Ring, Self::Triangle, Self::Cross][index % 4]
    }

    /// As the legend has it.
    fn sign(self) -> &'static str {
        match self {
            Self::Joined => "—",
            Self::Disc => "●",
            Self::Ring => "○",
            Self::Triangle => "▲",
            Self::Cross => "✕",
        }
    }
}

const HEIGHT: u32 = 190;

impl LineChart {
    /// The drawing.
    pub fn draw(&self) -> Svg {
        let label = format!("{}. {}", self.title, self.label);
        Svg::draw(HEIGHT, &label, |area| self.draw_on(area))
    }

    fn draw_on(&self, area: &Area<'_>) -> Result<(), Failure> {
        let style = bold(words(NORMAL, Ink::Text, HPos::Left, VPos::Top));
        area.draw(&Text::new(self.title.clone(), (8, 4), style))?;
        self.draw_legend(area)?;
        let ((left, right), (low, high)) = self.ranges();
        let mut chart = ChartBuilder::on(area)
            .margin_top(30)
            .margin_right(24)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(left..right, low..high)?;
        let mut mesh = chart.configure_mesh();
        quiet(&mut mesh);
        mesh.disable_x_mesh()
            .x_labels(9)
            .y_labels(4)
            .x_desc(self.x_title.clone())
            .x_label_formatter(&|x| (self.x_text)(*x))
            .y_label_formatter(&|y| number(*y).trim_end_matches(".00").to_owned())
            .draw()?;
        for limit in self.limits.iter().filter(|limit| can_be_drawn(limit.value)) {
            let ends = [(left, limit.value), (right, limit.value)];
            let style = ShapeStyle::from(&Ink::Limit.colour());
            chart.draw_series([DashedPathElement::new(ends, 5, 4, style)])?;
            let style = words(SMALL, Ink::Limit, HPos::Right, VPos::Bottom);
            let text = format!("{} {}", limit.label, number(limit.value));
            chart.draw_series([Text::new(text, (right, limit.value), style)])?;
        }
        for line in &self.lines {
            draw_line(&mut chart, line)?;
        }
        Ok(())
    }

    fn draw_legend(&self, area: &Area<'_>) -> Result<(), Failure> {
        if self.lines.len() < 2 {
            return Ok(());
        }
        let mut right = WIDTH as i32 - 24;
        for line in self.lines.iter().rev() {
            let text = format!("{} {}", line.mark.sign(), line.name);
            let wide = 8 * text.chars().count() as i32;
            if right - wide < 330 {
                break;
            }
            let style = words(SMALL, line.ink, HPos::Right, VPos::Top);
            area.draw(&Text::new(text, (right, 5), style))?;
            right -= wide + 14;
        }
        Ok(())
    }

    /// Scales that hold everything; never empty.
    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let points = || self.lines.iter().flat_map(Line::finite);
        let limits =
            self.limits.iter().map(|limit| limit.value).filter(|value| can_be_drawn(*value));
        let x = at_least(range_of(points().map(|(x, _)| x)), self.x_least)
            .unwrap_or_else(|| range(points().map(|(x, _)| x), 0.0));
        let zero = self.from_zero.then_some(0.0);
        let y = range(points().map(|(_, y)| y).chain(limits).chain(zero), 0.08);
        (x, (if self.from_zero { 0.0 } else { y.0 }, y.1))
    }
}

type Chart<'a, 'b> = plotters::chart::ChartContext<
    'a,
    plotters::prelude::SVGBackend<'b>,
    Cartesian2d<RangedCoordf64, RangedCoordf64>,
>;

fn draw_line(chart: &mut Chart<'_, '_>, line: &Line) -> Result<(), Failure> {
    let (colour, points) = (line.ink.colour(), line.finite());
    let style = ShapeStyle::from(&colour).stroke_width(2);
    match line.mark {
        Mark::Joined => {
            chart.draw_series([PathElement::new(points.collect::<Vec<_>>(), style)])?;
        }
        Mark::Disc => {
            chart.draw_series(points.map(|at| Circle::new(at, 4, colour.filled())))?;
        }
        Mark::Ring => {
            chart.draw_series(points.map(|at| Circle::new(at, 4, style)))?;
        }
        Mark::Triangle => {
            chart.draw_series(points.map(|at| TriangleMarker::new(at, 5, colour.filled())))?;
        }
        Mark::Cross => {
            chart.draw_series(points.map(|at| Cross::new(at, 4, style)))?;
        }
    }
    Ok(())
}

impl Line {
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().copied().filter(|(x, y)| can_be_drawn(*x) && can_be_drawn(*y))
    }
}

/// Whether a scale can hold it: the difference of any two such values is finite.
fn can_be_drawn(value: f64) -> bool {
    value.abs() <= 1e300
}

/// From the least to the most of `values`.
fn range_of(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
}

/// The ends of a range as long as `length` in the middle of a shorter one.
fn at_least((least, most): (f64, f64), length: f64) -> Option<(f64, f64)> {
    let more = (length - (most - least)) / 2.0;
    (more.is_finite() && more > 0.0).then_some((least - more, most + more))
}

/// From the least to the most of `values`, and `room` of that on both sides.
pub(super) fn range(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let (least, most) = range_of(values);
    let length = most - least;
    match length.is_finite() {
        // Nothing, or more than binary64 holds.
        false => (0.0, 1.0),
        true if length <= 1e-9 * most.abs() => {
            let half = 0.5_f64.max(most.abs() * 0.05);
            (least - half, most + half)
        }
        true => (least - room * length, most + room * length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_close_together_get_the_room_that_was_asked_for() {
        let x = |points: &[f64], x_least| {
            let points = points.iter().map(|x| (*x, 1.0)).collect();
            LineChart { x_least, ..chart(points) }.ranges().0
        };
        assert_eq!(x(&[1.8e9], 3600.0), (1.8e9 - 1800.0, 1.8e9 + 1800.0));
        assert_eq!(x(&[0.0, 1000.0], 3600.0), (-1300.0, 2300.0));
        assert_eq!(x(&[0.0, 5000.0], 3600.0), (0.0, 5000.0));
        assert_eq!(x(&[], 3600.0), (0.0, 1.0));
    }

    fn chart(points: Vec<(f64, f64)>) -> LineChart {
        let line =
            |mark| Line { name: "a".to_owned(), ink: Ink::Main, mark, points: points.clone() };
        LineChart {
            title: "power, W".to_owned(),
            label: String::new(),
            x_title: "s".to_owned(),
            x_text: number,
            lines: [Mark::Joined, Mark::Disc, Mark::Ring, Mark::Triangle, Mark::Cross]
                .map(line)
                .into(),
            limits: vec![Limit { label: "limit".to_owned(), value: 700.0 }],
            from_zero: false,
            x_least: 0.0,
        }
    }

    #[test]
    fn points_and_limits_are_within_the_scale() {
        let chart = chart(vec![(0.0, 500.0), (10.0, 690.0)]);
        let ((left, right), (low, high)) = chart.ranges();
        assert_eq!((left, right), (0.0, 10.0));
        assert!(low < 500.0 && high > 700.0, "{low} {high}");
        let text = chart.draw();
        let text = text.as_str();
        assert!(
            text.contains("<polyline") && text.contains("<circle") && text.contains("limit 700")
        );
        assert!(text.contains("power, W") && !text.contains("NaN"), "{text}");
    }

    #[test]
    fn any_figures_give_a_drawing() {
        let large = f64::from(u32::MAX) * f64::from(u32::MAX);
        for points in [
            vec![],
            vec![(1.0, 1.0)],
            vec![(f64::NAN, 1.0), (0.0, f64::INFINITY)],
            vec![(0.0, 0.0), (large, large)],
            vec![(large, large), (large, large)],
            vec![(f64::MIN, f64::MIN), (f64::MAX, f64::MAX)],
        ] {
            let drawn = chart(points.clone()).draw();
            let text = drawn.as_str();
            assert!(
                text.trim_end().ends_with("</svg>") && !text.contains("not drawn"),
                "{points:?}"
            );
        }
    }
}
