//! Entry points, one kernel a file; which of them a target has is said here
//! and in `abi`.

pub mod chain_step;
pub mod fill;
pub mod gemm_fma;
#[cfg(attest_target = "sm_90a")]
pub mod gemm_m16n8k16;
#[cfg(not(attest_target = "portable"))]
pub mod gemm_m8n8k4;
pub mod merkle;
pub mod parts;
pub mod peak;
