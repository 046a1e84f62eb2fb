//! The committed PTX, one text per target.

/// For any device of compute capability 7.0 or later.
pub const PORTABLE: &str = include_str!("../ptx/portable.ptx");
/// For compute capability 8.0 or later.
pub const SM_80: &str = include_str!("../ptx/sm_80.ptx");
/// For compute capability 9.0 alone.
pub const SM_90A: &str = include_str!("../ptx/sm_90a.ptx");
