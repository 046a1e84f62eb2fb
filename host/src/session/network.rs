//! The network part of a session: random bytes from the validator, whose hash the miner
//! returns, and as many of another stream back.
//!
//! ```text
//! validator                                    miner
//!   network {bytes} ─────────────────────────▶
//!   piece … ─────────────────────────────────▶
//!         ◀─────────────────────────────────── received {bytes} …
//!         ◀─────────────────────────────────── digest
//!   send-back {key} ─────────────────────────▶
//!         ◀─────────────────────────────────── piece …
//!   received {bytes} … ──────────────────────▶
//! ```
//!
//! [`Outgoing`] and [`Incoming`] are the two ends of one direction; each side is one and
//! then the other.
//!
//! Guarantees: no more than [`WINDOW_BYTES`] are on their way, so that neither side keeps
//! more; what comes is checked or hashed as it comes, and the first wrong byte ends it. The
//! key of the second stream is not known before the first has come whole.
//! Deliberately lacks: streams and clocks, and any proof of where the other end is: bytes
//! that a relay returns are returned.

use super::limits::SMALL_BYTES_MAX;
pub use crate::policy::NETWORK_BYTES_MAX;
use crate::protocol::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_philox::philox4x32_10;
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Most bytes of a piece. Its line, in base64, is a small message.
pub const PIECE_BYTES_MAX: usize = 45_000;
const _: () = assert!(PIECE_BYTES_MAX.div_ceil(3) * 4 + 64 <= SMALL_BYTES_MAX as usize);

/// Most bytes that are sent and not yet said to have come: what a path of 1 Gbit/s holds in
/// 33 ms.
pub const WINDOW_BYTES: u64 = 4 << 20;

/// Bytes a second below which a direction is given up, after [`START`].
const SLOWEST_BYTES_PER_S: f64 = 1e5;
/// What a direction has beside its bytes' time.
const START: Duration = Duration::from_secs(10);

/// How long so many bytes may take one way.
pub fn limit(bytes: u64) -> Duration {
    START + Duration::from_secs_f64(bytes as f64 / SLOWEST_BYTES_PER_S)
}

/// The key of a stream of random bytes.
pub type Key = [u8; 32];

/// Bytes that one SHA-256 of a stream's key stands for.
const BLOCK_BYTES: usize = 4096;

/// Blocks of Philox4x32-10, each under a key and a counter of its own from SHA-256 of the
/// stream's key and the block's number: who does not know the stream's key cannot tell the
/// next block, and a path cannot make less of it. Philox is what makes it fast enough for
/// networks of several Gbit/s.
struct RandomBytes {
    key: Key,
    number: u64,
    /// What is left of the block under way, at its end.
    left: usize,
    block: Box<[u8; BLOCK_BYTES]>,
}

impl RandomBytes {
    fn new(key: Key) -> Self {
        Self { key, number: 0, left: 0, block: Box::new([0; BLOCK_BYTES]) }
    }

    fn next_block(&mut self) {
        let hash = Sha256::new().chain_update(self.key);
        let hash = hash.chain_update(self.number.to_be_bytes()).finalize();
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| hash[4 * at + byte]));
        for (chunk, index) in self.block.chunks_exact_mut(16).zip(0..) {
            let counter = [index, word(2), word(3), word(4)];
            let words = philox4x32_10(counter, [word(0), word(1)]);
            for (bytes, word) in chunk.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
        }
        (self.number, self.left) = (self.number + 1, BLOCK_BYTES);
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left == 0 {
                self.next_block();
            }
            let length = rest.len().min(self.left);
            let from = BLOCK_BYTES - self.left;
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(&self.block[from..from + length]);
            self.left -= length;
            rest = later;
        }
    }
}

impl std::fmt::Debug for RandomBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RandomBytes").field("number", &self.number).finish_non_exhaustive()
    }
}

/// The other side broke the rules of the exchange: what it did.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

/// The sending end of a stream.
#[derive(Debug)]
pub struct Outgoing {
    bytes: RandomBytes,
    hash: Sha256,
    total: u64,
    sent: u64,
    received: u64,
}

