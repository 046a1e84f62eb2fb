//! Live sessions, honest and not, one and many.

mod attacks;
mod common;
mod live;
mod soak;
