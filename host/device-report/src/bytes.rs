//! Bytes of a stranger, taken from the front.
//!
//! Guarantees: nothing beyond the end is read; what is missing is a fault that names it.
//! Deliberately lacks: any meaning.

use crate::fault::{Code, Fault};

/// Bytes that are taken from the front.
pub(crate) struct Bytes<'a> {
    rest: &'a [u8],
    at: usize,
    /// What a fault is called.
    code: Code,
}

impl<'a> Bytes<'a> {
    /// All of `bytes`; what does not fit is a fault of `code`.
    pub(crate) fn new(bytes: &'a [u8], code: Code) -> Self {
        Self { rest: bytes, at: 0, code }
    }
    /// How many were taken.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
    /// How many are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }
    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize, what: &str) -> Result<&'a [u8], Fault> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let detail = format!(
                "{what} at byte {}: expected {count} bytes, {} are left",
                self.at,
                self.rest.len()
            );
            return Err(Fault::new(self.code, detail));
        };
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        Ok(self.take(N, what)?.try_into().expect("as many bytes as were taken"))
    }

    pub(crate) fn byte(&mut self, what: &str) -> Result<u8, Fault> {
        Ok(self.take(1, what)?[0])
    }

    /// Little-endian, as are the next two.
    pub(crate) fn u16(&mut self, what: &str) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn expect(&mut self, what: &str, expected: u8) -> Result<(), Fault> {
        match self.byte(what)? {
            got if got == expected => Ok(()),
            got => {
                let detail = format!("{what}: expected {expected:#04x}, got {got:#04x}");
                Err(Fault::new(self.code, detail))
            }
        }
    }
}
