//! `attest ledger`: what is on record, for people and for other programs.

use crate::args::LedgerPlace;
use crate::args::{Ledger as Args, LedgerAction as Action, LedgerState as State};
use crate::input::Inputs;
use crate::outcome::{Done, Result, note, print, print_json, printed};
use crate::paint::{table, wrapped};
use anyhow::{Context as _, bail};
use attest::files;
use attest::ledger::{
    Ending, Entry, Filter, Ledger, Meeting, MeetingFilter, NO_COMMITMENT, Order, Peer, Pruning,
    Seen, SessionEnd, SettledAs, Standing,
};
use attest::protocol::digest::Digest;
use attest::protocol::quantity::counted;
use attest::protocol::signature::EncodedKey;
use attest::protocol::time;
use attest::session::clock::unix_ms;
use attest::streams;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

/// Does what is asked with the ledger that `--ledger` names.
///
/// # Errors
/// No such ledger, or it fails.
pub fn run(args: &Args, ledger: Option<&LedgerPlace>) -> Result {
    let out = match &args.action {
        Action::Export { out } => out.as_ref(),
        Action::Report { out, .. } => Some(out),
        _ => None,
    };
    if out.is_some() {
        let file = crate::ledger::file(Some(ledger.unwrap_or(&LedgerPlace::Default)));
        Inputs::default().and_file("--ledger", file.as_deref()).check(&[("--out", out)])?;
    }
    let ledger = match &args.action {
        Action::Prune { .. } => crate::ledger::existing(ledger)?,
        _ => crate::ledger::existing_to_read(ledger)?,
    };
    match &args.action {
        &Action::List { meetings: true, miner, limit, json, .. } => {
            list_meetings(&*ledger, miner, limit, json)?;
        }
        &Action::List { state, miner, device, session, limit, json, meetings: false } => {
            let standing = state.map(|state| match state {
                State::Unsettled => Standing::Unsettled,
                State::Verified => Standing::Verified,
                State::Rejected => Standing::Rejected,
            });
            let most = (limit + 1).min(Filter::LIMIT_MAX);
            let limits = Filter { limit: most, ..Filter::default() };
            let filter = Filter { standing, miner, device, session, ..limits };
            let mut entries = ledger.list(&filter)?;
            let is_cut = entries.len() >= (limit as usize + 1).min(Filter::LIMIT_MAX as usize);
            entries.truncate(limit as usize);
            list(&entries, json)?;
            if is_cut {
                note(&format!(
                    "note: the newest {limit} are shown: more with --limit, all with `attest ledger export`"
                ));
            }
        }
        Action::Show { challenge, json } => show(&*ledger, challenge, *json)?,
        Action::Export { out: None } => export_to_stdout(&*ledger)?,
        Action::Export { out: Some(path) } => {
            let mut failure = None;
            let written = files::write_privately_with(path, |out| {
                export(&*ledger, out).map_err(|error| {
                    let text = error.to_string();
                    failure = Some(error);
                    io::Error::other(text)
                })
            });
            if let Some(error) = failure {
                return Err(error);
            }
            written?;
        }
        Action::Report { miner, device, out } => {
            super::report::history(&*ledger, *miner, *device, out)?
        }
        Action::Prune { older_than, dry_run } => prune(&*ledger, *older_than, *dry_run)?,
    }
    Ok(Done::Ok)
}

