//! A drawing: plotters' SVG with a name for those who cannot see it.

use super::ink::{Ink, dark_rules};
use plotters::chart::MeshStyle;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind};
use plotters::prelude::{IntoDrawingArea as _, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontFamily, FontStyle, IntoFont as _, TextStyle};
use std::io;

/// Where a chart draws, in pixels.
pub(super) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Axes and lines of a chart, before they are drawn.
type Mesh<'a, 'b, 'c> = MeshStyle<'a, 'b, RangedCoordf64, RangedCoordf64, SVGBackend<'c>>;
/// Why a drawing fails: no chart has a reason to.
pub(super) type Failure = DrawingAreaErrorKind<io::Error>;

/// Width of every drawing.
pub(super) const WIDTH: u32 = 960;
/// Sizes of letters, as plotters counts: 1.24 of what the drawing has.
pub(super) const SMALL: f64 = 14.0;
pub(super) const NORMAL: f64 = 16.0;

/// A drawing that can stand in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Svg {
    /// The element.
    text: String,
    height: u32,
}

impl Svg {
    /// Draws on an area of `height` pixels; `label` says in words what is to be seen.
    pub(super) fn draw(
        height: u32,
        label: &str,
        drawing: impl FnOnce(&Area<'_>) -> Result<(), Failure>,
    ) -> Self {
        let mut text = String::new();
        let done = {
            let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
            drawing(&area).and_then(|()| area.present())
        };
        let label = match done {
            Ok(()) => label.to_owned(),
            Err(error) => format!("{label} (not drawn whole: {error})"),
        };
        let opening = format!(
            "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" ",
            escaped(&label).replace('"', "&quot;")
        );
        Self { text: legal(&text).replacen("<svg ", &opening, 1), height }
    }

    /// The element, for an HTML page.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Gives axes, their words and the lines behind figures the look of every chart.
pub(super) fn quiet(mesh: &mut Mesh<'_, '_, '_>) {
    let small = |h, v| words(SMALL, Ink::Quiet, h, v);
    mesh.light_line_style(Ink::Grid.colour().mix(0.0))
        .bold_line_style(Ink::Grid.colour())
        .axis_style(Ink::Quiet.colour())
        .x_label_style(small(HPos::Center, VPos::Top))
        .y_label_style(small(HPos::Right, VPos::Center))
        .axis_desc_style(small(HPos::Center, VPos::Top));
}

/// Drawings below each other under a heading, as one file that needs nothing else.
pub fn file(heading: &str, drawings: &[Svg]) -> String {
    const TOP: u32 = 48;
    let height = TOP + drawings.iter().map(|svg| svg.height).sum::<u32>();
    let mut y = TOP;
    let mut body = String::new();
    for svg in drawings {
        body.push_str(&svg.text.replacen("<svg ", &format!("<svg y=\"{y}\" "), 1));
        y += svg.height;
    }
    let (paper, ink) = ("#FFFFFF", "#171B20");
    let (label, heading) = (escaped(heading).replace('"', "&quot;"), escaped(heading));
    legal(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n\
         <style>text{{font-family:system-ui,sans-serif}}\
         @media (prefers-color-scheme:dark){{{}}}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{paper}\"/>\n\
         <text x=\"16\" y=\"30\" font-size=\"18\" font-weight=\"bold\" fill=\"{ink}\">{heading}</text>\n\
         {body}</svg>\n",
        dark_rules("svg")
    ))
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Without control characters, which XML lacks, and those that turn text around.
fn legal(text: &str) -> String {
    let legal = |c| match c {
        '\n' => '\n',
        '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        c => crate::protocol::json::shown(c),
    };
    text.chars().map(legal).collect()
}

/// How words are written that stand at `h` and `v` of their place.
pub(super) fn words(size: f64, ink: Ink, h: HPos, v: VPos) -> TextStyle<'static> {
    TextStyle {
        font: (FontFamily::SansSerif, size).into_font(),
        color: ink.colour().to_backend_color(),
        pos: Pos::new(h, v),
    }
}

/// The same in bold.
pub(super) fn bold(style: TextStyle<'static>) -> TextStyle<'static> {
    TextStyle { font: style.font.style(FontStyle::Bold), ..style }
}

/// The text, or its end if it is longer than `chars_max`: of a path, the file.
pub(super) fn shortened(label: &str, chars_max: usize) -> String {
    let length = label.chars().count();
    if length <= chars_max {
        return label.to_owned();
    }
    "…".chars().chain(label.chars().skip(length - chars_max + 1)).collect()
}
