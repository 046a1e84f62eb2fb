//! Loads, stores and reductions, by state space.

use core::arch::asm;

/// `ld.shared.v2.f64`.
///
/// # Safety
/// - `address` is 16-byte aligned and inside the block's shared memory.
#[inline(always)]
pub unsafe fn load_shared_f64x2(address: u32) -> (f64, f64) {
    let (a, b): (f64, f64);
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.shared.v2.f64 {{{}, {}}}, [{}];", out(reg64) a, out(reg64) b, in(reg32) address, options(nostack));
    }
    (a, b)
}

/// `st.shared.v2.f64`.
///
/// # Safety
/// - As for [`load_shared_f64x2`].
#[inline(always)]
pub unsafe fn store_shared_f64x2(address: u32, a: f64, b: f64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("st.shared.v2.f64 [{}], {{{}, {}}};", in(reg32) address, in(reg64) a, in(reg64) b, options(nostack));
    }
}

/// `ld.shared.u32`.
///
/// # Safety
/// - `address` is 4-byte aligned and inside the block's shared memory.
#[inline(always)]
pub unsafe fn load_shared_u32(address: u32) -> u32 {
    let value: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.shared.u32 {}, [{}];", out(reg32) value, in(reg32) address, options(nostack))
    }
    value
}

/// `ld.shared.v2.u32`.
///
/// # Safety
/// - `address` is 8-byte aligned and inside the block's shared memory.
#[inline(always)]
pub unsafe fn load_shared_u32x2(address: u32) -> (u32, u32) {
    let (a, b): (u32, u32);
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.shared.v2.u32 {{{}, {}}}, [{}];", out(reg32) a, out(reg32) b, in(reg32) address, options(nostack));
    }
    (a, b)
}

/// `st.shared.u32`.
///
/// # Safety
/// - As for [`load_shared_u32`].
#[inline(always)]
pub unsafe fn store_shared_u32(address: u32, value: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.shared.u32 [{}], {};", in(reg32) address, in(reg32) value, options(nostack)) }
}

/// `ld.shared.v4.u32`.
///
/// # Safety
/// - `address` is 16-byte aligned and inside the block's shared memory.
#[inline(always)]
pub unsafe fn load_shared_u32x4(address: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.shared.v4.u32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) address, options(nostack));
    }
    [a, b, c, d]
}

/// `st.shared.v4.u32`.
///
/// # Safety
/// - As for [`load_shared_u32x4`].
#[inline(always)]
pub unsafe fn store_shared_u32x4(address: u32, v: [u32; 4]) {
    // SAFETY: the caller's.
    unsafe {
        asm!("st.shared.v4.u32 [{}], {{{}, {}, {}, {}}};",
            in(reg32) address, in(reg32) v[0], in(reg32) v[1], in(reg32) v[2], in(reg32) v[3], options(nostack));
    }
}

/// `ldmatrix.x4`: four matrices of eight rows of sixteen bytes; lanes 8i … 8i+7 name the
/// rows of the i-th, of which lane 4·γ + τ gets the τ-th word of row γ.
///
/// # Safety
/// - All lanes execute it; `address` is as for [`load_shared_u32x4`].
#[cfg(attest_has = "tensor_cores")]
#[inline(always)]
pub unsafe fn load_matrices(address: u32) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's.
    unsafe {
        asm!("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg32) address, options(nostack));
    }
    [a, b, c, d]
}

/// `ld.global.v2.f64`.
///
/// # Safety
/// - `address` is 16-byte aligned device memory that the launch may read.
#[inline(always)]
pub unsafe fn load_global_f64x2(address: u64) -> (f64, f64) {
    let (a, b): (f64, f64);
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.global.v2.f64 {{{}, {}}}, [{}];", out(reg64) a, out(reg64) b, in(reg64) address, options(nostack));
    }
    (a, b)
}

