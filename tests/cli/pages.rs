//! Pages of honest results, and of results that attack whoever looks at them.

use attest::mining::issue::{Request, issue};
use attest::protocol::challenge::Challenge;
use attest::protocol::json::is_shown;
use attest::protocol::result::ResultDoc;
use attest::report::{Origin, Report, Round, Told, page};
use serde_json::{Value, json};

/// Script, attribute, URL, comment, end of a style, and letters that turn text around.
pub(super) const ATTACKS: [&str; 7] = [
    "</script><script>alert(1)</script>",
    "\" onload=\"alert(1)\" x=\"'><img src=x onerror=alert(1)>",
    "<a href=\"javascript:alert(1)\">x</a>",
    "<!--<script>",
    "</style></title><svg onload=alert(1)>",
    "\u{202e}kcatta\u{2066}\u{200f}",
    "&lt;script&gt;\u{2028}\u{9b}31m\u{7}",
];

fn challenge() -> Challenge {
    let request = Request { matrix_dim: Some(128), num_iterations: Some(2), ..Request::default() };
    issue(&request).unwrap()
}

/// A lane whose every text is `text`.
fn lane(text: &str) -> Value {
    let spread = json!({ "min": 1, "median": 2, "max": 3, "last": 2 });
    json!({
        "uuid": "01".repeat(16), "model": text, "memory_bytes": 150_000_000_000_u64,
        "sm_count": 3, "sm_tiles": ["7", "0", "9"], "sm_monitoring": text,
        "sm_activity": { "warnings": [text], "first_spread_ns": "5", "last_spread_ns": "6" },
        "pci_id": text, "serial": text, "driver_version": text, "kernel_variant": text,
        "compute_capability": text, "simd": text,
        "elapsed_ns": "3000000000", "achieved_flops": "54000000000000",
        "operand_bytes_per_s": "40000000000", "power_limit_mw": 700_000,
        "timing": { "elapsed_ns": 3_000_000_000_u64, "sync_wait_ns": 1_000_000, "tflops": text,
            "device": { "sampled_iterations": 2, "fill_ns": 500_000, "product_ns": 19_000_000,
                "tree_and_step_ns": 100_000, "between_segments_ns": 50_000 } },
        "sync_times": [[1, 100, 200], [2, 300, 400, 50]],
        "telemetry": { "samples": 2, "power_mw": spread, "throttle_reasons": [text],
            "series": { "at_ms": [0, 500], "power_mw": [300_000, 690_000] } },
    })
}

fn result(challenge: &Challenge, text: &str) -> ResultDoc {
    let mut other = lane(text);
    other["uuid"] = json!("02".repeat(16));
    let lanes = |uuid: &str| json!({ "uuid": uuid.repeat(16), "iteration_roots": ["03".repeat(32), "04".repeat(32)] });
    let result = json!({
        "version": 1, "challenge_digest": challenge.digest(), "commitment": "05".repeat(32),
        "lanes": [lanes("01"), lanes("02")], "openings": [],
        "evidence": {
            "schema": 1, "executor": "gpu", "lanes": [lane(text), other],
            "sync": { "points": 2, "overhead_ppm": 400, "skew_ppm": 2000 },
            "findings": [{ "code": text, "text": text }, { "code": "device-shared", "text": text }],
        },
    });
    ResultDoc::from_bytes(result.to_string().as_bytes(), challenge).unwrap()
}

/// A session's verdict with `text` wherever a text stands.
fn verdict(challenge: &Challenge, text: &str) -> Value {
    let shown = json!({ "lanes": 2, "fp64_flops": 53_190_000_000_000_u64 });
    let fact = |grade| json!({ "grade": grade, "subject": text, "text": text });
    let policy =
        json!({ "policy": text, "reasons": [{ "code": text, "text": text, "weight": text }] });
    let round = json!({
        "outcome": "verified", "work": "proven", "challenge_digest": challenge.digest(),
        "commitment": "05".repeat(32), "openings": 400, "elapsed_ns": 3_100_000_000_u64,
        "bound": { "kind": "sampled", "omitted_share": 0.1, "log10_escape": -18.31 },
        "facts": [fact("proven"), fact("measured"), fact("signed-by-device"), fact("signed-by-machine"), fact("claimed")],
        "not_checked": [text], "shown": shown, "policy": policy,
    });
    json!({
        "outcome": "rejected", "code": text, "detail": text, "shown": shown, "policy": policy,
        "rounds": [{ "round": 0, "kind": text, "on": text, "verdict": round }],
        "not_reached": [{ "round": 1, "kind": text }], "address": text,
        "network": { text: text },
        "models": { "possible": [text], "excluded": [{ "model": "NVIDIA L40S", "by": [text] }],
            "equivalents": [{ "model": text, "count": 2 }, { "model": "NVIDIA L40S", "count": 99 }] },
        "price": { "currency": text, "claimed_per_hour": 14.0, "cheapest_per_hour": 13.2,
            "cheapest": [{ "model": text, "count": 2 }] },
    })
}

fn report(text: &str) -> (String, Value, ResultDoc) {
    let challenge = challenge();
    let (result, verdict) = (result(&challenge, text), verdict(&challenge, text));
    let told = Told::read(&verdict.to_string()).unwrap();
    assert_eq!(told.fits(&challenge, &result), Ok(0));
    let rounds = [Round { number: 0, challenge: &challenge, result: Some(&result) }];
    let report = Report {
        made_at: "2026-01-31T12:00:00Z",
        origin: Origin::Given(text),
        told: &told,
        rounds: &rounds,
    };
    (page(&report), verdict, result)
}

