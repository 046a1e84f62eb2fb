//! The device layer: everything that touches the machine below Rust's own
//! arithmetic. One wrapper per PTX instruction; `asm!` lives here and nowhere
//! else. Kernel entry, dynamic shared memory, the panic handler and the names of
//! barriers, which differ between compilers, are in `backend` alone.
//!
//! Shared memory is addressed by `u32` offsets in the shared window and global
//! memory by `u64` device addresses, so that loads and stores name their
//! state space instead of going through generic addresses.
//!
//! What kernels rely on beyond Rust's own rules, and what holds compilers to it
//! (`cargo xtask ptx` looks at the text of either compiler for what it can see):
//!
//! - **Waits and memory accesses stay where they are written.** Everything that
//!   waits, signals, loads, stores or copies is `asm!` without `pure` or `nomem`
//!   (or a barrier, which LLVM takes to read and write memory), so that none of
//!   it is left out, and none moves across another.
//! - **Convergence.** A barrier is one instruction for all its threads: no
//!   optimiser may make two of one, or put one under a condition on the thread.
//!   The three barriers are LLVM's convergent intrinsics for that; their number
//!   in each kernel is declared in xtask's table, and any other is refused. The
//!   same goes for exchanges between lanes (`shfl.sync`), for `setmaxnreg`, for waits and for bulk copies, which are
//!   assembly: a kernel whose control flow was copied does not get by.
//!   `mma.sync` may be copied (whole warps take one copy or the other) but not
//!   moved, so it is not `pure`; it stands where no condition is about the lane. So does
//!   `wgmma`, where none is about the warp.
//! - **Sums in flight.** `wgmma` writes its sums until it is waited for. All of them are
//!   operands of every `wgmma` and of the last wait, and nothing names them in between, so
//!   that no compiler has a reason to touch them. ptxas would wait before it did, and says
//!   so; `cargo xtask ptx` takes that for a fault.
//! - **Alignment.** Dynamic shared memory starts at a multiple of 1024: bulk
//!   copies and vector loads need 16, `mbarrier` 8. The symbol is declared so in
//!   every file, has no size, and there is no static shared memory before it.
//! - **Registers change hands** only in a kernel whose launch bounds deal them all
//!   out at its start (`.maxntid`, `.minnctapersm`), once for each role, with the
//!   sum of all roles within what its threads start with, which the kernel asserts: whoever
//!   asks for more waits for ever.
//! - **No way out.** A kernel ends by `ret`: there is no `trap`, no `exit` and no
//!   call, so no panic either.

pub mod async_copy;
pub mod backend;
pub mod memory;
pub mod mma;
pub mod thread;
pub mod wgmma;