impl Outgoing {
    /// `total` bytes of the stream of `key`.
    pub fn new(key: Key, total: u64) -> Self {
        let hash = Sha256::new();
        Self { bytes: RandomBytes::new(key), hash, total, sent: 0, received: 0 }
    }

    /// The next piece in base64; `None` as long as the window is full, and after the last.
    pub fn piece(&mut self) -> Option<String> {
        let open = (self.received + WINDOW_BYTES).min(self.total) - self.sent;
        let length = open.min(PIECE_BYTES_MAX as u64);
        // No small pieces for a small opening of the window.
        let is_last = self.sent + length == self.total;
        if length == 0 || (length < PIECE_BYTES_MAX as u64 && !is_last) {
            return None;
        }
        let mut piece = vec![0; length as usize];
        self.bytes.fill(&mut piece);
        self.hash.update(&piece);
        self.sent += length;
        Some(STANDARD.encode(piece))
    }

    /// The pieces that the window takes.
    pub fn pieces(&mut self) -> impl Iterator<Item = String> {
        std::iter::from_fn(|| self.piece())
    }

    /// The other side says that it has `bytes` in all.
    ///
    /// # Errors
    /// It can't.
    pub fn received(&mut self, bytes: u64) -> Result<(), Broken> {
        if bytes <= self.received || bytes > self.sent {
            let (sent, before) = (self.sent, self.received);
            return Err(Broken(format!(
                "{bytes} bytes are said to have come, of {sent} that were sent, after {before}"
            )));
        }
        self.received = bytes;
        Ok(())
    }

    /// Whether all has come, by the other side's word.
    pub fn is_received(&self) -> bool {
        self.received == self.total
    }

    /// SHA-256 of what was sent.
    pub fn digest(&self) -> Digest {
        Digest(self.hash.clone().finalize().into())
    }
}

/// The receiving end of a stream.
#[derive(Debug)]
pub struct Incoming {
    check: Check,
    total: u64,
    received: u64,
}

#[derive(Debug)]
enum Check {
    /// The bytes are the other side's.
    Hash(Sha256),
    /// The bytes are known.
    Known(RandomBytes),
}

impl Incoming {
    /// `total` bytes that are not known, and are hashed.
    pub fn hashed(total: u64) -> Self {
        Self { check: Check::Hash(Sha256::new()), total, received: 0 }
    }

    /// `total` bytes of the stream of `key`.
    pub fn known(key: Key, total: u64) -> Self {
        Self { check: Check::Known(RandomBytes::new(key)), total, received: 0 }
    }

    /// Bytes that are to come in all.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Takes a piece; says how many bytes have come in all.
    ///
    /// # Errors
    /// It is none, is more than was to come, or is another than was to come.
    pub fn take(&mut self, piece: &str) -> Result<u64, Broken> {
        let piece = STANDARD.decode(piece).map_err(|error| Broken(format!("a piece: {error}")))?;
        let left = self.total - self.received;
        if piece.is_empty() || piece.len() > PIECE_BYTES_MAX || piece.len() as u64 > left {
            let length = piece.len();
            return Err(Broken(format!(
                "a piece of {length} bytes, of 1 to {PIECE_BYTES_MAX}; {left} were to come"
            )));
        }
        match &mut self.check {
            Check::Hash(hash) => hash.update(&piece),
            Check::Known(bytes) => {
                let mut expected = vec![0; piece.len()];
                bytes.fill(&mut expected);
                let wrong = piece.iter().zip(&expected).position(|(got, byte)| got != byte);
                if let Some(at) = wrong {
                    let at = self.received + at as u64;
                    return Err(Broken(format!("byte {at} of the stream is another than asked")));
                }
            }
        }
        self.received += piece.len() as u64;
        Ok(self.received)
    }

    /// Whether all has come.
    pub fn is_complete(&self) -> bool {
        self.received == self.total
    }