/// The text of the element that begins with `open`.
fn inside<'a>(page: &'a str, open: &str, close: &str) -> &'a str {
    let from = page.find(open).unwrap_or_else(|| panic!("no {open}")) + open.len();
    &page[from..from + page[from..].find(close).expect("it is closed")]
}

/// Nothing is markup, loads or runs in a report but what is its own.
#[track_caller]
fn assert_harmless(page: &str) {
    let data = inside(page, "<script type=\"application/json\" id=\"attest-data\">", "</script>");
    for bad in ["<", "\u{2028}"] {
        assert!(!data.contains(bad), "{bad:?} in the data");
    }
    assert_markup(&page.replace(data, ""), |to| to.starts_with('#') || to == "data:,");
}

/// Names of elements and attributes, and what may load or run. `is_own` says it of links.
#[track_caller]
pub(super) fn assert_markup(page: &str, is_own: impl Fn(&str) -> bool) {
    const ELEMENTS: [&str; 61] = [
        "a",
        "b",
        "bdi",
        "body",
        "button",
        "caption",
        "circle",
        "code",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "header",
        "html",
        "li",
        "line",
        "link",
        "main",
        "meta",
        "output",
        "p",
        "polygon",
        "polyline",
        "pre",
        "rect",
        "script",
        "section",
        "span",
        "style",
        "summary",
        "progress",
        "select",
        "option",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
        "!DOCTYPE",
        "label",
        "input",
        "nav",
        "noscript",
        "strong",
        "em",
    ];
    let style = inside(page, "<style>", "</style>");
    let script = inside(page, "<script>", "</script>");
    let rest = page.replace(style, "").replace(script, "");
    for part in rest.split('<').skip(1) {
        let tag = part.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        assert!(ELEMENTS.contains(&name), "element {name:?} in <{tag}>");
        // Values are in double quotes, and have none.
        let outside: String = tag.split('"').step_by(2).collect();
        // The first is the element's.
        let names = outside.split([' ', '=']).filter(|name| !name.is_empty()).skip(1);
        for name in names.map(str::to_ascii_lowercase) {
            assert!(!name.starts_with("on"), "attribute {name} in <{tag}>");
            assert!(
                !["style", "src", "srcset", "xlink:href", "formaction"].contains(&&*name),
                "{tag}"
            );
        }
        if let Some((_, after)) = tag.split_once("href=\"") {
            let to = after.split('"').next().unwrap();
            assert!(is_own(to), "{tag}");
        }
    }
    let turning = page.chars().find(|&c| c != '\n' && !is_shown(c));
    assert_eq!(turning, None, "a letter that is not shown or turns text around");
}

#[test]
fn nothing_that_a_miner_or_a_verdict_says_is_markup() {
    for text in ATTACKS {
        let (page, verdict, result) = report(text);
        assert_harmless(&page);
        let open = "<script type=\"application/json\" id=\"attest-data\">";
        let data: Value = serde_json::from_str(inside(&page, open, "</script>")).unwrap();
        assert_eq!(data["verdict"], verdict, "the raw data is unchanged");
        assert_eq!(data["rounds"][0]["result"], serde_json::to_value(&result).unwrap());
    }
}

/// The check itself finds what it is for.
#[test]
#[should_panic(expected = "attribute onload")]
fn a_handler_would_be_found() {
    let (page, ..) = report("x");
    assert_harmless(&page.replace("<h1>", "<h1 onload=\"x\">"));
}

#[test]
fn a_page_has_all_that_there_is_to_see() {
    let (page, ..) = report("a text");
    for part in [
        "■ Shown",
        "◧ Measured",
        "◈ Signed by the device",
        "□ Claimed",
        "53.19 TFLOP/s",
        "10^-18.3",
        "2 of 3 SMs worked",
        "Power, W",
        "limit 700",
        "Barrier arrivals",
        "products, hashes",
        "Roofline",
        "What the policy holds against it",
        "Not checked",
        "was planned and not held",
        "NVIDIA L40S",
        "What a liar would have had to spend",
        "other processes compute on a device.",
        "id=\"recompute\"",
        "Verdict (JSON)",
        "nothing was recomputed when this page was made",
        "prefers-color-scheme:dark",
        "@media print",
        "lang=\"en\"",
        "<caption>",
        "<main id=\"main\">",
    ] {
        assert!(page.contains(part), "{part:?} is missing");
    }
    let charts = page.matches("<svg class=\"chart\" role=\"img\" aria-label=\"").count();
    assert_eq!(charts, page.matches("<svg").count(), "each chart has a name");
    assert!(charts >= 9, "{charts}");
}

#[test]
fn a_verdict_on_another_result_does_not_fit() {
    let (ours, theirs) = (challenge(), challenge());
    let told = Told::read(&verdict(&ours, "a").to_string()).unwrap();
    assert!(told.fits(&theirs, &result(&theirs, "a")).is_err(), "another challenge");
    let mut other = result(&ours, "a");
    other.commitment.0[0] ^= 1;
    assert!(told.fits(&ours, &other).is_err(), "another commitment");
}

#[test]
fn the_same_inputs_give_the_same_page() {
    let challenge = challenge();
    let (result, told) =
        (result(&challenge, "a"), Told::read(&verdict(&challenge, "a").to_string()).unwrap());
    let rounds = [Round { number: 0, challenge: &challenge, result: Some(&result) }];
    let report = Report { made_at: "now", origin: Origin::Verified, told: &told, rounds: &rounds };
    assert_eq!(page(&report), page(&report));
}
