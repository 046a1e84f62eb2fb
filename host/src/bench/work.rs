//! What is measured: products of FP64 or of integers under sustained load, a number of
//! iterations from first to last, or an arena in the device's memory.

use crate::protocol::work::fp64_product::Fp64Product;
use crate::protocol::work::integer_product::{DIM_MAX as INTEGER_DIM_MAX, IntegerProduct};
use gpu_kernels::tile::TILE;
use std::fmt;
use std::str::FromStr;

/// Largest n, m and T, as a challenge has them.
const DIM_MAX: u32 = 32768;
const PRODUCTS_MAX: u32 = 4096;
const ITERATIONS_MAX: u32 = 1_000_000;
/// Largest share of a device's memory that an arena can have, percent: kernels, rings and
/// the driver have some.
const PERCENT_MAX: u32 = 99;

/// A shape, and how it is run. Prints and parses as "4096x8", "1024x1x1000", "90%" or
/// "int8:8192x1".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// n x m, for as long as a turn lasts.
    Sustained(Fp64Product),
    /// n x m x T: the seconds that T iterations take.
    Total(Fp64Product, u32),
    /// P%: memory residency with an arena of this many percent of the device's memory.
    Arena(u32),
    /// int8:n x m: integer products, for as long as a turn lasts.
    Integers(IntegerProduct),
}

/// What shapes of integer products begin with.
const INTEGERS: &str = "int8:";

impl Work {
    /// What is measured unless something else is asked for: large products,
    /// few; small ones, many; one small product a thousand times over; nearly all of the
    /// memory; and large products of integers.
    pub const DEFAULT: [Self; 8] = [
        Self::Sustained(Fp64Product { dim: 8192, products: 2 }),
        Self::Sustained(Fp64Product { dim: 4096, products: 8 }),
        Self::Sustained(Fp64Product { dim: 2048, products: 16 }),
        Self::Sustained(Fp64Product { dim: 1024, products: 64 }),
        Self::Total(Fp64Product { dim: 1024, products: 1 }, 1000),
        Self::Arena(90),
        Self::Integers(IntegerProduct { dim: 16384, products: 1 }),
        Self::Integers(IntegerProduct { dim: 8192, products: 1 }),
    ];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sustained(Fp64Product { dim, products }) => write!(f, "{dim}x{products}"),
            Self::Total(Fp64Product { dim, products }, iterations) => {
                write!(f, "{dim}x{products}x{iterations}")
            }
            Self::Arena(percent) => write!(f, "{percent}%"),
            Self::Integers(IntegerProduct { dim, products }) => {
                write!(f, "{INTEGERS}{dim}x{products}")
            }
        }
    }
}

/// Text that names no work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is not a shape: expected NxM, or NxMxT for T iterations, with N a multiple of {TILE} \
     up to {DIM_MAX}, M up to {PRODUCTS_MAX} and T up to {ITERATIONS_MAX}; or P% for an arena, with \
     P from 1 to {PERCENT_MAX}; or {INTEGERS}NxM for integers, with N up to {INTEGER_DIM_MAX}"
)]
pub struct UnknownWork {
    /// What was given.
    pub text: String,
}

impl FromStr for Work {
    type Err = UnknownWork;
    fn from_str(text: &str) -> Result<Self, UnknownWork> {
        let unknown = || UnknownWork { text: text.to_owned() };
        let number = |part: &str| part.parse::<u32>().map_err(|_| unknown());
        if let Some(percent) = text.strip_suffix('%') {
            let percent = number(percent)?;
            let fits = (1..=PERCENT_MAX).contains(&percent);
            return if fits { Ok(Self::Arena(percent)) } else { Err(unknown()) };
        }
        if let Some(shape) = text.strip_prefix(INTEGERS) {
            let (dim, products) = shape.split_once('x').ok_or_else(unknown)?;
            let (dim, products) = (number(dim)?, number(products)?);
            let fits = (1..=INTEGER_DIM_MAX).contains(&dim)
                && dim.is_multiple_of(TILE)
                && (1..=PRODUCTS_MAX).contains(&products);
            let shape = IntegerProduct { dim, products };
            return if fits { Ok(Self::Integers(shape)) } else { Err(unknown()) };
        }
        let numbers: Vec<u32> = text.split('x').map(number).collect::<Result<_, _>>()?;
        let (&[dim, products], rest) = numbers.split_first_chunk().ok_or_else(unknown)?;
        let fits = (1..=DIM_MAX).contains(&dim)
            && dim.is_multiple_of(TILE)
            && (1..=PRODUCTS_MAX).contains(&products);
        let shape = Fp64Product { dim, products };
        match *rest {
            [] if fits => Ok(Self::Sustained(shape)),
            [iterations @ 1..=ITERATIONS_MAX] if fits => Ok(Self::Total(shape, iterations)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_parses_as_it_prints() {
        for work in Work::DEFAULT {
            assert_eq!(work.to_string().parse(), Ok(work));
        }
        let most = Work::Total(Fp64Product { dim: 32768, products: 4096 }, 1_000_000);
        assert_eq!("32768x4096x1000000".parse(), Ok(most));
        let most = Work::Integers(IntegerProduct { dim: 65536, products: 4096 });
        assert_eq!("int8:65536x4096".parse(), Ok(most));
    }

    #[test]
    fn what_no_challenge_could_have_is_refused() {
        let bad = [
            "",
            "4096",
            "4096x",
            "x8",
            "4096x8x",
            "4096x8x10x1",
            "4096 x 8",
            "-128x1",
            "0x1",
            "128x0",
            "128x1x0",
            "100x1",
            "32896x1",
            "128x4097",
            "128x1x1000001",
            "4294967424x1",
            "%",
            "0%",
            "100%",
            "9.5%",
            "1024x1%",
            "int8:",
            "int8:1024",
            "int8:100x1",
            "int8:65664x1",
            "int8:128x4097",
            "int8:1024x1x10",
        ];
        for text in bad {
            let error = text.parse::<Work>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("NxM"), "{error}");
        }
    }
}
