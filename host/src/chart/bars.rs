//! Horizontal bars under dashed lines that they cannot pass.
//!
//! Guarantees: no bar is longer than its scale.

use super::canvas::{Area, Failure, NORMAL, SMALL, Svg, bold, shortened, words};
use super::ink::Ink;
use super::number;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, ShapeStyle};

/// Bars over one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct BarChart {
    /// Heading of the chart; none if it is empty.
    pub title: String,
    /// Of every value.
    pub unit: &'static str,
    /// Bars that belong together.
    pub groups: Vec<Group>,
    /// Ceilings, drawn as dashed lines.
    pub limits: Vec<Limit>,
}

/// Bars under one label.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Heading of the group; none if it is empty.
    pub label: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// To its left.
    pub label: String,
    /// Its length; not negative.
    pub value: f64,
    /// To its right, after the value.
    pub note: String,
    /// How it is filled.
    pub ink: Ink,
}

/// A line that bars are measured against.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// At its top.
    pub label: String,
    /// In the unit of the bars.
    pub value: f64,
}

/// The unit of whole numbers.
pub const COUNT: &str = "count";
const LEFT: i32 = 250;
const BAR_WIDTH: f64 = 500.0;
const BAR_HEIGHT: i32 = 16;
const LINE: i32 = 20;
const MARGIN: i32 = 16;
/// Characters that surely fit left of a bar.
const LABEL_CHARS: usize = 32;

impl BarChart {
    /// The drawing.
    pub fn draw(&self) -> Svg {
        let values: Vec<String> = self
            .groups
            .iter()
            .flat_map(|group| group.bars.iter().map(move |bar| (group, bar)))
            .map(|(group, bar)| format!("{} {}: {}", group.label, bar.label, number(bar.value)))
            .take(24)
            .collect();
        let label = format!("{} in {}. {}", self.title, self.unit, values.join("; "));
        Svg::draw(self.height() as u32, &label, |area| self.draw_on(area))
    }

    fn figure(&self, value: f64) -> String {
        if self.unit == COUNT { format!("{value:.0}") } else { number(value) }
    }

    fn height(&self) -> i32 {
        let title = if self.title.is_empty() { 0 } else { LINE };
        let groups: i32 = self
            .groups
            .iter()
            .map(|group| {
                let label = if group.label.is_empty() { 0 } else { LINE };
                label + 6 + LINE * group.bars.len() as i32
            })
            .sum();
        title + 15 * self.limits.len() as i32 + 8 + groups + LINE
    }

    fn draw_on(&self, area: &Area<'_>) -> Result<(), Failure> {
        let scale = Scale::of(self);
        let mut y = 0;
        if !self.title.is_empty() {
            let title = format!("{} ({})", self.title, self.unit);
            let style = bold(words(NORMAL + 2.0, Ink::Text, HPos::Left, VPos::Top));
            area.draw(&Text::new(title, (MARGIN, y), style))?;
            y += LINE;
        }
        let mut limits: Vec<&Limit> = self.limits.iter().collect();
        // The leftmost label lowest: a line never crosses another's label.
        limits.sort_by(|a, b| b.value.total_cmp(&a.value));
        let mut tops = Vec::new();
        for limit in limits {
            let x = LEFT + scale.length(limit.value);
            let label = format!("{} {}", limit.label, number(limit.value));
            let style = words(SMALL, Ink::Limit, HPos::Right, VPos::Top);
            area.draw(&Text::new(label, (x, y), style))?;
            y += 15;
            tops.push((x, y));
        }
        y += 8;
        let (mut texts, mut strips) = (Vec::new(), Vec::new());
        for group in &self.groups {
            if !group.label.is_empty() {
                let style = bold(words(NORMAL, Ink::Text, HPos::Left, VPos::Top));
                texts.push(Text::new(group.label.clone(), (MARGIN, y + 3), style));
                y += LINE;
            }
            y += 6;
            for bar in &group.bars {
                let (length, middle) = (scale.length(bar.value), y + BAR_HEIGHT / 2);
                let label = shortened(&bar.label, LABEL_CHARS);
                let style = words(NORMAL, Ink::Text, HPos::Right, VPos::Center);
                texts.push(Text::new(label, (LEFT - 8, middle), style));
                let corners = [(LEFT, y), (LEFT + length.max(1), y + BAR_HEIGHT)];
                area.draw(&Rectangle::new(corners, bar.ink.colour().filled()))?;
                let value = format!("{} {}", self.figure(bar.value), bar.note);
                // A strip of paper keeps the lines of limits out of the words.
                let wide = 8 * value.trim_end().chars().count() as i32;
                let place = (LEFT + length + 6, middle);
                strips.push(Rectangle::new(
                    [(place.0 - 2, y), (place.0 + wide, y + BAR_HEIGHT)],
                    Ink::Paper.colour().filled(),
                ));
                let style = words(NORMAL, Ink::Text, HPos::Left, VPos::Center);
                texts.push(Text::new(value.trim_end().to_owned(), place, style));
                y += LINE;
            }
        }
        for (x, top) in tops {
            for from in (top..y).step_by(7) {
                let dash = vec![(x, from), (x, (from + 4).min(y))];
                area.draw(&PathElement::new(dash, ShapeStyle::from(&Ink::Limit.colour())))?;
            }
        }
        // Words above lines above bars, so that all can be read.
        for strip in &strips {
            area.draw(strip)?;
        }
        for text in &texts {
            area.draw(text)?;
        }
        debug_assert!(y <= self.height());
        Ok(())
    }
}

