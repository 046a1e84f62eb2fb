//! Horizontal bars under dashed lines that they cannot pass, as one SVG file
//! that needs nothing else: no script, no font, no style sheet.
//!
//! Guarantees: well-formed whatever the labels are; no bar longer than its
//! scale; the same charts give the same bytes.

use std::fmt::Write as _;

/// Bars over one scale.
pub(super) struct Chart {
    /// Heading of the chart.
    pub title: String,
    /// Of every value.
    pub unit: &'static str,
    /// Bars that belong together.
    pub groups: Vec<Group>,
    /// Ceilings, drawn as dashed lines.
    pub limits: Vec<Limit>,
}

/// Bars under one label.
pub(super) struct Group {
    /// Heading of the group.
    pub label: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
pub(super) struct Bar {
    /// To its left.
    pub label: String,
    /// Its length; not negative.
    pub value: f64,
    /// To its right, after the value.
    pub note: String,
    /// How it is filled.
    pub ink: Ink,
}

/// What a bar shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    /// What the page is about.
    Main,
    /// The same with something left out.
    Light,
    /// What it is compared with.
    Grey,
}

/// A line that bars are measured against.
pub(super) struct Limit {
    /// At its top.
    pub label: String,
    /// In the unit of the bars.
    pub value: f64,
}

const WIDTH: f64 = 1000.0;
const BAR_LEFT: f64 = 250.0;
const BAR_WIDTH: f64 = 540.0;
const BAR_HEIGHT: f64 = 16.0;
const LINE: f64 = 20.0;
const MARGIN: f64 = 24.0;
/// Characters that surely fit left of a bar.
const LABEL_CHARS: usize = 32;
/// Keeps lines out of the words: drawn under them, since not every viewer knows
/// `paint-order`.
const HALO: &str = "stroke=\"#ffffff\" stroke-width=\"4\" aria-hidden=\"true\"";
const FONT: &str = "font-family=\"system-ui, sans-serif\" font-size=\"12\"";

impl Ink {
    fn colour(self) -> &'static str {
        match self {
            Self::Main => "#1b7f5c",
            Self::Light => "#9fd3c0",
            Self::Grey => "#8a8f98",
        }
    }
}

/// The charts below each other, under a heading.
pub(super) fn draw(heading: &str, charts: &[Chart]) -> String {
    let mut body = String::new();
    let mut y = MARGIN + 14.0;
    text(&mut body, MARGIN, y, "font-size=\"18\" font-weight=\"bold\"", heading);
    y += LINE;
    for chart in charts {
        y = draw_chart(&mut body, y, chart);
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" {FONT} fill=\"#20242a\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>"
    )
}

/// Draws below `y`; returns where it ends.
fn draw_chart(out: &mut String, mut y: f64, chart: &Chart) -> f64 {
    let scale = Scale::of(chart);
    y += LINE;
    let title = format!("{} ({})", chart.title, chart.unit);
    text(out, MARGIN, y, "font-size=\"14\" font-weight=\"bold\"", &title);
    let mut limits: Vec<&Limit> = chart.limits.iter().collect();
    // The leftmost label lowest: a line never crosses another's label.
    limits.sort_by(|a, b| b.value.total_cmp(&a.value));
    let mut tops = Vec::new();
    for limit in limits {
        y += 15.0;
        let x = BAR_LEFT + scale.length(limit.value);
        let label = format!("{} {}", limit.label, number(limit.value));
        text(out, x, y, "text-anchor=\"end\" font-size=\"11\" fill=\"#b3402a\"", &label);
        tops.push((x, y + 3.0));
    }
    y += 8.0;
    // Words above lines above bars, so that all can be seen.
    let mut words = String::new();
    for group in &chart.groups {
        y += LINE;
        text(&mut words, MARGIN, y, "font-weight=\"bold\"", &group.label);
        y += 6.0;
        for bar in &group.bars {
            let length = scale.length(bar.value);
            let (baseline, ink) = (y + 12.0, bar.ink.colour());
            let label_x = BAR_LEFT - 8.0;
            let label = shortened(&bar.label);
            text(&mut words, label_x, baseline, "text-anchor=\"end\"", &label);
            let _ = writeln!(
                out,
                "<rect x=\"{BAR_LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" \
                 height=\"{BAR_HEIGHT}\" fill=\"{ink}\"/>"
            );
            let value = format!("{} {}", number(bar.value), bar.note);
            for attributes in [HALO, ""] {
                text(&mut words, BAR_LEFT + length + 6.0, baseline, attributes, value.trim_end());
            }
            y += LINE;
        }
    }
    for (x, top) in tops {
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{y:.1}\" \
             stroke=\"#b3402a\" stroke-dasharray=\"4 3\"/>"
        );
    }
    out.push_str(&words);
    y + LINE / 2.0
}

