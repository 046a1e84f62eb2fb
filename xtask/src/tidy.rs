//! `cargo xtask tidy`: rules of the house that no compiler checks, over the
//! files that git tracks or would. Rules are about text and know no Rust
//! grammar: they are chosen so that ordinary code can't trip them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Lines that a source file may have. Kernels may be longer.
const LINES_MAX: usize = 500;

/// Lines above an unsafe block in which its SAFETY comment must begin.
const SAFETY_REACH_LINES: usize = 12;

/// Where sources may be unsafe: folders, and the test of the driver's symbols.
const UNSAFE_ALLOWED: [&str; 9] = [
    "gpu-kernels/src/",
    "host/cuda-driver/src/",
    "host/src/work/fp64_product/cpu/",
    "host/src/executor/gpu/",
    "host/src/work/integer_product/cpu/",
    "host/src/work/integer_product/gpu/",
    "host/src/work/memory_residency/cpu/",
    "host/src/work/memory_residency/gpu/",
    "tests/gpu_shim.rs",
];

// Written in halves, so that this file doesn't break its own rules.
const UNFINISHED: [&str; 2] = [concat!("to", "do!("), concat!("unimpl", "emented!(")];
const IGNORED: &str = concat!("#[ig", "nore");
const ELSEWHERE: &str = concat!("../", "shared");
const UNSAFE: &str = concat!("un", "safe");
const ASM: [&str; 2] = [concat!("as", "m!("), concat!("as", "m! {")];

/// Phrases that a reader of the documents stumbles on, and what says the same.
const STUMBLES: [(&str, &str); 6] = [
    ("so many ", "this many, that many"),
    (" says of ", "says about"),
    (" say of ", "say about"),
    ("that is none", "that is invalid, that is not one"),
    ("where there is none", "if there is none"),
    ("(s) ", "a plural"),
];

/// Runs the command.
///
/// # Errors
/// With every broken rule, file and line.
pub fn run() -> Result<()> {
    let root = workspace::root();
    let git = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(git).current_dir(&root).output();
    let output = output.context("can't start git")?;
    ensure!(output.status.success(), "git ls-files failed\n  try: run it in a git checkout");
    let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let mut faults = Vec::new();
    let mut count = 0;
    for name in list.split('\0').filter(|name| !name.is_empty()) {
        // Deleted but not yet committed, or not text.
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        count += 1;
        faults.extend(check_file(name, &text));
    }
    if !faults.is_empty() {
        bail!("{} rules of the house are broken:\n  {}", faults.len(), faults.join("\n  "));
    }
    println!("{count} files are tidy");
    Ok(())
}

/// The faults of one file, each with its place.
fn check_file(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.contains(ELSEWHERE) {
            faults.push(format!("{name}:{}: the project stands alone: {ELSEWHERE}", index + 1));
        }
        if line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ") {
            faults.push(format!("{name}:{}: a merge left its marks", index + 1));
        }
    }
    if name.ends_with(".md") {
        faults.extend(check_prose(name, text));
    }
    if name.ends_with(".rs") {
        faults.extend(check_source(name, text));
    }
    faults
}

/// The stumbles of a document, outside of blocks of code.
fn check_prose(name: &str, text: &str) -> Vec<String> {
    let (mut faults, mut in_code) = (Vec::new(), false);
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        let found = STUMBLES.iter().filter(|(phrase, _)| !in_code && line.contains(phrase));
        faults.extend(found.map(|(phrase, better)| {
            format!(
                "{name}:{}: {:?} makes readers stumble; say: {better}",
                index + 1,
                phrase.trim()
            )
        }));
    }
    faults
}

