//! The place of the page in which whoever mistrusts the sender recomputes openings: a
//! button, what it shows and what not, and the verifier as a WebAssembly module
//! (`host/wasm`, compiled by `cargo xtask wasm`).

use super::Round;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{Markup, html};

/// The verifier; it imports nothing, so it can do nothing but compute.
const MODULE: &[u8] = include_bytes!("../../wasm/module/attest.wasm");

/// How many leaves the button offers to recompute; 0 is all.
const LEAVES: [u32; 4] = [16, 64, 256, 0];

/// The section; the script shows it.
pub(super) fn section(rounds: &[Round<'_>]) -> Markup {
    html! {
        @if rounds.iter().any(|round| round.result.is_some()) {
            section.screen id="recompute" aria-labelledby="recompute-title" hidden {
                h2 id="recompute-title" { "Recompute in this browser" }
                p {
                    "This page has the challenge and the whole result in it. The button checks here, without "
                    "the network, that the result is one to its challenge: chain, commitment, which leaves "
                    "had to be opened. Then it recomputes opened leaves, drawn at random, to the last bit, and "
                    "follows each to the root that the result committed to."
                }
                p {
                    label for="recompute-count" { "Leaves" } " "
                    select id="recompute-count" {
                        @for count in LEAVES {
                            option value=(count) { @if count == 0 { "all" } @else { (count) } }
                        }
                    } " "
                    button id="recompute-start" type="button" { "Recompute" } " "
                    button id="recompute-stop" type="button" hidden { "Stop" }
                }
                p { progress id="recompute-progress" aria-label="Leaves recomputed" value="0" max="1" hidden {} }
                p id="recompute-outcome" role="status" {}
                ul id="recompute-faults" hidden {}
                h3 { "What this shows" }
                p { "That the leaves recomputed are right for this challenge. A miner that left a share of the work out passes with n random leaves only with probability (1 − share)ⁿ, as long as the opened leaves were not known before the commitment." }
                h3 { "What it does not show" }
                ul {
                    li { "When the work was done, how fast, by whom, on which hardware: of that the page has the verdict’s word, or the miner’s." }
                    li { "That the challenge came from the validator you think of: compare its digest with the validator’s." }
                    li { "That the page is honest. Its sender could have changed this button, too. If you don’t trust the sender, save challenge and result from the raw data below, and check them with an attest of your own: " code { "attest verify result.json --challenge @token.txt" } }
                }
                script type="application/octet-stream" id="attest-wasm" { (BASE64.encode(MODULE)) }
            }
        }
    }
}
