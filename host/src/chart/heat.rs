//! A field of cells, hotter for more: tiles of each SM.

use super::canvas::{Area, Failure, SMALL, Svg, WIDTH, words};
use super::ink::Ink;
use plotters::element::{Rectangle, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

/// Cells in rows, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeatMap {
    /// What is to be seen, in words.
    pub label: String,
    /// Of each cell.
    pub values: Vec<u64>,
}

/// Cells of more than this many are drawn without their figures.
const FIGURES_MAX: usize = 320;
/// No more cells are drawn; no device has a tenth as many.
const CELLS_MAX: usize = 4096;
const LEFT: i32 = 44;
const GAP: i32 = 2;

impl HeatMap {
    /// The drawing.
    pub fn draw(&self) -> Svg {
        let cells = self.values.len().min(CELLS_MAX);
        let (columns, high) = match cells {
            0..=FIGURES_MAX => (22, 30),
            _ => (64, 12),
        };
        let rows = cells.div_ceil(columns as usize).max(1) as i32;
        let height = (rows * high + 26) as u32;
        Svg::draw(height, &self.label, |area| self.draw_on(area, columns, high))
    }

    fn draw_on(&self, area: &Area<'_>, columns: i32, high: i32) -> Result<(), Failure> {
        let wide = (WIDTH as i32 - LEFT) / columns;
        let (least, most) = self.range();
        let shows_figures = self.values.len() <= FIGURES_MAX;
        let axis = words(SMALL - 1.0, Ink::Quiet, HPos::Right, VPos::Center);
        let top = words(SMALL - 1.0, Ink::Quiet, HPos::Center, VPos::Top);
        for column in 0..columns.min(self.values.len() as i32) {
            if shows_figures || column % 8 == 0 {
                let place = (LEFT + column * wide + wide / 2, 2);
                area.draw(&Text::new(format!("+{column}"), place, top.clone()))?;
            }
        }
        for (at, &value) in self.values.iter().take(CELLS_MAX).enumerate() {
            let (row, column) = (at as i32 / columns, at as i32 % columns);
            let (x, y) = (LEFT + column * wide, 20 + row * high);
            if column == 0 {
                area.draw(&Text::new(at.to_string(), (LEFT - 8, y + high / 2), axis.clone()))?;
            }
            let ink = match value {
                0 => Ink::Idle,
                _ if most == least => Ink::Heat2,
                _ => Ink::of_heat((value - least) as f64 / (most - least) as f64),
            };
            let corners = [(x, y), (x + wide - GAP, y + high - GAP)];
            area.draw(&Rectangle::new(corners, ink.colour().filled()))?;
            if shows_figures {
                let style = words(SMALL - 1.5, ink.words_on(), HPos::Center, VPos::Center);
                let place = (x + (wide - GAP) / 2, y + high / 2 - 1);
                area.draw(&Text::new(in_five(value), place, style))?;
            }
        }
        Ok(())
    }

    /// The least that is not 0, and the most.
    fn range(&self) -> (u64, u64) {
        let some = || self.values.iter().copied().filter(|&value| value > 0);
        (some().min().unwrap_or(0), some().max().unwrap_or(0))
    }
}

/// A count in five characters.
fn in_five(value: u64) -> String {
    match value {
        0..=99_999 => value.to_string(),
        100_000..=999_999 => format!("{}k", value / 1000),
        1_000_000..=99_999_999 => format!("{:.1}M", (value / 100_000) as f64 / 10.0),
        _ => format!("{:.0e}", value as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_its_figure_and_its_heat() {
        let svg = HeatMap { label: "SMs".to_owned(), values: vec![0, 10, 20] }.draw();
        let text = svg.as_str();
        // Idle, coldest, hottest.
        for colour in ["#F4D3CD", "#E6F3F0", "#0A6656"] {
            assert_eq!(text.matches(colour).count(), 1, "{colour} in {text}");
        }
        assert!(text.contains(">\n20\n<") && text.contains("aria-label=\"SMs\""), "{text}");
    }

    #[test]
    fn any_number_of_cells_is_drawn() {
        let cells = |values: Vec<u64>| HeatMap { label: String::new(), values }.draw();
        assert_eq!(cells(Vec::new()).as_str().matches("<rect").count(), 0);
        assert_eq!(cells(vec![u64::MAX; 132]).as_str().matches("<rect").count(), 132);
        assert_eq!(cells(vec![1; 30_000]).as_str().matches("<rect").count(), CELLS_MAX);
        let texts: Vec<_> = [9, 99_999, 123_456, 1_250_000, u64::MAX].map(in_five).into();
        assert_eq!(texts, ["9", "99999", "123k", "1.2M", "2e19"]);
    }
}
