//! The kernel for any target: `f64::mul_add`, correctly rounded everywhere,
//! slow if the target has no such instruction.

use super::kernel::{Kernel, LEAF_SIDE, TWO_BITS};
use crate::work::stream::{Steps, Stream};

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Kernel for Portable {
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;

    fn fill_steps(self, stream: &Stream, first: u32, count: usize, steps: &mut Steps) {
        stream.fill_steps(first, count, steps);
    }

    fn fill(
        self,
        stream: &Stream,
        steps: &Steps,
        count: usize,
        vectors: &[u32],
        panel: &mut [f64],
    ) {
        let width = vectors.len();
        for (i, &x) in vectors.iter().enumerate() {
            let constant = stream.vector_constant(x);
            for (at, pair) in panel.chunks_exact_mut(2 * width).take(count).enumerate() {
                let [y0, y1, y2, y3] = stream.block(constant, steps, at);
                [pair[i], pair[width + i]] = [unit(y0, y1), unit(y2, y3)];
            }
        }
    }

    fn multiply(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64]) {
        multiply::<{ Self::ROWS }, { Self::COLUMNS }>(depth, a, b, c);
    }

    fn multiply_leaf(self, depth: usize, a: &[f64], b: &[f64], c: &mut [f64; 64]) {
        multiply::<LEAF_SIDE, LEAF_SIDE>(depth, a, b, c);
    }
}

fn multiply<const ROWS: usize, const COLUMNS: usize>(
    depth: usize,
    a: &[f64],
    b: &[f64],
    c: &mut [f64],
) {
    let ks = a.chunks_exact(ROWS).zip(b.chunks_exact(COLUMNS));
    for (a, b) in ks.take(depth) {
        for (row, &a) in c.chunks_exact_mut(COLUMNS).zip(a) {
            for (c, &b) in row.iter_mut().zip(b) {
                *c = a.mul_add(b, *c);
            }
        }
    }
}

/// u(lo, hi) of docs/protocol.md: a multiple of 2⁻⁵¹ in [−1, 1).
#[inline(always)]
fn unit(lo: u32, hi: u32) -> f64 {
    let bits = (u64::from(hi) << 32 | u64::from(lo)) >> 12;
    f64::from_bits(TWO_BITS | bits) - 3.0
}
