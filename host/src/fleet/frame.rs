//! The link's frames, without input or output: a session's bytes in numbered frames over a
//! transport that may lose, repeat or reorder them.
//!
//! Guarantees: what comes out is what went in, in order; a message that is cut is bound by
//! its first frame (length and SHA-256), and its end is handed on only if it fits; no more
//! than [`WINDOW_BYTES`] are on their way.
//! Deliberately lacks: clocks and connections.

use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;

/// Most content of one frame, bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Most content that is on its way and not acknowledged, bytes.
pub const WINDOW_BYTES: usize = 1024 * 1024;
/// Longest message that a first frame may promise, bytes: no message of a session is longer.
const MESSAGE_BYTES_MAX: u64 = 1 << 30;
/// Kind and number before the content.
const HEAD_BYTES: usize = 9;

const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const MORE: u8 = 2;
const END: u8 = 3;
const ACK: u8 = 4;
const ACCEPT: u8 = 5;
const BUSY: u8 = 6;

/// An agent's answer to an invitation: it takes the session.
pub fn accept() -> Vec<u8> {
    head(ACCEPT, 0)
}

/// An agent's answer to an invitation: it has another session.
pub fn busy() -> Vec<u8> {
    head(BUSY, 0)
}

fn head(kind: u8, number: u64) -> Vec<u8> {
    [&[kind][..], &number.to_be_bytes()].concat()
}

/// What is on its way.
#[derive(Debug, Default)]
pub struct Outgoing {
    next: u64,
    unacknowledged: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Outgoing {
    /// Whether another message may be sent now.
    pub fn has_room(&self) -> bool {
        self.bytes < WINDOW_BYTES
    }

    /// Whether all that was sent is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }

    /// The frames of a message of up to `chunk_bytes` of content each.
    pub fn message(&mut self, bytes: &[u8], chunk_bytes: usize) -> Vec<Vec<u8>> {
        if bytes.len() <= chunk_bytes {
            return vec![self.number(WHOLE, bytes)];
        }
        let promise = [&(bytes.len() as u64).to_be_bytes()[..], &Sha256::digest(bytes)].concat();
        let mut frames = vec![self.number(FIRST, &promise)];
        frames.extend(bytes.chunks(chunk_bytes).map(|chunk| self.number(MORE, chunk)));
        frames
    }

    /// The frame that says that nothing more will come.
    pub fn end(&mut self) -> Vec<u8> {
        self.number(END, &[])
    }

    fn number(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = head(kind, self.next);
        frame.extend_from_slice(content);
        self.next += 1;
        self.bytes += frame.len();
        self.unacknowledged.push_back(frame.clone());
        frame
    }

    /// The other side has all frames before number `next`.
    fn acknowledged(&mut self, next: u64) {
        let first = self.next - self.unacknowledged.len() as u64;
        // Of what was never sent nothing can be acknowledged.
        for _ in first..next.min(self.next) {
            let gone = self.unacknowledged.pop_front().map_or(0, |frame| frame.len());
            self.bytes -= gone;
        }
    }

    /// All that is to be sent again.
    pub fn again(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.unacknowledged.iter()
    }
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Got<T> {
    /// Content, and when the message that it belongs to began to come.
    Bytes(T, Vec<u8>),
    /// Nothing more will come.
    End,
    /// The agent takes the session.
    Accept,
    /// The agent has another session.
    Busy,
    /// The other side has what was sent.
    Acknowledged,
    /// Nothing: a repeated frame, or one whose turn has not come.
    Nothing,
}

/// A frame that no peer of this protocol sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It has no head, or is of no kind.
    #[error("a frame of no known kind\nUse programs of one version on both sides.")]
    Form,
    /// Its content is longer than a frame's may be.
    #[error("a frame of {0} bytes\nSend at most 64 KiB in one.")]
    TooLong(usize),
    /// A cut message is not what its first frame promised.
    #[error(
        "a message differs from what its first frame promised\nFinish a message before sending its first frame."
    )]
    Promise,
}

/// What has come. `T` is the time of a frame.
#[derive(Debug)]
pub struct Incoming<T> {
    next: u64,
    open: Option<Open<T>>,
}

/// A message that is coming in pieces.
#[derive(Debug)]
struct Open<T> {
    since: T,
    left: u64,
    digest: [u8; 32],
    hasher: Sha256,
}

impl<T> Default for Incoming<T> {
    fn default() -> Self {
        Self { next: 0, open: None }
    }
}

impl<T: Copy> Incoming<T> {
    /// The frame that acknowledges what has come.
    pub fn acknowledgement(&self) -> Vec<u8> {
        head(ACK, self.next)
    }