fn list(entries: &[Entry], json: bool) -> Result<()> {
    if json {
        let entries: Vec<Value> = entries.iter().map(entry_json).collect::<Result<_>>()?;
        return print_json(&entries);
    }
    let row = |entry: &Entry| {
        vec![
            entry.challenge.to_string(),
            time_text(entry.issued_unix_ms),
            state(entry).to_owned(),
            round_text(entry),
            entry.code.clone().unwrap_or_else(|| of_session(entry)),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    print(&table(&["challenge", "issued", "state", "round", "reason"], &rows))
}

/// Which round of which session it is, if it is a later one: "2 of 487554a96b64…", the start
/// of the session's first challenge.
fn round_text(entry: &Entry) -> String {
    entry.round.map_or_else(String::new, |of| {
        let session = of.session.to_string();
        format!("{} of {}…", of.number, &session[..12])
    })
}

fn list_meetings(
    ledger: &dyn Ledger,
    miner: Option<EncodedKey>,
    limit: u32,
    json: bool,
) -> Result<()> {
    let most = (limit + 1).min(MeetingFilter::LIMIT_MAX);
    let filter = MeetingFilter { miner, limit: most, ..MeetingFilter::default() };
    let mut meetings = ledger.meetings(&filter)?;
    let is_cut = meetings.len() >= (limit as usize + 1).min(MeetingFilter::LIMIT_MAX as usize);
    meetings.truncate(limit as usize);
    if json {
        let meetings: Vec<Value> = meetings.iter().map(|met| meeting_json(&met.meeting)).collect();
        print_json(&meetings)?;
    } else {
        let rows: Vec<Vec<String>> = meetings.iter().map(|met| meeting_row(&met.meeting)).collect();
        print(&table(&["met", "peer", "key", "address", "round trip", "ending"], &rows))?;
    }
    if is_cut {
        note(&format!("note: the newest {limit} are shown: more with --limit"));
    }
    Ok(())
}

fn meeting_row(meeting: &Meeting) -> Vec<String> {
    let (peer, key) = match meeting.peer {
        Peer::Proven(key) => (key.to_string(), "proven"),
        Peer::Claimed(key) => (key.to_string(), "claimed"),
        Peer::Unknown => (String::new(), ""),
    };
    let round_trip = meeting.round_trip.map(|time| format!("{:.1} ms", time.as_secs_f64() * 1e3));
    let ending = match &meeting.ending {
        Ending::Challenged(c) => match &meeting.session {
            Some(session) => format!("challenged {c}, {}", session_text(session)),
            None => format!("challenged {c}"),
        },
        Ending::Before(code) => code.clone(),
    };
    vec![
        time_text(meeting.met_unix_ms),
        peer,
        key.to_owned(),
        meeting.address.clone().unwrap_or_default(),
        round_trip.unwrap_or_default(),
        ending,
    ]
}

/// What is not known is absent.
fn meeting_json(meeting: &Meeting) -> Value {
    let mut value = json!({ "met_unix_ms": meeting.met_unix_ms });
    let mut add = |name: &str, field: Value| value[name] = field;
    match meeting.peer {
        Peer::Proven(key) => {
            add("miner", json!(key));
            add("key", json!("proven"));
        }
        Peer::Claimed(key) => {
            add("miner", json!(key));
            add("key", json!("claimed"));
        }
        Peer::Unknown => {}
    }
    if let Some(address) = &meeting.address {
        add("address", json!(address));
    }
    if let Some(time) = meeting.round_trip {
        add("round_trip_us", json!(time.as_micros() as u64));
    }
    match &meeting.ending {
        Ending::Challenged(c) => {
            add("challenge", json!(c));
            if let Some(SessionEnd { outcome, code }) = &meeting.session {
                add("outcome", json!(outcome));
                if let Some(code) = code {
                    add("reason", json!(code));
                }
            }
        }
        Ending::Before(code) => add("code", json!(code)),
    }
    value
}

fn show(ledger: &dyn Ledger, c: &Digest, json: bool) -> Result<()> {
    let Some((entry, devices)) = ledger.show(c)? else {
        bail!("challenge {c} is not on record\nSee what is with `attest ledger list`.");
    };
    if json {
        return print_json(&record_json(&entry, &devices)?);
    }
    let mut out = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = writeln!(out, "{name:<12}{value}");
        }
    };
    line("challenge", Some(entry.challenge.to_string()));
    line("state", Some(state(&entry).to_owned()));
    line("reason", entry.code.clone());
    line("of session", entry.round.map(|of| format!("{}, round {}", of.session, of.number)));
    line("session", entry.session.as_ref().map(session_text));
    line("nonce", Some(entry.nonce.to_string()));
    line("issued", Some(time_text(entry.issued_unix_ms)));
    line("expires", Some(time_text(entry.expires_unix_ms)));
    line("miner", Some(entry.miner.map_or("not bound".to_owned(), |key| key.to_string())));
    line("commitment", entry.commitment.filter(|on| *on != NO_COMMITMENT).map(|on| on.to_string()));
    line("arrived", entry.arrived_unix_ms.map(time_text));
    line("coin", entry.coin.map(|coin| coin.to_string()));
    line("settled", entry.settled_unix_ms.map(time_text));
    for Seen { device, seen_unix_ms } in &devices {
        let mut text = device.uuid.to_string();
        let mut add = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                // In quotes: it is the miner's word, and may look like one of ours.
                let _ = write!(text, ", {name} {value:?}");
            }
        };
        add("serial number", &device.serial);
        add("PCI id", &device.pci);
        add("host", &device.host);
        let _ = write!(text, ", named {}", time_text(*seen_unix_ms));
        line("device", Some(text));
    }
    print(&wrapped(&out, 12))
}