/// From values to lengths.
struct Scale {
    most: f64,
}

impl Scale {
    fn of(chart: &BarChart) -> Self {
        let bars = chart.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value);
        let all = bars.chain(chart.limits.iter().map(|limit| limit.value));
        Self { most: all.filter(|value| value.is_finite()).fold(0.0, f64::max) }
    }

    fn length(&self, value: f64) -> i32 {
        let share = value / self.most;
        // Not a number if nothing was measured.
        if share.is_finite() { (share.clamp(0.0, 1.0) * BAR_WIDTH).round() as i32 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn chart(values: &[f64]) -> BarChart {
        let bar = |&value: &f64| Bar {
            label: "a <b> & \"c\"\u{1}\u{202e}".to_owned(),
            value,
            note: "σ 1.2".to_owned(),
            ink: Ink::Main,
        };
        let group = Group { label: "n".to_owned(), bars: values.iter().map(bar).collect() };
        let limits = vec![Limit { label: "ceiling".to_owned(), value: 66.0 }];
        BarChart { title: "speed".to_owned(), unit: "TFLOP/s", groups: vec![group], limits }
    }

    /// Every opened element is closed, and nothing but markup has brackets.
    fn assert_well_formed(svg: &str) {
        let mut open: Vec<&str> = Vec::new();
        for part in svg.split('<').skip(1) {
            let (tag, rest) = part.split_once('>').expect("a closed bracket");
            assert!(!rest.contains('>'), "a stray bracket in {rest}");
            let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
            match (tag.starts_with('/'), tag.ends_with('/')) {
                (true, _) => assert_eq!(open.pop(), Some(name)),
                (_, true) => {}
                _ => open.push(name),
            }
            assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
        }
        assert!(open.is_empty(), "{open:?}");
    }

    #[test]
    fn a_file_is_well_formed_and_stands_alone() {
        let svg = file("H200 <&>", &[chart(&[54.0, 60.0]).draw(), chart(&[]).draw()]);
        assert_well_formed(&svg);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;\u{fffd}\u{fffd}"), "{svg}");
        assert!(svg.contains("54.0 σ 1.2") && svg.contains("ceiling 66.0"), "{svg}");
        let outside = svg.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http") && !outside.contains("url("), "loaded from elsewhere");
        assert!(svg.contains("prefers-color-scheme:dark"));
    }

    #[test]
    fn bars_keep_to_their_scale() {
        let scale = Scale::of(&chart(&[33.0]));
        assert_eq!(scale.length(33.0), BAR_WIDTH as i32 / 2);
        assert_eq!(scale.length(1e9), BAR_WIDTH as i32);
        assert_eq!((scale.length(f64::NAN), scale.length(-1.0)), (0, 0));
        let empty = BarChart { limits: Vec::new(), ..chart(&[]) };
        assert_eq!(Scale::of(&empty).length(1.0), 0, "nothing measured");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_well_formed(chart(&[value]).draw().as_str());
        }
    }
}
