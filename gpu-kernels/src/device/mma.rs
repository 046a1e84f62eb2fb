//! Multiplications: 32-bit integers to 64 bits, and fused multiply-adds, one by
//! one and by tensor core.
//!
//! A tensor core multiplies for a whole warp, so these are not `pure`: an
//! optimiser may not move them into a branch that some lanes don't take.
//!
//! Fragment layouts are those of the PTX ISA's "Matrix Fragments for
//! mma.m8n8k4 / m16n8k16 with .f64": lane = 4·γ + τ.

use core::arch::asm;

/// `mul.wide.u32`: low and high word of a·b.
#[inline(always)]
pub fn multiply_wide(a: u32, b: u32) -> (u32, u32) {
    let (low, high): (u32, u32);
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("{{ .reg .b64 product; mul.wide.u32 product, {}, {}; mov.b64 {{{}, {}}}, product; }}",
            in(reg32) a, in(reg32) b, out(reg32) low, out(reg32) high, options(pure, nomem, nostack));
    }
    (low, high)
}

/// `dp4a.s32.s32`: c + Σ over b = 0…3 of byte b of `x` · byte b of `y`, modulo 2³².
#[inline(always)]
pub fn dp4a(x: u32, y: u32, c: u32) -> u32 {
    let d: u32;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("dp4a.s32.s32 {}, {}, {}, {};", out(reg32) d, in(reg32) x, in(reg32) y, in(reg32) c,
            options(pure, nomem, nostack));
    }
    d
}

/// `fma.rn.f64`: a·b + c, rounded once.
#[inline(always)]
pub fn fma(a: f64, b: f64, c: f64) -> f64 {
    let d: f64;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("fma.rn.f64 {}, {}, {}, {};", out(reg64) d, in(reg64) a, in(reg64) b, in(reg64) c,
            options(pure, nomem, nostack));
    }
    d
}

/// `mma.sync.m8n8k4.f64`: C[γ][2τ, 2τ+1] += Σ over k = 0…3 of A[γ][k]·B[k][·];
/// lane holds A[γ][τ] and B[τ][γ].
#[cfg(attest_has = "tensor_cores")]
#[inline(always)]
pub fn mma_m8n8k4(c: [f64; 2], a: f64, b: f64) -> [f64; 2] {
    let [mut c0, mut c1] = c;
    // SAFETY: arithmetic on registers; all lanes execute it, as its callers'
    // control flow is uniform per warp.
    unsafe {
        asm!("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {{{c0}, {c1}}}, {{{a}}}, {{{b}}}, {{{c0}, {c1}}};",
            c0 = inout(reg64) c0, c1 = inout(reg64) c1, a = in(reg64) a, b = in(reg64) b,
            options(nomem, nostack));
    }
    [c0, c1]
}

/// `mma.sync.m16n8k16.f64`: C[γ, γ+8][2τ, 2τ+1] += Σ over k = 0…15, in this order;
/// lane holds, for each multiple κ of 4, A[γ][τ+κ] and A[γ+8][τ+κ], and B[τ+κ][γ].
#[cfg(attest_has = "bulk_copies")]
#[inline(always)]
pub fn mma_m16n8k16(c: [f64; 4], a: [f64; 8], b: [f64; 4]) -> [f64; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = c;
    // SAFETY: arithmetic on registers; all lanes execute it, as its callers'
    // control flow is uniform per warp.
    unsafe {
        asm!("mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {{{c0}, {c1}, {c2}, {c3}}}, {{{a0}, {a1}, {a2}, {a3}, {a4}, {a5}, {a6}, {a7}}}, {{{b0}, {b1}, {b2}, {b3}}}, {{{c0}, {c1}, {c2}, {c3}}};",
            c0 = inout(reg64) c0, c1 = inout(reg64) c1, c2 = inout(reg64) c2, c3 = inout(reg64) c3,
            a0 = in(reg64) a[0], a1 = in(reg64) a[1], a2 = in(reg64) a[2], a3 = in(reg64) a[3],
            a4 = in(reg64) a[4], a5 = in(reg64) a[5], a6 = in(reg64) a[6], a7 = in(reg64) a[7],
            b0 = in(reg64) b[0], b1 = in(reg64) b[1], b2 = in(reg64) b[2], b3 = in(reg64) b[3],
            options(nomem, nostack));
    }
    [c0, c1, c2, c3]
}

/// `mma.sync.m16n8k32.s8`: C[γ, γ+8][2τ, 2τ+1] += Σ over k = 0…31, modulo 2³²; lane holds
/// A[γ][4τ…4τ+3], A[γ+8][·], A[γ][16+4τ…], A[γ+8][·], and B[4τ…][γ], B[16+4τ…][γ].
#[cfg(attest_has = "tensor_cores")]
#[inline(always)]
pub fn mma_m16n8k32(c: [u32; 4], a: [u32; 4], b: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = c;
    // SAFETY: arithmetic on registers; all lanes execute it, as its callers'
    // control flow is uniform per warp.
    unsafe {
        asm!("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {{{c0}, {c1}, {c2}, {c3}}}, {{{a0}, {a1}, {a2}, {a3}}}, {{{b0}, {b1}}}, {{{c0}, {c1}, {c2}, {c3}}};",
            c0 = inout(reg32) c0, c1 = inout(reg32) c1, c2 = inout(reg32) c2, c3 = inout(reg32) c3,
            a0 = in(reg32) a[0], a1 = in(reg32) a[1], a2 = in(reg32) a[2], a3 = in(reg32) a[3],
            b0 = in(reg32) b[0], b1 = in(reg32) b[1],
            options(nomem, nostack));
    }
    [c0, c1, c2, c3]
}