fn export_to_stdout(ledger: &dyn Ledger) -> Result<()> {
    let mut stdout = BufWriter::new(streams::stdout());
    let done = export(ledger, &mut stdout);
    // What is left was not written, and is not tried again.
    drop(stdout.into_parts());
    done.or_else(|error| match error.downcast() {
        Ok(Unwritten(cause)) => printed(Err(cause)),
        Err(error) => Err(error),
    })
}

/// The export has no place to go.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the export: {0}\nCheck where it goes, and free space.")]
struct Unwritten(io::Error);

/// Writes every challenge, the oldest first, a page at a time.
fn export(ledger: &dyn Ledger, out: &mut dyn Write) -> Result<()> {
    let mut page = Filter { order: Order::OldestFirst, limit: 100, ..Filter::default() };
    loop {
        let entries = ledger.list(&page)?;
        let Some(last) = entries.last() else { break };
        page.after = Some((last.issued_unix_ms, last.challenge));
        for entry in &entries {
            // Another process may have pruned it meanwhile.
            let Some((entry, devices)) = ledger.show(&entry.challenge)? else { continue };
            serde_json::to_writer(&mut *out, &record_json(&entry, &devices)?)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(Unwritten)?;
        }
    }
    Ok(out.flush().map_err(Unwritten)?)
}

fn prune(ledger: &dyn Ledger, older_than: Duration, dry_run: bool) -> Result<()> {
    let now_unix_ms = unix_ms();
    let age_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
    let (pruning, done, kept) = match dry_run {
        true => (Pruning::DryRun, "would be forgotten", ""),
        false => (Pruning::Forget, "forgotten", "; their nonces stay spent"),
    };
    let pruned = ledger.prune(now_unix_ms.saturating_sub(age_ms), now_unix_ms, pruning)?;
    print(&format!(
        "{} {done}{kept}\n{} {done}\n",
        counted(pruned.challenges, "challenge"),
        counted(pruned.meetings, "meeting")
    ))
}

/// Why a verified challenge counts for nothing: its session was rejected.
fn of_session(entry: &Entry) -> String {
    let rejected = |session: &&SessionEnd| session.outcome == SettledAs::Rejected;
    let session = entry.session.as_ref().filter(rejected);
    session.map_or_else(String::new, |session| format!("session {}", session_text(session)))
}

/// What a session came to, in a few words.
fn session_text(session: &SessionEnd) -> String {
    let outcome = session.outcome.name();
    session.code.as_ref().map_or(outcome.to_owned(), |code| format!("{outcome} ({code})"))
}

/// One word for how far a challenge has come.
fn state(entry: &Entry) -> &str {
    match (&entry.outcome, entry.commitment) {
        (Some(outcome), _) => outcome,
        (None, Some(_)) => "answered",
        (None, None) if entry.expires_unix_ms <= unix_ms() => "expired",
        (None, None) => "open",
    }
}

/// The verdict is part of the document, not text in it.
fn entry_json(entry: &Entry) -> Result<Value> {
    let mut value = serde_json::to_value(entry)?;
    let fields = value.as_object_mut().context("an entry is an object\nReport this.")?;
    fields.insert("state".to_owned(), json!(state(entry)));
    if let Some(Value::String(text)) = fields.remove("verdict_json") {
        let verdict = serde_json::from_str(&text).unwrap_or(Value::String(text));
        fields.insert("verdict".to_owned(), verdict);
    }
    Ok(value)
}

fn record_json(entry: &Entry, devices: &[Seen]) -> Result<Value> {
    let mut value = entry_json(entry)?;
    value["devices"] = json!(devices);
    Ok(value)
}

fn time_text(unix_ms: u64) -> String {
    let unix_s = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    time::format(unix_s).unwrap_or_else(|| format!("{unix_ms} ms"))
}
