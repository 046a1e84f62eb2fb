//! What a dashboard shows of a ledger, what it is asked for, and what attacks whoever looks.

use super::pages::{ATTACKS, assert_markup};
use crate::common::site::{Answer, Site};
use attest::ledger::{
    self, Accepting, Ending, HISTORY_WINDOW, Ledger, Location, Meeting, Peer, SettledAs,
    Settlement, Sighting,
};
use attest::mining::issue::{Request, issue};
use attest::protocol::digest::{Digest, Uuid};
use attest::protocol::names::{Coin, Commitment};
use attest::protocol::signature::EncodedKey;
use attest::session::clock::unix_ms;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A ledger that is written while it is looked at.
pub(super) struct Written {
    pub(super) folder: tempfile::TempDir,
    pub(super) ledger: Arc<dyn Ledger>,
}

/// One session on record.
pub(super) struct Case<'a> {
    /// Of key, device and commitment.
    pub(super) number: u8,
    pub(super) issued_unix_ms: u64,
    /// `None`: under way.
    pub(super) outcome: Option<SettledAs>,
    /// All that a miner says.
    pub(super) text: &'a str,
}

impl Written {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = ledger::open(&Location::File(folder.path().join("ledger.sqlite")));
        Self { folder, ledger: ledger.expect("it opens") }
    }

    pub(super) fn location(&self) -> Location {
        Location::File(self.folder.path().join("ledger.sqlite"))
    }

    pub(super) fn site(&self) -> Site {
        Site::of(&self.location())
    }

    /// Issues a challenge.
    pub(super) fn issue(&self, issued_unix_ms: u64) -> Digest {
        let request = Request { matrix_dim: Some(128), ..Request::default() };
        let challenge = issue(&request).expect("a challenge");
        self.ledger.issue(&challenge, challenge.token(), issued_unix_ms).expect("issued");
        challenge.digest()
    }

    /// Takes a commitment for `c`, with a device.
    pub(super) fn accept(&self, c: &Digest, case: &Case<'_>) {
        let (now, text) = (case.issued_unix_ms, || Some(case.text.to_owned()));
        let miner = Some(key(case.number));
        let uuid = Uuid([case.number; 16]);
        let device = Sighting {
            uuid,
            serial: text(),
            pci: text(),
            host: text(),
            miner,
            die: None,
            die_serial: None,
        };
        let accepting = Accepting {
            commitment: Commitment([case.number; 32]),
            coin: Coin::new([case.number; 32]).unwrap(),
            arrived_unix_ms: now + 1000,
            devices: &[device],
            until_unix_ms: now + 3_600_000,
            window: HISTORY_WINDOW,
        };
        self.ledger.accept_session(c, &accepting).expect("accepted");
    }

    /// Records its verdict.
    pub(super) fn settle(&self, c: &Digest, outcome: SettledAs, case: &Case<'_>) {
        let code = (outcome == SettledAs::Rejected).then(|| case.text.to_owned());
        let uuid = Uuid([case.number; 16]);
        let claim = format!("lane 0: executor gpu, model {:?}, uuid {uuid}", case.text);
        let mut verdict = json!({
            "outcome": outcome, "work": "proven", "detail": case.text,
            "shown": { "lanes": 1, "fp64_flops": 53_190_000_000_000_u64 },
            "facts": [{ "grade": "claimed", "subject": "lane", "text": claim }],
        });
        if let Some(code) = &code {
            verdict["code"] = json!(code);
        }
        let settlement = Settlement {
            outcome,
            code,
            verdict_json: verdict.to_string(),
            miner: Some(key(case.number)),
            settled_unix_ms: case.issued_unix_ms + 2000,
        };
        self.ledger.settle(c, &settlement).expect("settled");
    }

    /// A whole session, or its beginning, met at an address.
    pub(super) fn hold(&self, case: &Case<'_>) -> Digest {
        let c = self.issue(case.issued_unix_ms);
        self.accept(&c, case);
        if let Some(outcome) = case.outcome {
            self.settle(&c, outcome, case);
        }
        self.meet(case, Ending::Challenged(c));
        c
    }

    pub(super) fn meet(&self, case: &Case<'_>, ending: Ending) {
        let meeting = Meeting {
            met_unix_ms: case.issued_unix_ms,
            peer: Peer::Claimed(key(case.number)),
            address: Some(case.text.to_owned()),
            ending,
            round_trip: Some(Duration::from_micros(900)),
            session: None,
        };
        self.ledger.meet(&meeting).expect("met");
    }
}

