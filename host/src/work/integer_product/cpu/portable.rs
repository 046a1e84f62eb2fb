//! The kernel for any target: sums of products of bytes, as they are.

use super::kernel::{GROUP, Kernel, LEAF, ROWS, consecutive};
use crate::work::stream::{Steps, Stream};

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    const COLUMNS: usize = 16;
    const STEP_WORDS: usize = 4;
    const BIAS: u32 = 0;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        stream.fill_steps(first, count, steps);
    }

    fn fill_rows(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        rows: &[u32; GROUP],
        panel: &mut [u32],
    ) {
        fill(stream, steps, count, rows, panel);
    }

    fn fill_columns(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        first: u32,
        panel: &mut [u32],
    ) {
        fill(stream, steps, count, &consecutive::<{ Self::COLUMNS }>(first), panel);
    }

    fn add_rows(self, _count: usize, _a: &[u32], _sums: &mut [i32; GROUP]) {}

    fn multiply(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        multiply::<ROWS>(count, a, row, b, c);
    }

    fn multiply_leaf(self, count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
        multiply::<LEAF>(count, a, row, b, c);
    }
}

fn fill(stream: &Stream, steps: &Steps, count: usize, vectors: &[u32], panel: &mut [u32]) {
    let width = vectors.len();
    for (i, &x) in vectors.iter().enumerate() {
        let constant = stream.vector_constant(x);
        for (at, entries) in panel.chunks_exact_mut(4 * width).take(count).enumerate() {
            let block = stream.block(constant, steps, at);
            for (e, y) in block.into_iter().enumerate() {
                entries[e * width + i] = y;
            }
        }
    }
}

fn multiply<const COUNT: usize>(count: usize, a: &[u32], row: usize, b: &[u32], c: &mut [i32]) {
    const COLUMNS: usize = Portable::COLUMNS;
    let c: &mut [[i32; COLUMNS]] = c.as_chunks_mut().0;
    let (a, b) = (a.as_chunks::<GROUP>().0, b.as_chunks::<COLUMNS>().0);
    for (a, b) in a.iter().zip(b).take(count * Portable::STEP_WORDS) {
        let b = b.map(bytes);
        for (c, &a) in c.iter_mut().zip(&a[row..row + COUNT]) {
            let a = bytes(a);
            for (c, b) in c.iter_mut().zip(&b) {
                let low = i32::from(a[0]) * i32::from(b[0]) + i32::from(a[1]) * i32::from(b[1]);
                let high = i32::from(a[2]) * i32::from(b[2]) + i32::from(a[3]) * i32::from(b[3]);
                *c = c.wrapping_add(low + high);
            }
        }
    }
}

/// The elements of a word, in order.
fn bytes(word: u32) -> [i8; 4] {
    word.to_le_bytes().map(|byte| byte as i8)
}
