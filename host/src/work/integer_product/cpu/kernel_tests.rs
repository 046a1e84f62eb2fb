//! Kernels of each instruction set against each other and plain sums.

use super::{Engine, GROUP, Kernel, LEAF, ROWS, STEP_ELEMENTS, Simd, consecutive};
use crate::protocol::digest::Digest;
use crate::protocol::names::State;
use crate::work::stream::{Operand, Steps, Stream};
use rand_philox::philox4x32_10;

/// The elements of a vector that docs/protocol.md draws from `steps` counters on.
fn elements(state: &State, z: u32, x: u32, first: u32, count: usize) -> Vec<i8> {
    let word = |at: usize| u32::from_be_bytes(state.0[at..at + 4].try_into().unwrap());
    let block = |step| philox4x32_10([first + step, x, z, word(8)], [word(0), word(4)]);
    let bytes = |y: u32| [y as u8, (y >> 8) as u8, (y >> 16) as u8, (y >> 24) as u8];
    (0..count as u32).flat_map(block).flat_map(bytes).map(|byte| byte as i8).collect()
}

/// Panels of one group of rows and one of columns, and what is packed in them.
struct Panels {
    a: Vec<u32>,
    b: Vec<u32>,
    rows: Vec<Vec<i8>>,
    columns: Vec<Vec<i8>>,
}

impl Panels {
    fn drawn<K: Kernel>(
        kernel: K,
        state: &State,
        product: u32,
        (x, first, count): (u32, u32, usize),
    ) -> Self {
        let entries = count * K::STEP_WORDS;
        let [a, b] = [Operand::A, Operand::B].map(|op| Stream::new(state, product, op));
        let mut steps = Steps::default();
        // Not consecutive: leaves' rows are not.
        let rows: [u32; GROUP] = consecutive(x).map(|row: u32| row ^ 1);
        // The border after a panel must stay untouched.
        let [mut panel_a, mut panel_b] =
            [GROUP, K::COLUMNS].map(|width| vec![7; entries * width + 1]);
        kernel.fill_steps(&a, first, count, &mut steps);
        kernel.fill_rows(&a, &steps, count, &rows, &mut panel_a);
        kernel.fill_steps(&b, first, count, &mut steps);
        kernel.fill_columns(&b, &steps, count, x, &mut panel_b);
        assert_eq!((panel_a.pop(), panel_b.pop()), (Some(7), Some(7)), "wrote past a panel");
        let rows = rows.map(|row| elements(state, 2 * product, row, first, count)).to_vec();
        let columns = (0..K::COLUMNS as u32)
            .map(|at| elements(state, 2 * product + 1, x.wrapping_add(at), first, count))
            .collect();
        Self { a: panel_a, b: panel_b, rows, columns }
    }

    /// The same element everywhere, packed by hand in each kernel's form.
    fn of_one<K: Kernel>(element: i8, count: usize) -> Self {
        let byte = u32::from(element as u8);
        let plain = byte * 0x0101_0101;
        let wide = u32::from(i16::from(element) as u16) * 0x0001_0001;
        let (of_a, of_b) = match K::STEP_WORDS {
            8 => (wide, wide),
            _ => (plain, if K::BIAS == 0 { plain } else { plain ^ 0x8080_8080 }),
        };
        let entries = count * K::STEP_WORDS;
        Self {
            a: vec![of_a; entries * GROUP],
            b: vec![of_b; entries * K::COLUMNS],
            rows: vec![vec![element; count * STEP_ELEMENTS]; GROUP],
            columns: vec![vec![element; count * STEP_ELEMENTS]; K::COLUMNS],
        }
    }

    /// Compares every output with a loop over i64, on top of `before`.
    fn check<K: Kernel>(&self, kernel: K, simd: Simd, count: usize, before: i32) {
        let mut row_sums = [0; GROUP];
        if K::BIAS != 0 {
            kernel.add_rows(count, &self.a, &mut row_sums);
        }
        let plain = |row: usize, column: usize| -> i64 {
            let terms = self.rows[row].iter().zip(&self.columns[column]);
            terms.map(|(&a, &b)| i64::from(a) * i64::from(b)).sum()
        };
        let check = |first: usize, c: &[i32]| {
            for (at, &got) in c.iter().enumerate() {
                let (row, column) = (first + at / K::COLUMNS, at % K::COLUMNS);
                let excess = K::BIAS.cast_signed().wrapping_mul(row_sums[row]);
                let got = i64::from(got.wrapping_sub(excess).wrapping_sub(before));
                assert_eq!(got, plain(row, column), "{simd}: row {row}, column {column}");
            }
        };
        for first in (0..GROUP).step_by(ROWS) {
            let mut c = vec![before; ROWS * K::COLUMNS];
            kernel.multiply(count, &self.a, first, &self.b, &mut c);
            check(first, &c);
        }
        for first in (0..GROUP).step_by(LEAF) {
            let mut c = vec![before; LEAF * K::COLUMNS];
            kernel.multiply_leaf(count, &self.a, first, &self.b, &mut c);
            check(first, &c);
        }
    }
}

fn check<K: Kernel>(kernel: K, simd: Simd) {
    // Zero and all-one key and tweak words; the last vectors and the last step of the
    // largest matrix; the last product; numbers of steps around an unrolled loop.
    let states = [State([0; 32]), State([0xFF; 32]), State(Digest::of(&[b"fill"]).0)];
    for (state, product, at) in [
        (states[0], 0, (0, 0, 8)),
        (states[1], 4095, (65_536 - 64, 4096 - 16, 16)),
        (states[2], 1, (126, 8, 2)),
        (states[2], 2, (u32::MAX - 63, u32::MAX - 100, 4)),
    ] {
        Panels::drawn(kernel, &state, product, at).check(kernel, simd, at.2, 77);
    }
    // Extremes, on top of sums that wrap around with them.
    for element in [-128, 127, -1, 0] {
        Panels::of_one::<K>(element, 16).check(kernel, simd, 16, 0);
    }
    Panels::of_one::<K>(-128, 16).check(kernel, simd, 16, i32::MAX);
}

#[test]
fn every_kernel_generates_and_multiplies_exactly() {
    for simd in Simd::ALL {
        let Some(engine) = Engine::new(simd) else { continue };
        super::with_kernel!(engine, kernel => check(kernel, simd));
    }
}
