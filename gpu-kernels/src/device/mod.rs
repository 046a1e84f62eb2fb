//! The device layer: everything that touches the machine below Rust's own
//! arithmetic. One wrapper per PTX instruction; `asm!` lives here and nowhere
//! else. Kernel entry, dynamic shared memory and the panic handler, which
//! differ between compilers, are in `backend` alone.
//!
//! Shared memory is addressed by `u32` offsets in the shared window and global
//! memory by `u64` device addresses, so that loads and stores name their
//! state space instead of going through generic addresses.

pub mod async_copy;
pub mod backend;
pub mod memory;
pub mod mma;
pub mod thread;
