//! Small PTX files that break one rule each, and what is said about them.

use super::super::text::parse;
use super::*;

/// A body with what `sync` declares, and nothing else.
fn body_of(sync: SyncCounts) -> String {
    [
        ("bar.sync 0;", sync.block_barriers),
        ("bar.warp.sync 0xffffffff;", sync.warp_barriers),
        ("shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;", sync.shuffles),
        ("mbarrier.try_wait.parity.shared::cta.b64 p, [%r1], %r2;", sync.waits),
        ("setmaxnreg.dec.sync.aligned.u32 72;", sync.hand_overs),
        ("cp.async.bulk.shared::cluster.global [%r1], [%rd1], 16, [%r2];", sync.bulk_copies),
    ]
    .map(|(text, count)| text.repeat(count as usize))
    .concat()
}

/// A whole file for `target`; `edit` changes the body of an entry point.
fn file(target: Target, edit: impl Fn(&str, String) -> String) -> String {
    let mut ptx = format!(
        ".version 7.0\n.target {}\n.extern .shared .align 1024 .b8 dynamic[];\n",
        target.cpu()
    );
    for kernel in KERNELS.iter().filter(|kernel| kernel.targets.include(target)) {
        let body = edit(kernel.name, body_of(kernel.sync));
        ptx += &format!(".visible .entry {}() {{ {body} ret; }}\n", kernel.name);
    }
    ptx
}

/// A portable file, with more in the body of `gemm_fma`.
fn portable(more: &str) -> String {
    file(Target::Portable, |name, body| if name == "gemm_fma" { body + more } else { body })
}

fn faults_of(ptx: &str, target: Target) -> Vec<String> {
    content_faults(&parse(ptx).unwrap(), target)
}

#[test]
fn clean_modules_pass() {
    for target in Target::ALL {
        assert_eq!(faults_of(&file(target, |_, body| body), target), [""; 0], "{target:?}");
    }
}

#[test]
fn calls_are_found_in_any_form() {
    for call in ["call.uni (r), f, (x);", "call f;", "{ call.uni f, (); }"] {
        assert_eq!(faults_of(&portable(call), Target::Portable), ["gemm_fma has 1 calls left"]);
    }
}

#[test]
fn a_panic_that_became_a_trap_is_found() {
    for way_out in ["trap;", "exit;", "@%p1 trap;"] {
        let found = faults_of(&portable(way_out), Target::Portable);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a panic, a division"), "{found:?}");
    }
}

/// What Rust-CUDA made of gemm_m16n8k16 while its barriers were assembly: thread
/// 0 has a barrier of its own at the kernel's start, and so have the threads
/// that compute no node.
#[test]
fn a_kernel_whose_barriers_were_copied_is_found() {
    let broken = file(Target::Sm90a, |name, body| match name {
        "gemm_m16n8k16" => format!(
            "setp.ne.b32 %p1, %r1, 0; @%p1 bra $L1; bar.sync 0; bra.uni $L2; $L1: {body} $L2: bar.sync 1, 128;"
        ),
        _ => body,
    });
    let found = faults_of(&broken, Target::Sm90a);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = "gemm_m16n8k16 has 7 bar.sync or barrier.sync, and declares 5: ";
    assert!(found[0].starts_with(expected), "{found:?}");
}

#[test]
fn every_count_that_differs_is_found() {
    let cases = [
        ("bar.sync 0;", "5 bar.sync or"),
        ("bar.warp.sync 0xffffffff;", "5 bar.warp.sync,"),
        ("mbarrier.try_wait.parity.shared::cta.b64 p, [%r1], %r2;", "3 mbarrier waits,"),
        ("cp.async.bulk.shared::cluster.global [%r1], [%rd1], 16, [%r2];", "4 bulk copies,"),
    ];
    for (instruction, declared) in cases {
        for (count, edit) in [("one more", 1), ("one less", -1)] {
            let ptx = file(Target::Sm90, |name, body| match (name, edit) {
                ("gemm_m16n8k16_tile", 1) => body + instruction,
                ("gemm_m16n8k16_tile", _) => body.replacen(instruction, "", 1),
                _ => body,
            });
            let found = faults_of(&ptx, Target::Sm90);
            assert_eq!(found.len(), 1, "{count} of {instruction}: {found:?}");
            let (number, what) = declared.split_once(' ').unwrap();
            let number = number.parse::<i32>().unwrap() + edit;
            assert!(found[0].contains(&format!(" has {number} {what}")), "{found:?}");
        }
    }
    let ptx = file(Target::Sm90a, |name, body| match name {
        "gemm_m16n8k16" => body + "setmaxnreg.inc.sync.aligned.u32 208;",
        _ => body,
    });
    let found = faults_of(&ptx, Target::Sm90a);
    assert!(
        found.len() == 1 && found[0].contains(" has 4 setmaxnreg, and declares 3"),
        "{found:?}"
    );
}

#[test]
fn a_barrier_under_a_predicate_is_found() {
    let ptx = file(Target::Portable, |name, body| match name {
        "merkle" => body.replacen("bar.sync", "@%p1 bar.sync", 1),
        _ => body,
    });
    let found = faults_of(&ptx, Target::Portable);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("merkle has `bar.sync under a predicate`"), "{found:?}");
}

#[test]
fn shared_memory_is_dynamic_and_aligned() {
    let declared = ".extern .shared .align 1024 .b8 dynamic[];";
    for (instead, expected) in [
        (".extern .shared .align 16 .b8 dynamic[];", ".align 1024"),
        (".extern .shared .b8 dynamic[];", ".align 1024"),
        (".extern .shared .align 1024 .b8 dynamic[16];", "no size"),
        (".shared .align 1024 .b8 fixed[16];", "static shared memory"),
    ] {
        let found = faults_of(&portable("").replace(declared, instead), Target::Portable);
        assert_eq!(found.len(), 1, "{instead}: {found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn local_memory_is_found_in_hot_kernels_only() {
    let local = ".local .align 8 .b8 __local_depot0[64]; st.local.b32 [%rd1], 0;";
    let found = faults_of(&portable(local), Target::Portable);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("gemm_fma keeps an array in local memory (2 "), "{found:?}");
    let plain = portable("").replace("merkle() {", "merkle() { ld.local.b32 %r1, [%rd1];");
    assert_eq!(faults_of(&plain, Target::Portable), [""; 0]);
}

#[test]
fn leftover_functions_are_found() {
    let ptx = portable("") + ".extern .func core_panicking\n(\n)\n;\n";
    assert!(faults_of(&ptx, Target::Portable)[0].starts_with("function core_panicking"));
}

#[test]
fn what_is_declared_and_defined_is_said_once() {
    let ptx = portable("")
        + ".func panicking\n(\n)\n;\n.func panicking() { ret; }\n.version 7.0\n.target sm_70\n";
    let expected = Expected { version: None, cpu: "sm_70" };
    let error = check(&parse(&ptx).unwrap(), Target::Portable, &expected).unwrap_err().to_string();
    assert_eq!(error.matches("function panicking is left over").count(), 1, "{error}");
}

#[test]
fn missing_and_misplaced_entries_are_found() {
    let ptx = portable("").replace("entry peak_fma", "entry peak_m8n8k4");
    let found = faults_of(&ptx, Target::Portable);
    let expected = [
        "entry point peak_fma is missing",
        "entry point peak_m8n8k4 belongs to other targets only",
    ];
    assert_eq!(found, expected);
}
