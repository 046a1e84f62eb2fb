//! `attest bench` and `--ptx`: what is said with and without a GPU.

use crate::cli::{COULD_NOT_RUN, OK, REJECTED, names_in, run};
use serde_json::Value;
use std::io::BufRead as _;

fn has_gpu() -> bool {
    let json: Value = serde_json::from_str(&run(["detect", "--json"]).expect(OK).stdout).unwrap();
    json["cuda"]["devices"].as_array().is_some_and(|devices| !devices.is_empty())
}

/// A shape so small that a GPU takes no time over it.
const SMALL: [&str; 5] = ["bench", "--quick", "--shape", "256x2", "1%"];

#[test]
fn bench_measures_the_cpu_and_the_gpu_if_there_is_one() {
    let shown = run(SMALL).expect(OK).stdout;
    assert!(shown.contains("Verification on the CPU") && shown.contains("GFLOP/s"), "{shown}");
    assert!(shown.contains("2063 leaves of an arena of 137 GB from nothing, p = 12"), "{shown}");
    if has_gpu() {
        for part in ["peak_fma", "256x2", "Memory residency, TB/s"] {
            assert!(shown.contains(part), "{part} in\n{shown}");
        }
    } else {
        assert!(shown.starts_with("no GPU is used: "), "{shown}");
        assert_eq!(shown.lines().nth(1), Some(""), "one line about it:\n{shown}");
    }
}

#[test]
fn bench_writes_json_and_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("speed.svg");
    let args = SMALL.into_iter().chain(["--json", "--plot", plot.to_str().unwrap()]);
    let json: Value = serde_json::from_str(&run(args).expect(OK).stdout).unwrap();
    assert_eq!(json["schema"], 1);
    let status = if has_gpu() { "measured" } else { "no-gpu" };
    assert_eq!(json["gpu"]["status"], status);
    let leaves = json["cpu"]["leaves"].as_array().unwrap();
    assert_eq!(leaves.len(), 3);
    for times in leaves {
        assert!(times["of_one_iteration_ms"].as_f64().unwrap() > 0.0, "{json}");
        assert!(times["of_as_many_iterations_ms"].as_f64().unwrap() > 0.0, "{json}");
    }
    let memory = &json["cpu"]["memory"];
    assert_eq!((&memory["leaves"], &memory["half_passes"]), (&2063.into(), &12.into()));
    assert!(memory["leaves_ms"].as_f64().unwrap() > 0.0, "{memory}");
    assert!(memory["arena"]["sweep_gb_s"].as_f64().unwrap() > 0.0, "{memory}");
    let svg = std::fs::read_to_string(&plot).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    assert_eq!(names_in(folder.path()), ["speed.svg"]);
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    for (args, text) in [
        (["--shape", "100x1"], "multiple of 128"),
        (["--shape", "4096"], "NxM"),
        (["--shape", "100%"], "P from 1 to 99"),
        (["--turn", "0"], "seconds from 0.01"),
        (["--turns", "0"], "--turns"),
        (["--variant", "sm_90a"], "portable/gemm_fma"),
        (["--ptx", "/nowhere/x.ptx"], "/nowhere/x.ptx"),
    ] {
        run(["bench", "--quick"].into_iter().chain(args))
            .expect(COULD_NOT_RUN)
            .says(text)
            .printed_nothing();
    }
}

#[test]
fn a_plot_is_not_written_over_a_file_of_the_folder_that_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ptx");
    std::fs::write(&path, attest::executor::gpu::Target::Portable.ptx()).unwrap();
    let (folder, path) = (folder.path().to_str().unwrap(), path.to_str().unwrap());
    let args = ["bench", "--quick", "--ptx", folder, "--plot", path];
    run(args).expect(COULD_NOT_RUN).says("--plot").says("--ptx").printed_nothing();
}

#[test]
fn a_ptx_file_is_read_before_anything_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernels.ptx");
    for (bytes, text) in [
        (&b"\xff\xfe"[..], "not UTF-8"),
        (b"no kernels here", ".visible .entry"),
        (b".visible .entry gemm_fma(\n)\n{}", "lacks fill"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        for command in ["selftest", "bench"] {
            let refused = run([command, "--ptx", path.to_str().unwrap()]).expect(COULD_NOT_RUN);
            refused.says(text).says("help:").printed_nothing();
        }
    }
}

#[test]
fn a_committed_ptx_file_is_checked_where_there_is_a_gpu() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../gpu-kernels/ptx");
    // By its short name, in a folder: "portable" is an embedded target's.
    let args = ["selftest", "--only", "ptx/portable/gemm_fma", "--ptx", folder];
    // What was asked for and cannot be checked is not healthy.
    let (code, outcome) =
        if has_gpu() { (OK, "same bits") } else { (REJECTED, "FAILED: there is no GPU") };
    let shown = run(args).expect(code).stdout;
    assert!(shown.contains("ptx/portable/gemm_fma ") && shown.contains(outcome), "{shown}");
    assert!(!shown.contains(".ptx") && !shown.contains("gpu-kernels"), "{shown}");
}

#[test]
fn two_ptx_files_of_one_name_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let text = attest::executor::gpu::Target::Portable.ptx();
    let paths = ["a", "b"].map(|name| {
        let inside = folder.path().join(name);
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("x.ptx"), text).unwrap();
        inside.join("x.ptx").display().to_string()
    });
    let args = ["selftest", "--only", "b/x/gemm_fma", "--ptx", &paths[0], &paths[1]];
    let shown = run(args).expect(if has_gpu() { OK } else { REJECTED }).stdout;
    assert!(shown.contains("b/x/gemm_fma ") && !shown.contains("a/x/"), "{shown}");
}

#[test]
fn the_table_of_a_selftest_begins_before_anything_is_checked() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_attest"))
        .arg("selftest")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let header = lines.next().unwrap().unwrap();
    // The oracle's row alone takes seconds of CPU time.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(header.starts_with("subject ") && header.ends_with(" outcome"), "{header}");
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    assert!(!rest.iter().any(|line| line.contains("healthy")), "all came at once: {rest:?}");
}
