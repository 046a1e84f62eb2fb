//! What a command says beside its messages, on standard error, for the user.
//!
//! Guarantees: whole lines, bounded, and shown as themselves: a miner's machine
//! writes them, and its escapes and hidden letters reach no terminal; what is beyond
//! [`BYTES_MAX`] is read and left out, so that nobody waits to write.
//! Deliberately lacks: any meaning. No verdict depends on it.

use crate::protocol::json::shown;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most bytes of one session that are passed on.
pub const BYTES_MAX: usize = 1024 * 1024;
/// Longest line, bytes; a longer one goes on in the next.
const LINE_BYTES_MAX: usize = 1000;

/// Passes on what `reader` brings, line by line, until it ends.
pub async fn pass_on(mut reader: impl AsyncRead + Unpin, mut say: impl FnMut(&str)) {
    let mut piece = vec![0; 4096];
    let mut line = Vec::new();
    let mut left_bytes = BYTES_MAX;
    while let Ok(length @ 1..) = reader.read(&mut piece).await {
        if left_bytes == 0 {
            continue;
        }
        let taken = length.min(left_bytes);
        left_bytes -= taken;
        for &byte in &piece[..taken] {
            if matches!(byte, b'\n' | b'\r') {
                say_line(&mut line, &mut say);
                continue;
            }
            if line.len() == LINE_BYTES_MAX {
                say_line(&mut line, &mut say);
            }
            line.push(byte);
        }
        if left_bytes == 0 {
            say_line(&mut line, &mut say);
            say("(what it says from here on is left out)");
        }
    }
    say_line(&mut line, &mut say);
}

fn say_line(line: &mut Vec<u8>, say: &mut impl FnMut(&str)) {
    if !line.is_empty() {
        let text: String = String::from_utf8_lossy(line).chars().map(shown).collect();
        say(&text);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(pass_on(bytes, |line| lines.push(line.to_owned())));
        lines
    }

    #[test]
    fn lines_are_whole_and_shown_as_they_are() {
        assert_eq!(said(b""), [""; 0]);
        assert_eq!(said(b"one\r\n\ntwo\rthree"), ["one", "two", "three"]);
        let lines = said("\x1b[2J\u{202e}\u{9b}8m \u{e9}\n".as_bytes());
        assert_eq!(lines, ["\u{fffd}[2J\u{fffd}\u{fffd}8m \u{e9}"]);
        assert_eq!(said(b"\xff\tx"), ["\u{fffd}\u{fffd}x"]);
    }

    #[test]
    fn there_is_an_end_to_it() {
        assert_eq!(
            said(&[b'x'; 2500]).iter().map(String::len).collect::<Vec<_>>(),
            [1000, 1000, 500]
        );
        let lines = said(&b"12345678\n".repeat(BYTES_MAX / 4));
        let total: usize = lines.iter().map(|line| line.len() + 1).sum();
        assert!((BYTES_MAX..BYTES_MAX + 100).contains(&total), "{total}");
        assert!(lines.last().is_some_and(|line| line.contains("left out")));
    }
}
