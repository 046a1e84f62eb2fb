//! The compiled kernels as text, one per target, as `cargo xtask ptx` wrote
//! them. For the host; a build without a device compiler uses what is
//! committed.

/// For any device of compute capability 7.0 or later (PTX ISA 7.0).
pub const PORTABLE: &str = include_str!("../ptx/portable.ptx");
/// For compute capability 8.0 and later.
pub const SM_80: &str = include_str!("../ptx/sm_80.ptx");
/// For compute capability 9.0 only.
pub const SM_90A: &str = include_str!("../ptx/sm_90a.ptx");
