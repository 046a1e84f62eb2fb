//! Metrics, health and readiness of the real programs, and their notifications to systemd.

use super::programs::{Program, attest};
use super::server::Nats;
use super::*;
use attest::fleet::dial::Came;
use attest::fleet::metrics::{AgentMetrics, FleetMetrics};
use attest::protocol::signature::EncodedKey;
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Where a program's endpoint is, from the line in which it says that.
fn endpoint(program: &mut Program) -> String {
    let line = program.says("metrics on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next());
    address.expect("an address").to_owned()
}

/// Status and body of `GET path`.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    assert!(!head.to_lowercase().contains("chunked"), "{head}");
    (status, body.to_owned())
}

/// Asks for `path` until the answer is as wished.
fn until(address: &str, path: &str, what: impl Fn(u16, &str) -> bool) -> String {
    let start = Instant::now();
    loop {
        let (status, body) = get(address, path);
        if what(status, &body) {
            return body;
        }
        assert!(start.elapsed() < PATIENCE, "{path}: {status}\n{body}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// promtool, given this on standard input; `None` without the program, unless
/// ATTEST_REQUIRE_PROMTOOL=1.
fn promtool(arguments: &[&str], input: &str) -> Option<()> {
    let command = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match command {
        Ok(child) => child,
        Err(_) => {
            let required =
                std::env::var_os("ATTEST_REQUIRE_PROMTOOL").is_some_and(|set| set == "1");
            assert!(!required, "no promtool (apt-get install prometheus)");
            let _ =
                writeln!(std::io::stderr(), "skipped: no promtool (apt-get install prometheus)");
            return None;
        }
    };
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}\n{input}", String::from_utf8_lossy(&text));
    Some(())
}

/// Names of the families in a text of metrics, without what histograms add to them.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_programs_show_metrics_health_and_readiness() {
    let Some(mut nats) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (place, url) = (folder.path(), nats.url());
    let schedule = place.join("schedule.toml");
    std::fs::write(&schedule, "period_s = 3\nsessions = 2\nretry_after_s = 1\n").expect("written");
    let ledger = place.join("ledger.sqlite").display().to_string();
    let mut agent = Program::start(&mut attest(
        place,
        1,
        &["agent", "--executor", "cpu", "--metrics", "127.0.0.1:0", "--nats", &url],
    ));
    let of_agent = endpoint(&mut agent);
    agent.says("waiting for validators");
    let small = ["--dim", "128", "--matrices", "1", "--iterations", "1", "--samples", "2"];
    let mut command = attest(place, 0, &["--ledger", &ledger, "fleet", "run", "--no-policy"]);
    command.args(small).arg("--schedule").arg(&schedule);
    let mut fleet = Program::start(command.args(["--metrics", "127.0.0.1:0", "--nats", &url]));
    let of_fleet = endpoint(&mut fleet);
    let is_ready = |status: u16, body: &str| status == 200 && !body.contains("not ready");
    assert_eq!(until(&of_fleet, "/readyz", is_ready), "ledger: ok\nnats: ok\n");
    assert_eq!(until(&of_agent, "/readyz", is_ready), "devices: ok\nnats: ok\n");
    assert_eq!(get(&of_fleet, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&of_fleet, "/").0, 404);
    // Sessions come, and are counted.
    let is_counted = |_: u16, body: &str| {
        let count = |name: &str| {
            let line = body.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split(' ').nth(1)?.parse::<f64>().ok()).unwrap_or(0.0)
        };
        count("attest_fleet_sessions_total{outcome=\"verified\",code=\"none\"}") >= 1.0
            && count("attest_fleet_session_duration_seconds_count{leg=\"verification\"}") >= 1.0
            && count("attest_fleet_attested_flop_total{model=\"other\"}") > 0.0
            && count("attest_fleet_attested_seconds_total{model=\"other\",unit=\"flop\"}") > 0.0
            && count("attest_fleet_campaign_planned_tasks") >= 1.0
            && count("attest_fleet_agents{state=\"online\"}")
                + count("attest_fleet_agents{state=\"busy\"}")
                >= 1.0
            && count("attest_fleet_ledger_up") >= 1.0
            && body.contains("attest_fleet_jobs{state=\"waiting\"}")
            && body.contains("attest_fleet_campaign_tasks{state=\"verified\"}")
    };
    let fleets = until(&of_fleet, "/metrics", is_counted);
    let is_counted = |_: u16, body: &str| {
        body.contains("attest_agent_sessions_total{outcome=\"verified\",code=\"none\"} ")
            && !body.contains("attest_agent_sessions_total{outcome=\"verified\",code=\"none\"} 0")
    };
    let agents = until(&of_agent, "/metrics", is_counted);
    assert!(agents.contains("attest_agent_devices 1\n"), "{agents}");
    // Nothing of it names a miner, a campaign or a session.
    for text in [&fleets, &agents] {
        assert!(!text.contains(&key(1).to_string()) && !text.contains("=\"p"), "{text}");
        promtool(&["check", "metrics"], text);
    }
    // Everything is documented, and nothing else is.
    let documented: BTreeSet<String> = include_str!("../../docs/fleet.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `attest_")?.split('`').next())
        .filter(|name| {
            name.starts_with("fleet_") || name.starts_with("agent_") || *name == "build_info"
        })
        .map(|name| format!("attest_{name}"))
        .collect();
    let both: BTreeSet<String> = families(&fleets).union(&families(&agents)).cloned().collect();
    assert_eq!(both, documented);
    nats.kill();
    let is_lost = |status: u16, body: &str| status == 503 && body.contains("nats: not ready");
    until(&of_fleet, "/readyz", is_lost);
    until(&of_agent, "/readyz", is_lost);
    assert_eq!(get(&of_agent, "/healthz").0, 200);
    nats.start_again();
    until(&of_fleet, "/readyz", is_ready);
    let back =
        until(&of_agent, "/metrics", |_, body| body.contains("attest_agent_nats_connected 1\n"));
    assert!(back.contains("attest_agent_nats_disconnections_total 1\n"), "{back}");
}