/// `st.global.v2.f64`.
///
/// # Safety
/// - `address` is 16-byte aligned device memory that the launch may write.
#[inline(always)]
pub unsafe fn store_global_f64x2(address: u64, a: f64, b: f64) {
    // SAFETY: the caller's.
    unsafe {
        asm!("st.global.v2.f64 [{}], {{{}, {}}};", in(reg64) address, in(reg64) a, in(reg64) b, options(nostack));
    }
}

/// `ld.global.u32`.
///
/// # Safety
/// - `address` is 4-byte aligned device memory that the launch may read.
#[inline(always)]
pub unsafe fn load_global_u32(address: u64) -> u32 {
    let value: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.global.u32 {}, [{}];", out(reg32) value, in(reg64) address, options(nostack))
    }
    value
}

/// `ld.global.v4.u32`.
///
/// # Safety
/// - `address` is 16-byte aligned device memory that the launch may read.
#[inline(always)]
pub unsafe fn load_global_u32x4(address: u64) -> [u32; 4] {
    let (a, b, c, d): (u32, u32, u32, u32);
    // SAFETY: the caller's.
    unsafe {
        asm!("ld.global.v4.u32 {{{}, {}, {}, {}}}, [{}];",
            out(reg32) a, out(reg32) b, out(reg32) c, out(reg32) d, in(reg64) address, options(nostack));
    }
    [a, b, c, d]
}

/// `st.global.u32`.
///
/// # Safety
/// - `address` is 4-byte aligned device memory that the launch may write.
#[inline(always)]
pub unsafe fn store_global_u32(address: u64, value: u32) {
    // SAFETY: the caller's.
    unsafe { asm!("st.global.u32 [{}], {};", in(reg64) address, in(reg32) value, options(nostack)) }
}

/// `st.global.v4.u32`.
///
/// # Safety
/// - `address` is 16-byte aligned device memory that the launch may write.
#[inline(always)]
pub unsafe fn store_global_u32x4(address: u64, v: [u32; 4]) {
    // SAFETY: the caller's.
    unsafe {
        asm!("st.global.v4.u32 [{}], {{{}, {}, {}, {}}};",
            in(reg64) address, in(reg32) v[0], in(reg32) v[1], in(reg32) v[2], in(reg32) v[3], options(nostack));
    }
}

macro_rules! reduction {
    ($(#[$meta:meta])* $name:ident, $instruction:literal) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// - `address` is 8-byte aligned device memory that the launch may write.
        #[inline(always)]
        pub unsafe fn $name(address: u64, value: u64) {
            // SAFETY: the caller's.
            unsafe {
                asm!(concat!($instruction, " [{}], {};"), in(reg64) address, in(reg64) value, options(nostack));
            }
        }
    };
}
reduction!(/// `red.global.add.u64`.
    reduce_add_u64, "red.global.add.u64");
reduction!(/// `red.global.min.u64`.
    reduce_min_u64, "red.global.min.u64");
reduction!(/// `red.global.max.u64`.
    reduce_max_u64, "red.global.max.u64");

/// `fence.acq_rel.gpu`, then `atom.relaxed.gpu.global.add.u32`: what this
/// thread wrote or saw before is visible to who sees the new value. Returns the
/// old one.
///
/// # Safety
/// - `address` is 4-byte aligned device memory that the launch may write.
#[cfg(attest_has = "tensor_cores")]
#[inline(always)]
pub unsafe fn fetch_add_release_u32(address: u64, value: u32) -> u32 {
    let old: u32;
    // SAFETY: the caller's.
    unsafe {
        asm!("fence.acq_rel.gpu;", "atom.relaxed.gpu.global.add.u32 {}, [{}], {};",
            out(reg32) old, in(reg64) address, in(reg32) value, options(nostack));
    }
    old
}

/// `fence.acq_rel.gpu`.
///
/// # Safety
/// - None; orders memory only.
#[cfg(attest_has = "tensor_cores")]
#[inline(always)]
pub unsafe fn fence_gpu() {
    // SAFETY: no operands.
    unsafe { asm!("fence.acq_rel.gpu;", options(nostack)) }
}