fn check_source(name: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut faults = Vec::new();
    if lines.len() > LINES_MAX && !name.starts_with("gpu-kernels/src/kernels/") {
        faults.push(format!("{name}: {} lines, at most {LINES_MAX}", lines.len()));
    }
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        faults.push(format!("{name}:1: does not open with what it is for (//!)"));
    }
    for (index, line) in lines.iter().enumerate() {
        let mut fault = |what: &str| faults.push(format!("{name}:{}: {what}", index + 1));
        let code = line.split("//").next().unwrap_or("").trim();
        if UNFINISHED.iter().any(|word| code.contains(word)) {
            fault("unfinished");
        }
        if code.starts_with(IGNORED) {
            fault("an ignored test");
        }
        if code.starts_with("pub use ") && code.contains("::*") {
            fault("re-exports everything");
        }
        if ASM.iter().any(|word| code.contains(word))
            && !name.starts_with("gpu-kernels/src/device/")
        {
            fault("assembly outside the device layer");
        }
        if is_unsafe_code(code) && !UNSAFE_ALLOWED.iter().any(|place| name.starts_with(place)) {
            fault("unsafe outside the places that may have it");
        }
        let above = &lines[index.saturating_sub(SAFETY_REACH_LINES)..=index];
        if is_unsafe_block(code) && !above.iter().any(|line| line.contains("SAFETY:")) {
            fault("an unsafe block without a SAFETY comment above it");
        }
    }
    faults
}

/// `unsafe {`, `unsafe fn`, `unsafe impl` or `unsafe extern`; not attributes.
fn is_unsafe_code(code: &str) -> bool {
    ["{", "fn", "impl", "extern"].iter().any(|next| code.contains(&format!("{UNSAFE} {next}")))
}

/// `unsafe {` or `unsafe impl`.
fn is_unsafe_block(code: &str) -> bool {
    ["{", "impl"].iter().any(|next| code.contains(&format!("{UNSAFE} {next}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a source that opens as it should, without name and line.
    fn faults(name: &str, body: &str) -> Vec<String> {
        let text = format!("//! Opens as it should.\n{body}");
        let faults = check_file(name, &text);
        faults.iter().map(|f| f.splitn(3, ": ").last().unwrap().to_owned()).collect()
    }

    #[test]
    fn tidy_sources_pass() {
        let body = "// SAFETY: it is.\nlet x = unsafe { y };\n/// unsafe { in a comment }\n";
        assert_eq!(faults("gpu-kernels/src/device/x.rs", body), [""; 0]);
    }

    #[test]
    fn every_rule_is_seen_broken() {
        let device = "gpu-kernels/src/device/x.rs";
        let cases = [
            (device, format!("{}) }}", UNFINISHED[0]), "unfinished"),
            (device, format!("{IGNORED}]"), "an ignored test"),
            (device, "pub use crate::x::*;".to_owned(), "re-exports everything"),
            ("xtask/src/x.rs", format!("{}\"\")", ASM[0]), "assembly outside the device layer"),
            (
                device,
                format!("{UNSAFE} {{ }}"),
                "an unsafe block without a SAFETY comment above it",
            ),
            (
                "host/src/protocol/x.rs",
                format!("// SAFETY: no.\n{UNSAFE} fn x() {{}}"),
                "unsafe outside the places that may have it",
            ),
        ];
        for (name, body, expected) in cases {
            assert_eq!(faults(name, &body), [expected], "{body}");
        }
    }

    #[test]
    fn a_safety_comment_too_far_up_does_not_count() {
        let body = format!("// SAFETY: x\n{}{UNSAFE} {{ }}", "\n".repeat(SAFETY_REACH_LINES));
        assert_eq!(faults("gpu-kernels/src/device/x.rs", &body).len(), 1);
    }

    #[test]
    fn long_files_and_files_that_do_not_introduce_themselves_are_found() {
        let long = "x\n".repeat(LINES_MAX);
        assert_eq!(check_file("host/src/x.rs", &format!("//! X\n{long}")).len(), 1);
        assert_eq!(check_file("gpu-kernels/src/kernels/x.rs", &format!("//! X\n{long}")).len(), 0);
        assert_eq!(check_file("host/src/x.rs", "use x;\n").len(), 1);
    }

    #[test]
    fn other_files_are_looked_through_for_other_folders_and_marks_of_merges() {
        assert_eq!(check_file("README.md", &format!("see {ELSEWHERE}/X.md")).len(), 1);
        assert_eq!(check_file("README.md", "pub use x::*;").len(), 0);
        assert_eq!(check_file("README.md", "on 2 lane(s) it takes so many bytes\n").len(), 2);
        assert_eq!(check_file("README.md", "```\non 2 lane(s) \n```\nit has 3 lanes\n").len(), 0);
        assert_eq!(check_file("README.md", "<<<<<<< HEAD\nx\n=======\n>>>>>>> y\n").len(), 2);
    }
}