/// Expressions of a dashboard, with Grafana's variables replaced.
fn expressions(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(expression) = fields.get("expr").and_then(|expr| expr.as_str()) {
                found.push(expression.replace("$__rate_interval", "5m"));
            }
            fields.values().for_each(|inner| expressions(inner, found));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|inner| expressions(inner, found)),
        _ => {}
    }
}

/// Names of metrics in an expression, without what histograms add to them.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let base = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        let end = ends.into_iter().find(|end| word.ends_with(end)).unwrap_or_default();
        word.strip_suffix(end).unwrap_or(word).to_owned()
    };
    words.filter(|word| word.starts_with("attest_")).map(base).collect()
}

#[test]
fn no_miner_adds_series_to_the_metrics() {
    let metrics = FleetMetrics::new(1);
    // Every code that there is, and then some of a miner's own, by keys and campaigns of its
    // own: what it says of its model is held against the table before (`Proven::model`).
    let codes = attest::schema::verdict_codes().into_iter().map(str::to_owned);
    let ended = |number: u32, code: String| {
        let mut miner = [0; 32];
        miner[..4].copy_from_slice(&number.to_be_bytes());
        let miner = EncodedKey(miner);
        let name = TaskName { campaign: format!("x{number}"), slot: number.to_string(), miner };
        metrics.saw(&Doing::Ended(name, Came::to_nothing(&code), true));
    };
    for code in codes.chain(["its own".to_owned()]) {
        ended(0, code);
    }
    let before = metrics.text();
    for number in 1..500 {
        ended(number, format!("own-{number}\"}} 1\nattest_forged_total 1\n"));
    }
    let after = metrics.text();
    assert_eq!(before.lines().count(), after.lines().count());
    assert!(!after.contains("forged") && !after.contains("own-"), "{after}");
    assert!(after.contains("{outcome=\"could-not-run\",code=\"other\"} 500\n"), "{after}");
    promtool(&["check", "metrics"], &after);
}

