//! Philox4x32-10, its single round, and the doubles drawn from it, as
//! docs/protocol.md defines them under "Philox4x32-10" and "Operands". Pure per-thread arithmetic; the
//! 32×32→64-bit multiplication is the caller's, because compilers that widen
//! the whole function to 64 bits make a third more device code of it.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;

/// Low and high word of a product.
pub trait Multiply: Fn(u32, u32) -> (u32, u32) + Copy {}
impl<F: Fn(u32, u32) -> (u32, u32) + Copy> Multiply for F {}

/// One round of Philox4x32 with the round key `key`.
#[inline(always)]
pub fn round(multiply: impl Multiply, c: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let (low0, high0) = multiply(MULTIPLIER_0, c[0]);
    let (low1, high1) = multiply(MULTIPLIER_1, c[2]);
    [high1 ^ c[1] ^ key[0], low1, high0 ^ c[3] ^ key[1], low0]
}

/// P(counter; key): the ten-round block function.
#[inline(always)]
pub fn block(multiply: impl Multiply, counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    macro_rules! rounds {
        ($($round:literal)*) => {
            $( c = round(multiply, c, round_key([key[0], key[1], 0], $round)); )*
        };
    }
    rounds!(1 2 3 4 5 6 7 8 9 10);
    c
}

/// What three rounds of the ten-round block function (Salmon et al., "Parallel
/// random numbers: as easy as 1, 2, 3", SC'11) make of counters (pair, ·, operand,
/// tweak) before the vector's number comes in: three of their six multiplications, which
/// all vectors have in common.
#[derive(Clone, Copy, Debug)]
pub struct PairPart {
    /// c3 and key that round 2 adds to c2.
    second: u32,
    /// What round 3 adds to c0 and c2, and c3 after it.
    third: [u32; 3],
}

/// What two rounds make of the vector's number before the pair comes in.
#[derive(Clone, Copy, Debug)]
pub struct VectorPart {
    /// Low and high word of round 2's first product.
    product: (u32, u32),
}

/// Key of round `round` (1 … 10).
#[inline(always)]
fn round_key(key: [u32; 3], round: u32) -> [u32; 2] {
    let add = |k: u32, weyl: u32| k.wrapping_add(weyl.wrapping_mul(round - 1));
    [add(key[0], WEYL_0), add(key[1], WEYL_1)]
}

impl PairPart {
    /// Of pair `pair` of any vector of an operand (2j for A, 2j+1 for B), under
    /// key words k0, k1 and tweak w.
    #[inline(always)]
    pub fn of(multiply: impl Multiply, key: [u32; 3], operand: u32, pair: u32) -> Self {
        let (low0, high0) = multiply(MULTIPLIER_0, pair);
        let (low1, _) = multiply(MULTIPLIER_1, operand);
        let c2 = high0 ^ key[2] ^ round_key(key, 1)[1];
        let (c1, c3) = (low1, low0);

        let (low1, high1) = multiply(MULTIPLIER_1, c2);
        let [k0, k1] = round_key(key, 2);
        let c0 = high1 ^ c1 ^ k0;
        let (second, c1) = (c3 ^ k1, low1);

        let (low0, high0) = multiply(MULTIPLIER_0, c0);
        let [k0, k1] = round_key(key, 3);
        Self { second, third: [c1 ^ k0, high0 ^ k1, low0] }
    }
}

impl VectorPart {
    /// Of vector `x` of an operand.
    #[inline(always)]
    pub fn of(multiply: impl Multiply, key: [u32; 3], operand: u32, x: u32) -> Self {
        let (_, high1) = multiply(MULTIPLIER_1, operand);
        let c0 = high1 ^ x ^ round_key(key, 1)[0];
        Self { product: multiply(MULTIPLIER_0, c0) }
    }
}

/// The block function: of the counter that the key and these parts come from.
#[inline(always)]
pub fn finish(multiply: impl Multiply, key: [u32; 3], p: PairPart, x: VectorPart) -> [u32; 4] {
    let (low0, high0) = x.product;
    let (low1, high1) = multiply(MULTIPLIER_1, high0 ^ p.second);
    let [mut c0, mut c1] = [high1 ^ p.third[0], low1];
    let [mut c2, mut c3] = [low0 ^ p.third[1], p.third[2]];
    macro_rules! round {
        ($round:literal) => {
            let (low0, high0) = multiply(MULTIPLIER_0, c0);
            let (low1, high1) = multiply(MULTIPLIER_1, c2);
            let [k0, k1] = round_key(key, $round);
            (c0, c1, c2, c3) = (high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0);
        };
    }
    round!(4);
    round!(5);
    round!(6);
    round!(7);
    round!(8);
    round!(9);
    round!(10);
    [c0, c1, c2, c3]
}

/// u(lo, hi): the top 52 bits as the mantissa of a double in [2,4), less 3.0;
/// a multiple of 2⁻⁵¹ in [−1,1).
#[inline(always)]
pub fn unit_double(lo: u32, hi: u32) -> f64 {
    let mantissa = ((hi as u64) << 32 | lo as u64) >> 12;
    f64::from_bits(0x4000_0000_0000_0000 | mantissa) - 3.0
}

/// Elements 2p and 2p+1 of the vector, p the pair, under the key that made the
/// parts.
#[inline(always)]
pub fn element_pair(
    multiply: impl Multiply,
    key: [u32; 3],
    pair: PairPart,
    vector: VectorPart,
) -> (f64, f64) {
    let y = finish(multiply, key, pair, vector);
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
            let [pair, x, operand, tweak] = counter;
            let tweaked = [key[0], key[1], tweak];
            let pair = PairPart::of(multiply, tweaked, operand, pair);
            let vector = VectorPart::of(multiply, tweaked, operand, x);
            assert_eq!(finish(multiply, tweaked, pair, vector), expected);
            assert_eq!(block(multiply, counter, key), expected);
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
