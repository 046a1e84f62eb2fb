//! What `attest inspect` shows of a result, as text.

use crate::paint::grouped;
use attest::inspect::Summary;
use std::fmt::{self, Write as _};

/// For people. What a stranger wrote is escaped: this goes to a terminal.
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn fmt::Display| {
        let _ = writeln!(out, "{name:<14}{value}");
    };
    line("result", &format_args!("{} (not verified)", summary.commitment));
    line("challenge", &summary.challenge_digest);
    line("session", &summary.coin.map_or("none: no coin", |_| "live: it has a coin"));
    line("executor", &format_args!("{} (claimed)", summary.executor().escape_debug()));
    for (index, lane) in summary.lanes().enumerate() {
        let (model, iterations) = (lane.model.escape_debug(), grouped(lane.iterations));
        let text = format!("{} {model}, {iterations} iterations", lane.uuid);
        line(&format!("lane {index}"), &text);
    }
    line("openings", &grouped(summary.openings()));
    line("signed", if summary.is_signed() { &"by the miner, not checked" } else { &"no" });
    out
}
