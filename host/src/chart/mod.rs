//! Charts as SVG, drawn by plotters.
//!
//! ```text
//! ink       colours, each once for light and once for dark pages
//! canvas    a drawing, its title and description; a file of several drawings
//! bars      horizontal bars under ceilings           heat    a field of cells
//! lines     figures over time, and points            spans   shares of a length
//! roofline  rates over intensities under ceilings
//! ```
//!
//! Guarantees: the same figures give the same bytes; a drawing loads nothing and has no
//! script; every colour in it is an [`Ink`], which a style sheet turns dark; whatever
//! figures and labels are, a drawing comes of them: what is not finite is left out.
//! Deliberately lacks: meaning. What a figure is worth is said beside the drawing.

mod bars;
mod canvas;
mod heat;
mod ink;
mod lines;
mod roofline;
mod spans;

pub use bars::{Bar, BarChart, COUNT, Group, Limit};
pub use canvas::{Svg, file};
pub use heat::HeatMap;
pub use ink::{Ink, dark_rules};
pub use lines::{Line, LineChart, Mark};
pub use roofline::{Roof, Roofline, RooflinePoint};
pub use spans::{Span, SpanChart};

/// Three digits or so.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