/// The end of a label that is too long for its place: of a path, the file.
fn shortened(label: &str) -> String {
    let length = label.chars().count();
    if length <= LABEL_CHARS {
        return label.to_owned();
    }
    "…".chars().chain(label.chars().skip(length - LABEL_CHARS + 1)).collect()
}

/// From values to lengths.
struct Scale {
    most: f64,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let bars = chart.groups.iter().flat_map(|group| &group.bars).map(|bar| bar.value);
        let all = bars.chain(chart.limits.iter().map(|limit| limit.value));
        Self { most: all.filter(|value| value.is_finite()).fold(0.0, f64::max) }
    }

    fn length(&self, value: f64) -> f64 {
        let share = value / self.most;
        // Not a number if nothing was measured.
        if share.is_finite() { share.clamp(0.0, 1.0) * BAR_WIDTH } else { 0.0 }
    }
}

/// Three digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn text(out: &mut String, x: f64, y: f64, attributes: &str, content: &str) {
    let content = escaped(content);
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{content}</text>");
}

/// Text as XML has it: no markup, and no control characters, which XML lacks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Chart {
        let bar = |&value: &f64| Bar {
            label: "a <b> & \"c\"\u{1}".to_owned(),
            value,
            note: "σ 1.2".to_owned(),
            ink: Ink::Main,
        };
        let group = Group { label: "n".to_owned(), bars: values.iter().map(bar).collect() };
        let limits = vec![Limit { label: "ceiling".to_owned(), value: 66.0 }];
        Chart { title: "speed".to_owned(), unit: "TFLOP/s", groups: vec![group], limits }
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
    fn a_drawing_is_well_formed_and_stands_alone() {
        let svg = draw("H200 <&>", &[chart(&[54.0, 60.0]), chart(&[])]);
        assert_well_formed(&svg);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>"));
        assert!(svg.contains("a &lt;b&gt; &amp; \"c\"\u{fffd}"), "{svg}");
        assert!(svg.contains("54.0 σ 1.2") && svg.contains("ceiling 66.0"), "{svg}");
        assert_eq!(svg.matches("http").count(), 1, "nothing is loaded from elsewhere");
    }

    #[test]
    fn bars_keep_to_their_scale() {
        let scale = Scale::of(&chart(&[33.0]));
        assert_eq!(scale.length(66.0), BAR_WIDTH);
        assert_eq!(scale.length(33.0), BAR_WIDTH / 2.0);
        assert_eq!(scale.length(f64::NAN), 0.0);
        assert_eq!(scale.length(1e9), BAR_WIDTH);
        let empty = Chart { limits: Vec::new(), ..chart(&[]) };
        assert_eq!(Scale::of(&empty).length(1.0), 0.0, "no scale, no length");
        assert_well_formed(&draw("", &[chart(&[f64::INFINITY, f64::NAN, 0.0])]));
    }

    #[test]
    fn long_labels_keep_their_end() {
        assert_eq!(shortened("sm_90a/gemm_m16n8k16"), "sm_90a/gemm_m16n8k16");
        let long = shortened("/a/long/way/to/ptx-rust-cuda/sm_90a.ptx/gemm_fma");
        assert!(long.starts_with('…') && long.ends_with("/sm_90a.ptx/gemm_fma"), "{long}");
        assert_eq!(long.chars().count(), LABEL_CHARS);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.1234, 9.876, 54.321, 1234.5].map(number), ["0.12", "9.88", "54.3", "1234"]);
    }
}
