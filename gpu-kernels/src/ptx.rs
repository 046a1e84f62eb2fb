//! The committed PTX, one text per target.

/// For any device of compute capability 7.0 or later.
pub const PORTABLE: &str = include_str!("../ptx/portable.ptx");
/// For compute capability 8.0 or later.
pub const SM_80: &str = include_str!("../ptx/sm_80.ptx");
/// For compute capability 9.0 or later, if a block may have 193 KiB of shared memory.
pub const SM_90: &str = include_str!("../ptx/sm_90.ptx");
/// For compute capability 9.0 alone.
pub const SM_90A: &str = include_str!("../ptx/sm_90a.ptx");
/// For compute capability 10.0 and 10.3.
pub const SM_100F: &str = include_str!("../ptx/sm_100f.ptx");
/// For compute capability 12.0 or later.
pub const SM_120: &str = include_str!("../ptx/sm_120.ptx");