pub(super) fn key(byte: u8) -> EncodedKey {
    EncodedKey([byte; 32])
}

/// A miner that was verified, one that was rejected, one under way and one that never
/// answered.
fn example() -> (Written, [Digest; 4]) {
    let (written, now) = (Written::new(), unix_ms());
    let case = |number, outcome, text, ago_ms| Case {
        number,
        issued_unix_ms: now - ago_ms,
        outcome,
        text,
    };
    let two_days = 48 * 3_600_000;
    let verified = written.hold(&case(1, Some(SettledAs::Verified), "NVIDIA H200", two_days));
    let rejected = written.hold(&case(2, Some(SettledAs::Rejected), "sample-mismatch", 60_000));
    let open = written.hold(&case(3, None, "198.51.100.3", 30_000));
    written.meet(&case(4, None, "198.51.100.4", 20_000), Ending::Before("stalled".to_owned()));
    let expired = written.issue(now - 10_000);
    (written, [verified, rejected, open, expired])
}

fn count(page: &Answer, outcome: &str) -> String {
    let from = page.body.find(&format!("data-outcome=\"{outcome}\"")).expect("a tile");
    let tile = &page.body[from..];
    tile[tile.find("<b>").unwrap() + 3..tile.find("</b>").unwrap()].to_owned()
}

#[test]
fn every_view_shows_what_is_on_record() {
    let (written, [verified, rejected, open, _]) = example();
    let site = written.site();
    let overview = site.get("/");
    assert_eq!(overview.status, 200, "{overview:?}");
    overview.has(&["Under way", "answered, being verified", "Latest verdicts", "198.51.100.3"]);
    overview.has(&[
        "sample-mismatch",
        "53.19 TFLOP/s FP64",
        "stalled",
        "Why results were rejected",
    ]);
    let counts = ["verified", "rejected", "expired", "open"].map(|end| count(&overview, end));
    assert_eq!(counts, ["1", "1", "0", "2"]);
    for c in [verified, rejected, open] {
        overview.has(&[&format!("/challenge/{c}")]);
    }
    let (one, device) = (format!("/miner/{}", key(1)), format!("/device/{}", Uuid([2; 16])));
    site.get("/miners").has(&[&one, "3 keys", "bound to none"]);
    site.get(&one).has(&["<svg class=\"chart\"", "NVIDIA H200", "Devices that it named"]);
    site.get(&format!("/miner/{}", key(4))).has(&["stalled", "198.51.100.4"]);
    site.get("/devices").has(&[&device, "3 devices"]);
    site.get(&device).has(&["As it was named", "sample-mismatch", "✕ rejected"]);
    site.get("/rates").has(&["FP64, TFLOP/s each lane", "2 challenges"]);
    let challenge = site.get(&format!("/challenge/{rejected}"));
    challenge.has(&[
        "✕ rejected",
        "sample-mismatch",
        "As it was recorded (JSON)",
        "&quot;facts&quot;",
    ]);
    for nothing in ["/x", "/miner/ab", "/challenge/1", &format!("/miner/{}", key(9))] {
        let answer = site.get(nothing);
        assert_eq!(answer.status, 404, "{nothing}: {answer:?}");
        answer.has(&["nothing on record"]);
    }
    // Without a script: links and forms.
    overview.has(&["<form class=\"filters\"", "method=\"get\"", "<main id=\"main\">", "<caption>"]);
}

