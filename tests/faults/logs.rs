//! What operators read of a run on devices with counters, and of several lanes.

use crate::faults::wrapper::{Alive, Counts, Fault, SMS};
use crate::faults::{challenge, lanes_with};
use attest::mining::mine::{MineOptions, commit};
use serde_json::Value;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// Bytes that a log wrote.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of a run of lanes with these counters.
fn logged(counts: &[Counts]) -> Vec<Value> {
    let written = Written::default();
    let writer = written.clone();
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(move || writer.clone())
        .finish();
    let faults: Vec<Fault> = counts.iter().copied().map(Fault::Counters).collect();
    let challenge = challenge(Some(faults.len() as u64), 7, 3);
    tracing::subscriber::with_default(lines, || {
        let executors = lanes_with(&faults, &Alive::default());
        commit(&challenge, executors, &MineOptions::default(), &|_| ()).map(drop).unwrap();
    });
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

/// Those whose message holds this.
fn with<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let holds = |line: &&Value| line["message"].as_str().unwrap_or_default().contains(message);
    lines.iter().filter(holds).collect()
}

#[test]
fn monitored_lanes_and_their_sync_points_have_lines() {
    let lines = logged(&[Counts::Right, Counts::Right]);
    let taken = with(&lines, "challenge taken: 7 iterations of ");
    assert!(taken.len() == 1 && taken[0]["message"].as_str().unwrap().ends_with("on 2 lanes"));
    // An iteration has two tiles.
    let monitored = with(&lines, "7 iterations with SM monitoring: 2 of 3 SMs at work");
    let lanes: Vec<&Value> = monitored.iter().map(|line| &line["span"]["lane"]).collect();
    assert_eq!(lanes, [0, 1], "{lines:#?}");
    assert_eq!((&monitored[0]["sms"], &monitored[1]["sms_active"]), (&SMS.into(), &2.into()));
    assert_eq!(monitored[1]["span"]["device"], "device 2");
    assert_eq!(with(&lines, "throughput ").len(), 2);
    let sync = with(&lines, "sync overhead: ");
    assert!(sync.len() == 1 && sync[0]["sync_points"] == 2, "{lines:#?}");
    for share in ["sync_percent", "skew_percent"] {
        let percent = sync[0][share].as_f64().unwrap();
        assert!((0.0..=100.0).contains(&percent), "{}", sync[0]);
    }
}

#[test]
fn a_lane_whose_counters_are_wrong_is_not_said_to_be_monitored() {
    let lines = logged(&[Counts::Zero]);
    assert!(with(&lines, "SM monitoring").is_empty(), "{lines:#?}");
    assert_eq!(with(&lines, "throughput ").len(), 1);
    assert!(with(&lines, "sync overhead").is_empty(), "{lines:#?}");
}
