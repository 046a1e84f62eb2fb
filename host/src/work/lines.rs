//! Buffers that start at a cache line: full-register loads never straddle two.

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A buffer of numbers that starts at a cache line.
#[derive(Default)]
pub(super) struct Lines<T>(Vec<T>);

impl<T: Copy + Default> Lines<T> {
    /// Numbers in a cache line.
    const LINE: usize = LINE_BYTES / size_of::<T>();

    /// The first `len` numbers, whatever they hold.
    pub(super) fn get(&mut self, len: usize) -> &mut [T] {
        if self.0.len() < len + Self::LINE {
            self.0 = vec![T::default(); len + Self::LINE];
        }
        let skip = self.0.as_ptr().align_offset(LINE_BYTES).min(Self::LINE);
        &mut self.0[skip..skip + len]
    }
}
