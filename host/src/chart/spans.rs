//! Shares of a length, one bar a row: where time went.

use super::canvas::{Area, Failure, NORMAL, SMALL, Svg, WIDTH, shortened, words};
use super::ink::Ink;
use plotters::element::{Rectangle, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

/// Rows of spans, each as long as the others.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanChart {
    /// What is to be seen, in words.
    pub label: String,
    /// A name and its spans, from left to right.
    pub rows: Vec<(String, Vec<Span>)>,
}

/// A part of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What it is.
    pub name: &'static str,
    /// In any unit; not negative.
    pub length: f64,
    /// How it is filled.
    pub ink: Ink,
}

const LEFT: i32 = 130;
const HIGH: i32 = 26;

impl SpanChart {
    /// The drawing.
    pub fn draw(&self) -> Svg {
        let height = 30 + (HIGH + 8) * self.rows.len().max(1) as i32;
        Svg::draw(height as u32, &self.label, |area| self.draw_on(area))
    }

    fn draw_on(&self, area: &Area<'_>) -> Result<(), Failure> {
        let wide = f64::from(WIDTH as i32 - LEFT - 8);
        let mut y = 4;
        for (name, spans) in &self.rows {
            let style = words(NORMAL, Ink::Text, HPos::Right, VPos::Center);
            area.draw(&Text::new(shortened(name, 16), (LEFT - 10, y + HIGH / 2), style))?;
            let total: f64 = spans.iter().map(Span::finite).sum();
            let mut from = 0.0;
            for span in spans.iter().filter(|_| total > 0.0) {
                let share = span.finite() / total;
                let at = |part: f64| LEFT + (part * wide).round() as i32;
                let (left, right) = (at(from), at(from + share));
                from += share;
                let corners = [(left, y), (right - 1, y + HIGH)];
                if right - left > 1 {
                    area.draw(&Rectangle::new(corners, span.ink.colour().filled()))?;
                }
                let text = format!("{} {:.1} %", span.name, 100.0 * share);
                // Letters of this size are seven wide.
                if (right - left) > 7 * text.chars().count() as i32 + 8 {
                    let style = words(SMALL, span.ink.words_on(), HPos::Left, VPos::Center);
                    area.draw(&Text::new(text, (left + 6, y + HIGH / 2), style))?;
                }
            }
            y += HIGH + 8;
        }
        let axis = |h| words(SMALL, Ink::Quiet, h, VPos::Top);
        area.draw(&Text::new("0", (LEFT, y), axis(HPos::Left)))?;
        area.draw(&Text::new("100 %", (LEFT + wide as i32, y), axis(HPos::Right)))
    }
}

impl Span {
    fn finite(&self) -> f64 {
        if self.length.is_finite() { self.length.max(0.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_share_the_row() {
        let span = |length, ink| Span { name: "part", length, ink };
        let spans = vec![span(1.0, Ink::Main), span(3.0, Ink::Blue), span(f64::NAN, Ink::Grey)];
        let chart =
            SpanChart { label: "phases".to_owned(), rows: vec![("lane 0".to_owned(), spans)] };
        let svg = chart.draw();
        let text = svg.as_str();
        assert!(text.contains("part 25.0 %") && text.contains("part 75.0 %"), "{text}");
        assert_eq!(text.matches("<rect").count(), 2, "{text}");
        let nothing = SpanChart { label: String::new(), rows: vec![(String::new(), Vec::new())] };
        assert_eq!(nothing.draw().as_str().matches("<rect").count(), 0);
    }
}
