//! The shell of every page: what it may load, how it looks, its one script and its data.
//!
//! Guarantees: nothing is loaded from elsewhere, and no style or script runs that is not
//! this program's own, by digest; the whole page has no character that is not shown or
//! that turns text around.

use crate::chart::dark_rules;
use crate::protocol::json::{is_shown, shown};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// The one script: what the page does, and the verifier in the browser.
const SCRIPT: &str =
    concat!(include_str!("assets/report.js"), "\n", include_str!("assets/recompute.js"));

/// The page; `data` is JSON for the script.
pub(super) fn whole(title: &str, made_at: &str, body: &Markup, data: Option<&str>) -> String {
    let style = style("");
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}' 'wasm-unsafe-eval'; \
         img-src data:; base-uri 'none'; form-action 'none'",
        digest(&style),
        digest(SCRIPT)
    );
    let foot = html! {
        "Made by attest " (env!("CARGO_PKG_VERSION")) " at " time { (made_at) }
        ". This page is one file: it loads nothing and sends nothing."
    };
    let frame = Frame { title, style: &style, script: SCRIPT, policy: Some(&policy), foot: &foot };
    frame.around(body, data)
}

/// What stands around a page's body.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) style: &'a str,
    pub(crate) script: &'a str,
    /// The policy of content, unless a server says it.
    pub(crate) policy: Option<&'a str>,
    pub(crate) foot: &'a Markup,
}

impl Frame<'_> {
    /// The page. Nothing in it turns text around or is not shown.
    pub(crate) fn around(&self, body: &Markup, data: Option<&str>) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    @if let Some(policy) = self.policy {
                        meta http-equiv="Content-Security-Policy" content=(policy);
                    }
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="referrer" content="no-referrer";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(self.style)) }
                }
                body {
                    a.skip href="#main" { "Skip to the details" }
                    (body)
                    footer { p { (self.foot) } }
                    @if let Some(data) = data {
                        script type="application/json" id="attest-data" { (PreEscaped(in_script(data))) }
                    }
                    script { (PreEscaped(self.script)) }
                }
            }
        };
        page.into_string().chars().map(|c| if c == '\n' { c } else { shown(c) }).collect()
    }
}

/// The style of every page, and more.
pub(crate) fn style(more: &str) -> String {
    let dark = dark_rules(".chart");
    let mut style = include_str!("assets/report.css").to_owned() + more;
    // Paper is white.
    let _ = write!(style, "@media screen and (prefers-color-scheme:dark){{{dark}}}");
    style
}

/// As a policy of content names a style or a script.
pub(crate) fn digest(text: &str) -> String {
    BASE64.encode(Sha256::digest(text))
}

/// JSON that ends no script element and turns nothing around: all such characters are in
/// strings, which have another way of writing them.
fn in_script(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if !matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') && is_shown(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_script_says_the_same_and_ends_nothing() {
        let text = "</script><!--<script>&\u{2028}\u{202e}\u{85}\u{e0001}é😀\"\\\n";
        let json = serde_json::to_string(&[text]).unwrap();
        let written = in_script(&json);
        for bad in ["<", ">", "&", "\u{2028}", "\u{202e}", "\u{85}"] {
            assert!(!written.contains(bad), "{bad:?} in {written}");
        }
        assert_eq!(serde_json::from_str::<[String; 1]>(&written).unwrap(), [text]);
    }

    #[test]
    fn the_policy_names_what_the_page_has() {
        let page = whole("t", "now", &html! { p { "x" } }, Some("{}"));
        for (open, close) in [("<style>", "</style>"), ("<script>", "</script>")] {
            let from = page.find(open).unwrap() + open.len();
            let to = from + page[from..].find(close).unwrap();
            assert!(page.contains(&format!("sha256-{}", digest(&page[from..to]))), "{open}");
        }
        assert!(page.contains("default-src 'none'") || page.contains("default-src &#39;none"));
        assert!(!page.contains("style=\"") && !page.contains("unsafe-inline"));
    }
}
