//! The colours of charts: what a drawing holds is the light one, and a style sheet's rules
//! put the dark one in its place.

use plotters::style::RGBColor;
use std::fmt::Write as _;

macro_rules! inks {
    ($($name:ident $light:literal $dark:literal $what:literal;)*) => {
        /// A colour of a chart.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Ink {
            $(#[doc = $what] $name,)*
        }

        impl Ink {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            const fn rgb(self) -> (u32, u32) {
                match self { $(Self::$name => ($light, $dark),)* }
            }
        }
    };
}

inks! {
    Paper 0xffffff 0x12171c "What it is drawn on.";
    Text 0x171b20 0xe7eaee "Words.";
    Quiet 0x59626d 0x9aa5b1 "Words of less weight, axes.";
    Grid 0xdde2e7 0x2b333b "Lines behind the figures.";
    Main 0x0b7261 0x3fc1a5 "What the chart is about.";
    Light 0x94cdbf 0x1f6b5c "The same with something left out.";
    Grey 0x878f99 0x6d7883 "What it is compared with.";
    Limit 0xb3402a 0xff8f73 "A line that figures are measured against.";
    Blue 0x1f5fae 0x79aef2 "The second series.";
    Amber 0x8f5b00 0xe3b04b "The third.";
    Violet 0x7340a8 0xc49bf0 "The fourth.";
    Pink 0xad2f74 0xf28fc0 "The fifth.";
    Olive 0x5c6b00 0xb9cc4e "The sixth.";
    Sky 0x00708a 0x5cc7e0 "The seventh.";
    Brown 0x774f38 0xd3a486 "The eighth.";
    Idle 0xf4d3cd 0x5a2a22 "A cell of nothing.";
    Heat0 0xe6f3f0 0x16302c "The coldest cell.";
    Heat1 0xc3e3dc 0x1b4a42 "A cell.";
    Heat2 0x99cfc4 0x1f665a "A cell.";
    Heat3 0x63b3a4 0x237a6b "A cell.";
    Heat4 0x2b8f7e 0x39a892 "A cell.";
    Heat5 0x0a6656 0x59d2b8 "The hottest cell.";
    OnHot 0xfefefe 0x06110f "Words on hot cells and on full bars.";
}

impl Ink {
    /// For lanes and other series, one after the other, over and over.
    pub fn of_series(index: usize) -> Self {
        const SERIES: [Ink; 8] = [
            Ink::Main,
            Ink::Blue,
            Ink::Amber,
            Ink::Violet,
            Ink::Pink,
            Ink::Olive,
            Ink::Sky,
            Ink::Brown,
        ];
        SERIES[index % SERIES.len()]
    }

    /// From the coldest, 0, to the hottest, 1.
    pub fn of_heat(share: f64) -> Self {
        const STEPS: [Ink; 6] =
            [Ink::Heat0, Ink::Heat1, Ink::Heat2, Ink::Heat3, Ink::Heat4, Ink::Heat5];
        STEPS[((share.clamp(0.0, 1.0) * 6.0) as usize).min(5)]
    }

    /// Words on it that can be read, on light pages as on dark ones.
    pub fn words_on(self) -> Self {
        match self {
            Self::Heat4 | Self::Heat5 | Self::Main | Self::Blue | Self::Amber => Self::OnHot,
            _ => Self::Text,
        }
    }

    pub(super) fn colour(self) -> RGBColor {
        let (light, _) = self.rgb();
        RGBColor((light >> 16) as u8, (light >> 8) as u8, light as u8)
    }

    /// As plotters writes it.
    fn light(self) -> String {
        format!("#{:06X}", self.rgb().0)
    }
}

/// Rules of a style sheet that turn what `selector` finds dark.
pub fn dark_rules(selector: &str) -> String {
    let mut rules = String::new();
    for ink in Ink::ALL {
        let (light, dark) = (ink.light(), ink.rgb().1);
        for what in ["fill", "stroke"] {
            // Writing to a String cannot fail.
            let _ = write!(rules, "{selector} [{what}=\"{light}\"]{{{what}:#{dark:06x}}}");
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rules_tell_all_inks_apart() {
        let all: BTreeSet<String> = Ink::ALL.iter().map(|ink| ink.light()).collect();
        assert_eq!(all.len(), Ink::ALL.len());
        let rules = dark_rules("svg");
        assert!(rules.contains("svg [fill=\"#171B20\"]{fill:#e7eaee}"), "{rules}");
    }

    /// WCAG 2.2: 4.5 for words, 3 for what must be seen.
    #[test]
    fn words_stand_out_from_what_they_are_on() {
        let luminance = |rgb: u32| {
            let part = |shift: u32| {
                let c = f64::from((rgb >> shift) & 255) / 255.0;
                if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
        };
        let contrast = |a: u32, b: u32| {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        let check = |on: Ink, words: Ink, least: f64| {
            let ((a, c), (b, d)) = (on.rgb(), words.rgb());
            assert!(contrast(a, b) >= least, "{words:?} on {on:?}: {}", contrast(a, b));
            assert!(contrast(c, d) >= least, "{words:?} on dark {on:?}: {}", contrast(c, d));
        };
        for words in [Ink::Text, Ink::Quiet, Ink::Limit] {
            check(Ink::Paper, words, 4.5);
        }
        for step in 0..6 {
            let on = Ink::of_heat(f64::from(step) / 6.0 + 0.01);
            check(on, on.words_on(), 3.8);
        }
        for ink in (0..8).map(Ink::of_series).chain([Ink::Grey]) {
            check(Ink::Paper, ink, 3.0);
        }
        check(Ink::Idle, Ink::Text, 4.5);
    }
}
