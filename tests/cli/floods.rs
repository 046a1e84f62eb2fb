//! A gigabyte where a result is expected: refused after the result's bound,
//! in little memory.

use crate::cli::{Example, Finished, REJECTED, spawn};
use std::io::{Read as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

const FLOOD_BYTES: usize = 1 << 30;
const MEMORY_BYTES_MAX: u64 = 200 << 20;

/// Writes `head`, then `repeated` until a gigabyte is through or the reader
/// ends. Returns how the reader ended, how many bytes it took, and the most
/// memory that it had.
fn flood(example: &Example, head: &str, repeated: &str) -> (Finished, usize, u64) {
    let (child, mut stdin) = spawn(["verify", "-", "--challenge", &example.token]);
    let head = head.to_owned();
    let chunk = repeated.repeat((1 << 20) / repeated.len());
    let writer = std::thread::spawn(move || {
        let mut written = 0;
        if stdin.write_all(head.as_bytes()).is_ok() {
            while written < FLOOD_BYTES && stdin.write_all(chunk.as_bytes()).is_ok() {
                written += chunk.len();
            }
        }
        written
    });
    // The high-water mark only grows, so the last look before the end counts.
    let (done, ended) = mpsc::channel::<()>();
    let status = format!("/proc/{}/status", child.id());
    let watcher = std::thread::spawn(move || {
        let mut peak_bytes = 0;
        loop {
            let mut text = String::new();
            let read = std::fs::File::open(&status).and_then(|mut f| f.read_to_string(&mut text));
            if read.is_ok() {
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let kib =
                    line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
                peak_bytes = peak_bytes.max(kib.unwrap_or(0) << 10);
            }
            if ended.recv_timeout(Duration::from_millis(1)) != Err(RecvTimeoutError::Timeout) {
                return peak_bytes;
            }
        }
    });
    let finished = Finished::of(child.wait_with_output().expect("attest ends"));
    drop(done);
    let peak_bytes = watcher.join().expect("the watcher ends");
    (finished, writer.join().expect("the writer ends"), peak_bytes)
}

#[test]
fn a_gigabyte_is_not_read_to_its_end_nor_kept() {
    // One lane and few samples, so that the bound is 2 MiB and a little.
    let example = Example::new(&["--gpu-count", "1", "--samples", "4"]);
    let lanes = "{\"version\":1,\"lanes\":[{\"uuid\":\"00\",\"iteration_roots\":[";
    for (what, head, repeated) in [
        ("white space", "", " "),
        ("nesting", "", "["),
        ("one long string", "{\"version\":1,\"commitment\":\"", "0123456789abcdef"),
        ("one long key", "{\"", "k"),
        ("one long number", "{\"version\":", "1"),
        ("openings", "{\"openings\":[", "{\"lane\":0,\"iteration\":1,\"leaf\":0,\"path\":[]},"),
        ("one long path", "{\"openings\":[{\"path\":[", "\"00\","),
        ("roots", lanes, "\"00\","),
        ("evidence", "{\"evidence\":{\"a\":[", "1,"),
    ] {
        let (finished, written, peak_bytes) = flood(&example, head, repeated);
        assert_eq!(finished.code, Some(REJECTED), "{what}: {}", finished.stderr);
        assert!(written < FLOOD_BYTES / 16, "{what}: {written} bytes were taken");
        assert!(peak_bytes < MEMORY_BYTES_MAX, "{what}: {peak_bytes} bytes of memory");
    }
}
