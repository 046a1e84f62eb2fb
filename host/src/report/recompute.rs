//! The place of the page in which whoever mistrusts the sender recomputes openings.

use super::Round;
use maud::{Markup, html};

/// The section; hidden until the script finds that it can do something.
pub(super) fn section(rounds: &[Round<'_>]) -> Markup {
    html! {
        @if rounds.iter().any(|round| round.result.is_some()) {
            section id="recompute" aria-labelledby="recompute-title" hidden {
                h2 id="recompute-title" { "Recompute in this browser" }
            }
        }
    }
}
