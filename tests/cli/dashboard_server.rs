//! Whom a dashboard answers, with what around it, within which bounds, and how it ends.

use super::dashboard::{Case, Written};
use super::{COULD_NOT_RUN, attest, names_in, run, wait_or_kill};
use crate::common::site::{Events, PATIENCE, Site};
use attest::http::Limits;
use attest::ledger::SettledAs;
use attest::session::clock::unix_ms;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn a_page_forbids_all_that_it_does_not_need() {
    let site = Written::new().site();
    let page = site.get("/");
    let policy = page.header("content-security-policy").expect("a policy");
    for part in [
        "default-src 'none'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for open in ["<style>", "<script>"] {
        let from = page.body.find(open).unwrap() + open.len();
        let close = open.replace('<', "</");
        let text = &page.body[from..from + page.body[from..].find(&close).unwrap()];
        let digest = STANDARD.encode(Sha256::digest(text));
        assert!(policy.contains(&format!("'sha256-{digest}'")), "{open} in {policy}");
    }
    let not_found = site.get("/x");
    for answer in [&page, &not_found] {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

#[test]
fn a_name_that_was_not_given_is_refused() {
    let site = Written::new().site();
    let of = |host: &str| site.ask(&format!("GET / HTTP/1.1\n{host}Connection: close\n\n"));
    for host in ["Host: HOST\n", "Host: proxy.example\n", "Host: PROXY.example:8443\n"] {
        assert_eq!(of(host).status, 200, "{host}");
    }
    let port = site.address.port();
    for host in [
        "Host: evil.example\n".to_owned(),
        format!("Host: evil.example:{port}\n"),
        "Host: 127.0.0.1:1\n".to_owned(),
        "Host: HOST\nHost: evil.example\n".to_owned(),
        "Host: \n".to_owned(),
    ] {
        let answer = of(&host);
        assert!([400, 421].contains(&answer.status), "{host}: {answer:?}");
        answer.lacks(&["attest · dashboard"]);
    }
    let refused = of("Host: evil.example\n");
    assert_eq!(refused.status, 421);
    assert_eq!(refused.body.trim_end().lines().count(), 2, "{}", refused.body);
    let absolute = site.ask("GET http://evil.example/ HTTP/1.1\nHost: HOST\nConnection: close\n\n");
    assert_eq!(absolute.status, 421);
    let none = site.ask("GET / HTTP/1.0\n\n");
    assert_eq!(none.status, 421);
}

#[test]
fn only_reading_is_answered() {
    let site = Written::new().site();
    for target in ["/", "/events", "/x"] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"] {
            let head = format!("{method} {target} HTTP/1.1\nHost: HOST\nConnection: close\n\n");
            let answer = site.ask(&head);
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
        }
    }
    let head = site.ask("HEAD / HTTP/1.1\nHost: HOST\nConnection: close\n\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let body = site.ask("GET / HTTP/1.1\nHost: HOST\nContent-Length: 1\nConnection: close\n\nx");
    assert_eq!(body.status, 413);
}

#[test]
fn what_a_client_takes_is_bounded() {
    let limits =
        Limits { connections_max: 3, head: Duration::from_millis(300), ..Limits::default() };
    let written = Written::new();
    let site = Site::with(&written.location(), limits, 10);
    // Whoever says nothing, or half, is not waited for: these would keep all places.
    let mut idle: Vec<TcpStream> = (0..9).map(|_| site.connect()).collect();
    for (at, stream) in idle.iter_mut().enumerate().filter(|(at, _)| at % 2 == 0) {
        write!(stream, "GET /{at} HTTP/1.1\r\nHost: ").expect("it is accepted");
    }
    assert_eq!(site.get("/").status, 200);
    for stream in &mut idle {
        // Its end, or a reset.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    let long = "x".repeat(3000);
    assert_eq!(site.get(&format!("/?text={long}")).status, 414);
    let longer = "x".repeat(20_000);
    let head = format!("GET / HTTP/1.1\nHost: HOST\nX: {longer}\nConnection: close\n\n");
    assert_eq!(site.ask(&head).status, 431);
}

#[test]
fn streams_are_bounded_and_given_back() {
    let site = Written::new().site();
    let is_there = |said: &str| said.contains("event: state");
    let mut streams: Vec<Events> = (0..32).map(|_| Events::of(&site)).collect();
    for stream in &mut streams {
        stream.until(is_there);
    }
    let refused = site.get("/events");
    assert_eq!(refused.status, 503);
    refused.has(&["too many browsers"]);
    drop(streams);
    // The server sees it at its next word.
    let start = std::time::Instant::now();
    loop {
        let mut stream = Events::of(&site);
        let said = stream.until(|said| is_there(said) || said.contains("too many"));
        if is_there(&said) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_session_is_seen_while_it_is_held() {
    let written = Written::new();
    let site = written.site();
    let mut events = Events::of(&site);
    let has = |part: &'static str| move |said: &str| said.contains(part);
    events.until(has("\"under_way\":0"));
    let case = Case { number: 1, issued_unix_ms: unix_ms(), outcome: None, text: "a miner" };
    let c = written.issue(case.issued_unix_ms);
    events.until(has("\"under_way\":1"));
    site.get("/").has(&["sent, not answered yet"]);
    written.accept(&c, &case);
    site.until("/", |page| page.body.contains("answered, being verified"));
    written.settle(&c, SettledAs::Verified, &case);
    let said = events.until(has("\"verified\":1"));
    assert!(said.matches("event: state").count() >= 4, "each step is told: {said}");
    site.get("/").has(&["No session is under way", "✓ verified"]);
}

#[test]
fn a_ledger_that_is_lost_is_said_to_be_and_found_again() {
    let written = Written::new();
    written.issue(unix_ms());
    let site = written.site();
    let attest::ledger::Location::File(path) = written.location() else { unreachable!() };
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).expect("moved");
    let page = site.until("/", |page| page.body.contains("class=\"lost\""));
    page.has(&["data-lost=\"true\"", "/challenge/", "cannot open"]);
    let mut events = Events::of(&site);
    events.until(|said| said.contains("\"lost\":true"));
    std::fs::rename(&away, &path).expect("moved back");
    events.until(|said| said.contains("\"lost\":false"));
    site.get("/").lacks(&["class=\"lost\""]);
}

#[test]
fn a_ledger_is_not_changed_by_looking() {
    let written = Written::new();
    written.issue(unix_ms());
    let location = written.location();
    let attest::ledger::Location::File(path) = &location else { unreachable!() };
    let folder = path.parent().unwrap().to_owned();
    // No validator has it open.
    let Written { folder: kept, ledger } = written;
    drop(ledger);
    let before = (names_in(&folder), std::fs::read(path).unwrap());
    let site = Site::of(&location);
    site.get("/").has(&["/challenge/"]);
    drop(site);
    assert_eq!((names_in(&folder), std::fs::read(path).unwrap()), before);
    drop(kept);
}

/// The program, and the address that it printed.
fn started(written: &Written, more: &[&str]) -> (std::process::Child, String) {
    let mut child = attest()
        .args(["dashboard", "--listen", "127.0.0.1:0", "--ledger", &written.location().to_string()])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("attest starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut line).expect("a line");
    let address = line.trim_end().strip_prefix("http://").and_then(|url| url.strip_suffix('/'));
    let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
    (child, address)
}

#[test]
fn the_program_says_where_it_is_and_ends_at_a_signal_with_code_0() {
    let written = Written::new();
    for signal in ["-TERM", "-INT"] {
        let (mut child, address) = started(&written, &[]);
        // Somebody looks, and is not waited for.
        let mut stream = TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("event: state")));
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill runs").success());
        assert_eq!(wait_or_kill(&mut child).code(), Some(0), "{signal}");
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("read-only") && !said.contains("warning"), "{said}");
    }
}

#[test]
fn whoever_listens_for_others_is_warned() {
    let written = Written::new();
    let ledger = written.location().to_string();
    let mut child = attest()
        .args(["dashboard", "--listen", "0.0.0.0:0", "--ledger", &ledger])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("attest starts");
    let mut line = String::new();
    BufReader::new(child.stderr.take().expect("piped")).read_line(&mut line).expect("a line");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(line.starts_with("warning: 0.0.0.0:") && line.contains("no login"), "{line}");
}

#[test]
fn what_cannot_be_served_is_said_in_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.sqlite").display().to_string();
    let dashboard = |more: &[&str]| run([&["dashboard"], more].concat()).expect(COULD_NOT_RUN);
    dashboard(&["--ledger", &missing]).says("there is no ledger").says("help: ").printed_nothing();
    assert_eq!(names_in(folder.path()), [""; 0], "none is made");
    let written = Written::new();
    let ledger = written.location().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    dashboard(&["--ledger", &ledger, "--listen", &address])
        .says("cannot listen on")
        .says("help: Choose another address");
    dashboard(&["--ledger", &ledger, "--host", "a b"]).says("without a port");
    dashboard(&["--ledger", &ledger, "--newest", "0"]).says("--newest");
}
