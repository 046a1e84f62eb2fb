//! Philox4x32-10 and the doubles drawn from it, as docs/protocol.md defines
//! them under "Philox4x32-10" and "Operands". Pure per-thread arithmetic; the
//! 32×32→64-bit multiplication is the caller's, because compilers that widen
//! the whole function to 64 bits make a third more device code of it.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;

/// The ten-round block function (Salmon et al., "Parallel random numbers: as
/// easy as 1, 2, 3", SC'11).
///
/// `multiply` returns the low and the high word of a product.
#[inline(always)]
pub fn philox4x32_10(
    multiply: impl Fn(u32, u32) -> (u32, u32),
    counter: [u32; 4],
    key: [u32; 2],
) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    macro_rules! round {
        () => {
            let (low0, high0) = multiply(MULTIPLIER_0, c0);
            let (low1, high1) = multiply(MULTIPLIER_1, c2);
            (c0, c1, c2, c3) = (high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0);
        };
        (next) => {
            k0 = k0.wrapping_add(WEYL_0);
            k1 = k1.wrapping_add(WEYL_1);
            round!();
        };
    }
    round!();
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    round!(next);
    [c0, c1, c2, c3]
}

/// u(lo, hi): the top 52 bits as the mantissa of a double in [2,4), less 3.0;
/// a multiple of 2⁻⁵¹ in [−1,1).
#[inline(always)]
pub fn unit_double(lo: u32, hi: u32) -> f64 {
    let mantissa = ((hi as u64) << 32 | lo as u64) >> 12;
    f64::from_bits(0x4000_0000_0000_0000 | mantissa) - 3.0
}

/// Elements 2·pair and 2·pair+1 of vector `x` of an operand (2j for A, 2j+1
/// for B), under key words k0, k1 and tweak w.
#[inline(always)]
pub fn element_pair(
    multiply: impl Fn(u32, u32) -> (u32, u32),
    key: [u32; 3],
    pair: u32,
    x: u32,
    operand: u32,
) -> (f64, f64) {
    let y = philox4x32_10(multiply, [pair, x, operand, key[2]], [key[0], key[1]]);
    (unit_double(y[0], y[1]), unit_double(y[2], y[3]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiply(a: u32, b: u32) -> (u32, u32) {
        let product = u64::from(a) * u64::from(b);
        (product as u32, (product >> 32) as u32)
    }

    #[test]
    fn equals_an_independent_philox() {
        let mut counter = [0x0123_4567, 0x89ab_cdef, 3, 0xffff_ffff];
        let mut key = [7, 0xdead_beef];
        for _ in 0..10_000 {
            let expected = rand_philox::philox4x32_10(counter, key);
            assert_eq!(philox4x32_10(multiply, counter, key), expected);
            (counter, key) = (expected, [expected[1] ^ 5, expected[2]]);
        }
    }

    #[test]
    fn doubles_span_minus_one_to_one() {
        assert_eq!(unit_double(0, 0), -1.0);
        assert_eq!(unit_double(0xfff, 0), -1.0); // the low twelve bits are dropped
        assert_eq!(unit_double(0, 0x8000_0000), 0.0);
        assert_eq!(unit_double(u32::MAX, u32::MAX), 1.0 - 2f64.powi(-51));
    }
}