#[test]
fn alerts_and_dashboard_name_metrics_that_there_are() {
    let there = [FleetMetrics::new(1).text(), AgentMetrics::new().text()].concat();
    let mut there = families(&there);
    // What is looked up has series once it was.
    there.extend(["agents", "jobs", "campaign_tasks"].map(|name| format!("attest_fleet_{name}")));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/monitoring");
    let alerts = std::fs::read_to_string(format!("{folder}/alerts.yml")).expect("alerts");
    let text = std::fs::read_to_string(format!("{folder}/dashboard.json")).expect("a dashboard");
    let mut shown = Vec::new();
    expressions(&serde_json::from_str(&text).expect("JSON"), &mut shown);
    assert!(shown.len() > 20, "{shown:?}");
    for text in shown.iter().chain([&alerts]) {
        let unknown: Vec<_> = named(text).difference(&there).cloned().collect();
        assert!(unknown.is_empty(), "{unknown:?} in {text}");
    }
    // All of the fleet's metrics are in it, but for one that is told in others.
    let in_dashboard: BTreeSet<String> = shown.iter().flat_map(|text| named(text)).collect();
    let missing: Vec<_> = there.difference(&in_dashboard).collect();
    assert!(missing.len() <= 6, "{missing:?}");
    // promtool parses each expression, and the alerts do what their tests say.
    let rules: Vec<_> = shown
        .iter()
        .enumerate()
        .map(|(at, expr)| serde_json::json!({"record": format!("shown_{at}"), "expr": expr}))
        .collect();
    let rules = serde_json::json!({"groups": [{"name": "shown", "rules": rules}]}).to_string();
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("shown.json");
    std::fs::write(&path, &rules).expect("written");
    promtool(&["check", "rules", path.to_str().expect("text")], "");
    promtool(&["check", "rules", &format!("{folder}/alerts.yml")], "");
    promtool(&["test", "rules", &format!("{folder}/alerts_test.yml")], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_falls_with_the_ledger_and_an_address_that_is_taken_is_said() {
    let Some(nats) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (place, url) = (folder.path(), nats.url());
    let ledger = place.join("ledger.sqlite");
    let arguments = ["--ledger", ledger.to_str().expect("text"), "fleet", "run", "--no-policy"];
    let start = |address: &str| {
        let mut command = attest(place, 0, &arguments);
        Program::start(command.args(["--metrics", address, "--nats", &url]))
    };
    let mut fleet = start("127.0.0.1:0");
    let address = endpoint(&mut fleet);
    until(&address, "/readyz", |status, _| status == 200);
    let mut second = start(&address);
    assert_eq!(second.ends().code(), Some(2));
    assert!(second.heard.concat().contains("cannot listen on"), "{:?}", second.heard);
    // A table of it is gone, and comes back.
    let rename = |from: &str, to: &str| {
        let database = rusqlite::Connection::open(&ledger).expect("a database");
        database.busy_timeout(PATIENCE).expect("a timeout");
        database.execute(&format!("ALTER TABLE {from} RENAME TO {to}"), []).expect("renamed");
    };
    rename("challenges", "mislaid");
    let body = until(&address, "/readyz", |status, _| status == 503);
    assert_eq!(body, "ledger: not ready\nnats: ok\n");
    rename("mislaid", "challenges");
    until(&address, "/readyz", |status, _| status == 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_start_state_life_and_end() {
    let Some(nats) = Nats::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (place, url) = (folder.path(), nats.url());
    let ledger = place.join("ledger.sqlite").display().to_string();
    for (name, number, arguments) in [
        ("agent", 1, vec!["agent", "--executor", "cpu", "--nats", &url]),
        ("fleet", 0, vec!["--ledger", &ledger, "fleet", "run", "--no-policy", "--nats", &url]),
    ] {
        let path = place.join(name);
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut command = attest(place, number, &arguments);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
        let program = Program::start(&mut command);
        let mut told = Vec::new();
        let mut until = |part: &str| {
            let begun = told.len();
            loop {
                let mut bytes = [0; 4096];
                let count = socket
                    .recv(&mut bytes)
                    .unwrap_or_else(|error| panic!("no {part:?}: {error}, {told:?}"));
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                told.push(text.clone());
                if text.contains(part) {
                    return told[begun..].concat();
                }
            }
        };
        assert!(until("READY=1").contains("STATUS=waiting for the NATS server"), "{name}");
        until("WATCHDOG=1");
        program.signal("TERM");
        until("STOPPING=1");
        let mut program = program;
        assert_eq!(program.ends().code(), Some(0), "{:#?}", program.heard);
    }
}
