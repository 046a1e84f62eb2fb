//! Rates over arithmetic intensities, both by powers of ten, under what a device can do:
//! the slope that its memory sets, and the flat top of its units.
//!
//! Guarantees: points and roofs that are not finite or not above 0 are left out.

use super::canvas::{Area, Failure, SMALL, Svg, quiet, words};
use super::ink::Ink;
use super::lines::{Mark, range};
use crate::protocol::quantity::about;
use plotters::chart::ChartBuilder;
use plotters::element::{Circle, Cross, PathElement, Text, TriangleMarker};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, ShapeStyle};

/// Points under roofs.
#[derive(Clone, Debug, PartialEq)]
pub struct Roofline {
    /// What is to be seen, in words.
    pub label: String,
    /// "FLOP" or "OP".
    pub unit: &'static str,
    /// What devices can do.
    pub roofs: Vec<Roof>,
    /// What was done.
    pub points: Vec<RooflinePoint>,
}

/// What a device can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Roof {
    /// Its name.
    pub name: String,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Bytes a second.
    pub bytes_per_s: f64,
    /// Its colour.
    pub ink: Ink,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub struct RooflinePoint {
    /// By whom, and on what grounds.
    pub name: String,
    /// Operations a byte.
    pub intensity: f64,
    /// Operations a second.
    pub ops_per_s: f64,
    /// How it is marked.
    pub mark: Mark,
    /// Its colour.
    pub ink: Ink,
}

const HEIGHT: u32 = 330;

impl Roofline {
    /// The drawing; axes alone if nothing can be shown.
    pub fn draw(&self) -> Svg {
        Svg::draw(HEIGHT, &self.label, |area| self.draw_on(area))
    }

    fn draw_on(&self, area: &Area<'_>) -> Result<(), Failure> {
        let ((left, right), (low, high)) = self.ranges();
        let mut chart = ChartBuilder::on(area)
            .margin_top(14)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(112)
            .build_cartesian_2d(left..right, low..high)?;
        let mut mesh = chart.configure_mesh();
        quiet(&mut mesh);
        mesh.x_labels(8)
            .y_labels(6)
            .x_desc(format!("{} a byte of operands written and read", self.unit))
            // Places on both axes are powers of ten.
            .x_label_formatter(&|x| about(10_f64.powf(*x), "").trim_end().to_owned())
            .y_label_formatter(&|y| about(10_f64.powf(*y), &format!("{}/s", self.unit)))
            .draw()?;
        for (nth, roof) in self.roofs.iter().filter(|roof| roof.is_sound()).enumerate() {
            let (top, slope) = (roof.ops_per_s.log10(), roof.bytes_per_s.log10());
            let ridge = (top - slope).clamp(left, right);
            let corners =
                vec![(left, left + slope), (ridge, (ridge + slope).min(top)), (right, top)];
            let corners = corners.into_iter().map(|(x, y): (f64, f64)| (x, y.clamp(low, top)));
            let style = ShapeStyle::from(&roof.ink.colour()).stroke_width(2);
            chart.draw_series([PathElement::new(corners.collect::<Vec<_>>(), style)])?;
            let style = words(SMALL, roof.ink, HPos::Left, VPos::Bottom);
            let unit = format!("{}/s", self.unit);
            let text = format!(
                "{}: {}, {}",
                roof.name,
                about(roof.ops_per_s, &unit),
                about(roof.bytes_per_s, "B/s")
            );
            // Names of roofs as high as each other would lie on each other.
            let at = (left + (right - left) * (0.52 - 0.5 * (nth % 2) as f64), top);
            chart.draw_series([Text::new(text, at, style)])?;
        }
        for point in self.points.iter().filter(|point| point.is_sound()) {
            let at = (point.intensity.log10(), point.ops_per_s.log10());
            let (colour, line) =
                (point.ink.colour(), ShapeStyle::from(&point.ink.colour()).stroke_width(2));
            match point.mark {
                Mark::Joined | Mark::Disc => {
                    chart.draw_series([Circle::new(at, 6, colour.filled())])?;
                }
                Mark::Ring => {
                    chart.draw_series([Circle::new(at, 6, line)])?;
                }
                Mark::Triangle => {
                    chart.draw_series([TriangleMarker::new(at, 7, colour.filled())])?;
                }
                Mark::Cross => {
                    chart.draw_series([Cross::new(at, 5, line)])?;
                }
            }
        }
        Ok(())
    }

    /// Powers of ten.
    fn ranges(&self) -> ((f64, f64), (f64, f64)) {
        let roofs = || self.roofs.iter().filter(|roof| roof.is_sound());
        let points = || self.points.iter().filter(|point| point.is_sound());
        let ridges = roofs().map(|roof| roof.ops_per_s.log10() - roof.bytes_per_s.log10());
        let x = range(points().map(|point| point.intensity.log10()).chain(ridges), 0.3);
        let tops = roofs().map(|roof| roof.ops_per_s.log10());
        let y = range(points().map(|point| point.ops_per_s.log10()).chain(tops), 0.15);
        ((x.0.min(x.1 - 2.0), x.1 + 0.4), (y.0.min(y.1 - 2.0), y.1 + 0.1))
    }
}

impl Roof {
    fn is_sound(&self) -> bool {
        [self.ops_per_s, self.bytes_per_s].iter().all(|&rate| rate.is_finite() && rate > 0.0)
    }
}

impl RooflinePoint {
    fn is_sound(&self) -> bool {
        [self.ops_per_s, self.intensity].iter().all(|&rate| rate.is_finite() && rate > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roofline(roofs: &[(f64, f64)], points: &[(f64, f64)]) -> Roofline {
        let roof = |&(ops_per_s, bytes_per_s): &(f64, f64)| Roof {
            name: "H200".to_owned(),
            ops_per_s,
            bytes_per_s,
            ink: Ink::Limit,
        };
        let point = |&(intensity, ops_per_s): &(f64, f64)| RooflinePoint {
            name: "lane 0".to_owned(),
            intensity,
            ops_per_s,
            mark: Mark::Disc,
            ink: Ink::Main,
        };
        let (roofs, points) =
            (roofs.iter().map(roof).collect(), points.iter().map(point).collect());
        Roofline { label: "roofline".to_owned(), unit: "FLOP", roofs, points }
    }

    #[test]
    fn a_point_lies_under_its_roof() {
        let chart = roofline(&[(66.9e12, 4.8e12)], &[(1000.0, 54.3e12)]);
        let ((left, right), (low, high)) = chart.ranges();
        assert!(left < 3.0 && right > 3.0 && low < 13.0 && high > 13.9);
        let drawn = chart.draw();
        assert!(drawn.as_str().contains("H200: 66.90 TFLOP/s, 4.800 TB/s"), "{drawn:?}");
        assert_eq!(drawn.as_str().matches("<circle").count(), 1);
    }

    #[test]
    fn figures_without_sense_are_left_out() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let drawn = roofline(&[(bad, 1.0)], &[(1.0, bad), (bad, 1.0)]).draw();
            let text = drawn.as_str();
            assert!(!text.contains("<circle") && !text.contains("H200"), "{bad}: {text}");
            assert!(!text.contains("not drawn"), "{bad}");
        }
        let drawn = roofline(&[(f64::MAX, f64::MIN_POSITIVE)], &[(1e-300, 1e300)]).draw();
        assert!(!drawn.as_str().contains("not drawn"));
    }
}