    /// Takes a frame that came at `at`; an acknowledgement goes to `outgoing`.
    ///
    /// # Errors
    /// [`BadFrame`]: the session is to end.
    pub fn take(
        &mut self,
        frame: &[u8],
        at: T,
        outgoing: &mut Outgoing,
    ) -> Result<Got<T>, BadFrame> {
        let (head, content) = frame.split_at_checked(HEAD_BYTES).ok_or(BadFrame::Form)?;
        let number = u64::from_be_bytes(head[1..].try_into().expect("8 bytes"));
        if content.len() > CHUNK_BYTES_MAX {
            return Err(BadFrame::TooLong(content.len()));
        }
        match head[0] {
            ACK => {
                outgoing.acknowledged(number);
                return Ok(Got::Acknowledged);
            }
            ACCEPT => return Ok(Got::Accept),
            BUSY => return Ok(Got::Busy),
            WHOLE | FIRST | MORE | END => {}
            _ => return Err(BadFrame::Form),
        }
        if number != self.next {
            return Ok(Got::Nothing);
        }
        self.next += 1;
        match (head[0], self.open.take()) {
            (WHOLE, None) => Ok(Got::Bytes(at, content.to_vec())),
            (END, None) => Ok(Got::End),
            (FIRST, None) => {
                let (length, digest) = content.split_at_checked(8).ok_or(BadFrame::Form)?;
                let left = u64::from_be_bytes(length.try_into().expect("8 bytes"));
                let digest = digest.try_into().map_err(|_| BadFrame::Form)?;
                if !(1..=MESSAGE_BYTES_MAX).contains(&left) {
                    return Err(BadFrame::Promise);
                }
                self.open = Some(Open { since: at, left, digest, hasher: Sha256::new() });
                Ok(Got::Nothing)
            }
            (MORE, Some(mut open)) => {
                open.left = open.left.checked_sub(content.len() as u64).ok_or(BadFrame::Promise)?;
                open.hasher.update(content);
                let since = open.since;
                if open.left > 0 {
                    self.open = Some(open);
                } else if <[u8; 32]>::from(open.hasher.finalize()) != open.digest {
                    return Err(BadFrame::Promise);
                }
                Ok(Got::Bytes(since, content.to_vec()))
            }
            _ => Err(BadFrame::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of `frames`, the n-th at time n.
    fn through(frames: &[Vec<u8>]) -> Result<Vec<(usize, Vec<u8>)>, BadFrame> {
        let (mut incoming, mut outgoing) = (Incoming::default(), Outgoing::default());
        let mut out = Vec::new();
        for (at, frame) in frames.iter().enumerate() {
            if let Got::Bytes(at, bytes) = incoming.take(frame, at, &mut outgoing)? {
                out.push((at, bytes));
            }
        }
        Ok(out)
    }

    #[test]
    fn a_cut_message_has_the_time_of_its_first_frame() {
        let mut sender = Outgoing::default();
        let mut frames = sender.message(b"hello\n", 4096);
        frames.extend(sender.message(&[b'x'; 10], 4));
        let came = through(&frames).unwrap();
        let expected = [(0, b"hello\n".to_vec()), (1, vec![b'x'; 4]), (1, vec![b'x'; 4])];
        assert_eq!(came[..3], expected);
        assert_eq!(came[3], (1, vec![b'x'; 2]));
    }

    #[test]
    fn a_message_that_is_not_what_was_promised_is_refused() {
        let mut sender = Outgoing::default();
        let mut frames = sender.message(&[b'x'; 10], 4);
        *frames.last_mut().unwrap().last_mut().unwrap() = b'y';
        assert_eq!(through(&frames), Err(BadFrame::Promise));
        // One that goes on where it should end, and one that another cuts off.
        let mut frames = Outgoing::default().message(&[b'x'; 10], 4);
        frames.last_mut().unwrap().push(b'x');
        assert_eq!(through(&frames), Err(BadFrame::Promise));
        let mut sender = Outgoing::default();
        let mut frames = sender.message(&[b'x'; 10], 4);
        frames[1] = [&[WHOLE][..], &frames[1][1..]].concat();
        assert_eq!(through(&frames), Err(BadFrame::Form));
    }

    #[test]
    fn lost_repeated_and_reordered_frames_come_out_once_and_in_order() {
        let mut sender = Outgoing::default();
        let mut sent = Vec::new();
        for text in ["a", "b", "c", "d"] {
            sent.extend(sender.message(text.as_bytes(), 64));
        }
        let (mut incoming, mut none) = (Incoming::default(), Outgoing::default());
        let mut out = String::new();
        let mut take = |incoming: &mut Incoming<()>, frame: &[u8]| {
            if let Got::Bytes((), bytes) = incoming.take(frame, (), &mut none).unwrap() {
                out.push_str(std::str::from_utf8(&bytes).unwrap());
            }
        };
        for at in [0, 2, 0, 1, 3] {
            take(&mut incoming, &sent[at]);
        }
        let acknowledgement = incoming.acknowledgement();
        Incoming::<()>::default().take(&acknowledgement, (), &mut sender).unwrap();
        let again: Vec<Vec<u8>> = sender.again().cloned().collect();
        assert_eq!(again, sent[2..]);
        for frame in &again {
            take(&mut incoming, frame);
        }
        assert_eq!(out, "abcd");
        let acknowledgement = incoming.acknowledgement();
        Incoming::<()>::default().take(&acknowledgement, (), &mut sender).unwrap();
        assert!(sender.is_empty() && sender.bytes == 0);
        // What was never sent cannot be acknowledged.
        Incoming::<()>::default().take(&head(ACK, u64::MAX), (), &mut sender).unwrap();
        assert_eq!(sender.next, 4);
    }

    #[test]
    fn frames_out_of_form_are_refused() {
        for bad in [&b""[..], b"\0\0\0\0", &[99; 9], &head(MORE, 0), &head(FIRST, 0)] {
            assert!(through(&[bad.to_vec()]).is_err(), "{bad:?}");
        }
        let long = [head(WHOLE, 0), vec![0; CHUNK_BYTES_MAX + 1]].concat();
        assert_eq!(through(&[long]), Err(BadFrame::TooLong(CHUNK_BYTES_MAX + 1)));
    }
}
