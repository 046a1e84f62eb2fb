//! Newline-delimited JSON: lines out of bytes, within a bound.
//!
//! Guarantees: a line longer than the bound in force is an error as soon as the
//! bound is passed, before the rest has come; no more is kept than one line, one
//! piece of input and what is not awaited yet.
//! Deliberately lacks: parsing.

/// The line under way is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message has more than {limit_bytes} bytes")]
pub struct TooLong {
    /// The bound in force.
    pub limit_bytes: u64,
}

/// Bytes that have come and were not taken yet.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Up to here there is no line break.
    searched: usize,
}

impl LineBuffer {
    /// Adds what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next whole line, without its line break.
    ///
    /// # Errors
    /// [`TooLong`] if it has more than `limit_bytes`, finished or not.
    pub fn take_line(&mut self, limit_bytes: u64) -> Result<Option<Vec<u8>>, TooLong> {
        let found = self.bytes[self.searched..].iter().position(|&byte| byte == b'\n');
        let length = found.map_or(self.bytes.len(), |at| self.searched + at);
        if length as u64 > limit_bytes {
            return Err(TooLong { limit_bytes });
        }
        if found.is_none() {
            self.searched = length;
            return Ok(None);
        }
        // What follows a line is little: the line's own memory is handed on.
        let rest = self.bytes.split_off(length + 1);
        let mut line = std::mem::replace(&mut self.bytes, rest);
        line.truncate(length);
        self.searched = 0;
        Ok(Some(line))
    }

    /// Gives up whatever waits.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\n\ntwo three\nrest";
        for size in 1..text.len() {
            let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
            for piece in text.chunks(size) {
                buffer.push(piece);
                while let Some(line) = buffer.take_line(9).unwrap() {
                    lines.push(String::from_utf8(line).unwrap());
                }
            }
            assert_eq!(lines, ["one", "", "two three"], "in pieces of {size}");
            assert_eq!(buffer.len(), 4);
        }
    }

    #[test]
    fn a_line_may_reach_its_bound_and_not_pass_it() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"12345\n");
        assert_eq!(buffer.take_line(5).unwrap().unwrap(), b"12345");
        buffer.push(b"12345");
        assert_eq!(buffer.take_line(5), Ok(None));
        buffer.push(b"6");
        assert_eq!(buffer.take_line(5), Err(TooLong { limit_bytes: 5 }));
        let mut buffer = LineBuffer::default();
        buffer.push(b"123456\n");
        assert_eq!(buffer.take_line(5), Err(TooLong { limit_bytes: 5 }));
    }
}