    /// SHA-256 of what has come, if that was asked for.
    pub fn digest(&self) -> Option<Digest> {
        match &self.check {
            Check::Hash(hash) => Some(Digest(hash.clone().finalize().into())),
            Check::Known(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = [7; 32];

    /// All of a stream, with every piece confirmed as it comes.
    fn exchange(total: u64, mut into: Incoming) -> (Outgoing, Incoming) {
        let mut out = Outgoing::new(KEY, total);
        while let Some(piece) = out.piece() {
            out.received(into.take(&piece).unwrap()).unwrap();
        }
        (out, into)
    }

    #[test]
    fn what_was_sent_is_what_came() {
        for total in [1, 31, 45_000, 45_001, 10 << 20] {
            let (out, into) = exchange(total, Incoming::hashed(total));
            assert!(out.is_received() && into.is_complete(), "{total}");
            assert_eq!(into.digest(), Some(out.digest()), "{total}");
            let (out, into) = exchange(total, Incoming::known(KEY, total));
            assert!(out.is_received() && into.is_complete(), "{total}");
        }
    }

    #[test]
    fn the_stream_is_philox_under_the_hash_of_key_and_number() {
        let mut bytes = [0; 2 * BLOCK_BYTES + 70];
        RandomBytes::new(KEY).fill(&mut bytes);
        for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
            let mut message = KEY.to_vec();
            message.extend((number as u64).to_be_bytes());
            let hash = Sha256::digest(message);
            let words: Vec<u32> =
                hash.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
            for (index, got) in block.chunks_exact(16).enumerate() {
                let counter = [index as u32, words[2], words[3], words[4]];
                let expected = philox4x32_10(counter, [words[0], words[1]]);
                assert_eq!(got, expected.map(u32::to_be_bytes).concat(), "{number}, {index}");
            }
        }
        // However it is cut.
        let (mut stream, mut cut) = (RandomBytes::new(KEY), Vec::new());
        for length in [1, 2, 4090, 31, 7, 4131] {
            let mut piece = vec![0; length];
            stream.fill(&mut piece);
            cut.extend(piece);
        }
        assert_eq!(cut, bytes[..cut.len()]);
    }

    #[test]
    fn no_more_is_on_its_way_than_the_window() {
        let total = 3 * WINDOW_BYTES;
        let (mut out, mut into) = (Outgoing::new(KEY, total), Incoming::known(KEY, total));
        let mut pieces = Vec::new();
        while let Some(piece) = out.piece() {
            pieces.push(piece);
        }
        assert!(out.sent <= WINDOW_BYTES && out.sent > WINDOW_BYTES - PIECE_BYTES_MAX as u64);
        let first = into.take(&pieces[0]).unwrap();
        out.received(first).unwrap();
        assert!(out.piece().is_some());
        assert!(out.sent - out.received <= WINDOW_BYTES);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut out = Outgoing::new(KEY, 100_000);
        assert!(out.received(1).is_err(), "nothing was sent");
        let piece = out.piece().unwrap();
        out.received(20).unwrap();
        for bytes in [20, 19, 45_001, u64::MAX] {
            assert!(out.received(bytes).is_err(), "{bytes}");
        }
        let mut short = Incoming::known(KEY, 44_999);
        assert!(short.take(&piece).is_err(), "more than was to come");
        let mut other = Incoming::known([8; 32], 100_000);
        let error = other.take(&piece).unwrap_err();
        assert_eq!(error.to_string(), "byte 0 of the stream is another than asked");
        let mut hashed = Incoming::hashed(100_000);
        let long = STANDARD.encode(vec![0; PIECE_BYTES_MAX + 1]);
        for wrong in ["", "AB", "?", &long] {
            assert!(hashed.take(wrong).is_err(), "{}", wrong.len());
        }
        // What was refused counts for nothing.
        assert_eq!(hashed.take(&piece), Ok(45_000));
    }

    #[test]
    fn one_wrong_bit_is_found_where_it_is() {
        let mut out = Outgoing::new(KEY, 50_000);
        let mut into = Incoming::known(KEY, 50_000);
        into.take(&out.piece().unwrap()).unwrap();
        let mut piece = STANDARD.decode(out.piece().unwrap()).unwrap();
        piece[4999] ^= 1;
        let error = into.take(&STANDARD.encode(piece)).unwrap_err();
        assert_eq!(error.to_string(), "byte 49999 of the stream is another than asked");
    }
}
