//! Entry points, one kernel a file, and what several of them share. Which kernels
//! a target has follows from what it has (`attest_has`).

pub mod arena;
pub mod chain_step;
pub mod fill;
pub mod gemm_fma;
#[cfg(attest_has = "register_handover")]
pub mod gemm_m16n8k16;
#[cfg(all(attest_has = "bulk_copies", not(attest_has = "register_handover")))]
pub mod gemm_m16n8k16_tile;
#[cfg(attest_has = "tensor_cores")]
pub mod gemm_m8n8k4;
pub mod merkle;
pub mod parts;
pub mod peak;
pub mod peak_memory;
#[cfg(attest_has = "bulk_copies")]
pub mod sixteen;
pub mod sweep;