#[test]
fn filters_stand_in_the_address_and_are_bounded() {
    let (written, [verified, rejected, ..]) = example();
    let site = written.site();
    let (good, bad) = (format!("/challenge/{verified}"), format!("/challenge/{rejected}"));
    for (query, has, lacks) in [
        ("outcome=rejected".to_owned(), &bad, &good),
        ("outcome=verified&text=&span=".to_owned(), &good, &bad),
        (format!("miner={}", key(1)), &good, &bad),
        (format!("device={}", Uuid([2; 16])), &bad, &good),
        ("model=h200".to_owned(), &good, &bad),
        ("text=SAMPLE-mis".to_owned(), &bad, &good),
        ("span=24h".to_owned(), &bad, &good),
        (format!("text={}", &verified.to_string()[..20]), &good, &bad),
    ] {
        let page = site.get(&format!("/rates?{query}"));
        page.has(&[&format!("href=\"{has}\"")]).lacks(&[&format!("href=\"{lacks}\"")]);
        // They go along to the other views.
        let kept: Vec<&str> = query.split('&').filter(|part| !part.ends_with('=')).collect();
        let kept = kept.join("&").replace("SAMPLE-mis", "sample-mis");
        page.has(&[&format!("href=\"/miners?{kept}\"")]);
    }
    for (query, says) in [
        ("outcome=fine", "verified, rejected, expired or open"),
        ("miner=ab", "64 hex digits"),
        ("page=0", "a number from 1"),
        ("sort=up", "not known"),
        ("text=a&text=b", "twice"),
        ("text=%E2%80%AE", "all of which are shown"),
    ] {
        let answer = site.get(&format!("/?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        answer.has(&[says]);
    }
    site.get("/rates?page=9000").has(&["No challenge that fits", "page 9000 of 1", "rel=\"prev\""]);
}

#[test]
fn a_table_has_pages_and_a_dashboard_its_newest() {
    let (written, now) = (Written::new(), unix_ms());
    let all: Vec<Digest> = (0..75).map(|at| written.issue(now - 1000 * at)).collect();
    let site = written.site();
    let link = |at: usize| format!("/challenge/{}", all[at]);
    let first = site.get("/rates");
    first.has(&["page 1 of 2", "href=\"/rates?page=2\"", &link(49)]).lacks(&[&link(50)]);
    site.get("/rates?page=2").has(&[&link(50), &link(74), "href=\"/rates\""]).lacks(&[&link(49)]);
    let few = Site::with(&written.location(), attest::http::Limits::default(), 10);
    few.get("/rates").has(&[&link(9), "The newest 10 challenges"]).lacks(&[&link(10)]);
    assert_eq!(few.get(&link(70)).status, 200, "what is older is still looked up");
}

#[test]
fn nothing_that_a_miner_wrote_is_markup_or_in_the_stream() {
    let now = unix_ms();
    let long = "<b>".repeat(50_000);
    for text in ATTACKS.into_iter().chain([long.as_str()]) {
        let written = Written::new();
        let case = |number, outcome| Case { number, issued_unix_ms: now - 5000, outcome, text };
        let c = written.hold(&case(1, Some(SettledAs::Rejected)));
        written.hold(&case(2, Some(SettledAs::Verified)));
        written.hold(&case(3, None));
        written.meet(&case(4, None), Ending::Before(text.to_owned()));
        let site = written.site();
        let (miner, device) = (format!("/miner/{}", key(1)), format!("/device/{}", Uuid([1; 16])));
        let challenge = format!("/challenge/{c}");
        for target in ["/", "/miners", &miner, "/devices", &device, "/rates", &challenge] {
            let page = site.get(target);
            assert_eq!(page.status, 200, "{target}");
            let is_own = |to: &str| to.starts_with('#') || to.starts_with('/') || to == "data:,";
            assert_markup(&page.body, is_own);
            assert!(page.body.len() < 2 << 20, "{target}: {} bytes", page.body.len());
        }
        let mut events = crate::common::site::Events::of(&site);
        let said = events.until(|said| said.contains("\"verified\":1"));
        let body = said.split_once("\r\n\r\n").unwrap().1;
        let is_ours = |c: char| c.is_ascii_alphanumeric() || ":{}\"_,\r\n ".contains(c);
        assert!(body.chars().all(is_ours), "{body}");
    }
}

#[test]
fn nothing_that_stands_in_an_address_is_markup() {
    let (written, _) = example();
    let site = written.site();
    let encoded =
        |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    for text in ATTACKS {
        for target in [
            format!("/?text={}", encoded(text)),
            format!("/rates?model={}&page=2", encoded(text)),
            format!("/?{}=1", encoded(text)),
            format!("/miners?outcome={}", encoded(text)),
            format!("/miner/{}", encoded(text)),
            format!("/{}", encoded(text)),
        ] {
            let page = site.get(&target);
            assert!([200, 400, 404].contains(&page.status), "{target}: {page:?}");
            assert_markup(&page.body, |to| {
                to.starts_with('#') || to.starts_with('/') || to == "data:,"
            });
        }
    }
}
