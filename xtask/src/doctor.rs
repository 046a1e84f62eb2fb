//! `cargo xtask doctor`: what this machine has of what kernel authors need,
//! what is missing, and how to get it. Looks only; installs nothing. (What an
//! ordinary build needs is rustup and a C linker, and is not listed; what running
//! attest needs is looked for by `attest doctor`.)

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::parts::{Part, State, find_in, folders_in, missing, show};
use crate::ptx::backend::BACKENDS;
use crate::ptx::tools;
use crate::workspace;

/// Options of `cargo xtask doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What one purpose needs.
#[derive(Debug, Serialize)]
struct Section {
    /// The purpose.
    name: String,
    /// Whether nothing is missing.
    ready: bool,
    parts: Vec<Part>,
}

impl Section {
    fn new(name: &str, parts: Vec<Part>) -> Section {
        Section { name: name.to_owned(), ready: missing(&parts).is_empty(), parts }
    }
}

/// Runs the command.
///
/// # Errors
/// If the workspace's own pins can't be read.
pub fn run(args: &DoctorArgs) -> Result<()> {
    let root = workspace::root();
    let mut sections = Vec::new();
    let mut compilers = Vec::new();
    for backend in BACKENDS {
        let name = format!("ptx --backend {}", backend.name());
        let section = Section::new(&name, backend.parts(&root)?);
        compilers.push((backend.name(), section.ready));
        sections.push(section);
    }
    sections.push(Section::new("registers and SASS", tool_parts()));
    sections.push(Section::new("running on a GPU", gpu_parts()));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&sections)?);
    } else {
        print!("{}", render(&sections));
        println!("{}", taken(&compilers));
        println!("what running attest needs of a machine is looked for by: attest doctor");
    }
    Ok(())
}

/// What `cargo xtask ptx` compiles with, and why not with more.
fn taken(compilers: &[(&str, bool)]) -> String {
    let names = |ready| {
        let names = compilers.iter().filter(|(_, is_ready)| *is_ready == ready);
        names.map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
    };
    let (ready, lacking) = (names(true), names(false));
    match (ready.is_empty(), lacking.is_empty()) {
        (_, true) => format!("cargo xtask ptx compiles with {ready}, one after the other"),
        (true, _) => {
            format!("cargo xtask ptx compiles with nothing: {lacking} lack what is MISSING")
        }
        _ => format!("cargo xtask ptx compiles with {ready}; {lacking} lacks what is MISSING"),
    }
}

fn tool_parts() -> Vec<Part> {
    let part = |name, absent| {
        let found = tools::find(name);
        Part::new(name, found.as_deref().map(show), absent, tools::HOW)
    };
    let ptxas = match tools::Tools::locate() {
        Ok(found) => {
            let found = found.map(|tools| format!("{} ({})", show(&tools.ptxas), tools.version));
            Part::new("ptxas", found, State::Missing, tools::HOW)
        }
        Err(error) => Part::new("ptxas", None, State::Missing, &format!("{error:#}")),
    };
    vec![ptxas, part("cuobjdump", State::Optional), part("nvdisasm", State::Optional)]
}

fn gpu_parts() -> Vec<Part> {
    let version = fs::read_to_string("/proc/driver/nvidia/version").ok();
    let version = version.and_then(|text| text.lines().next().map(str::to_owned));
    let mut folders = folders_in("LD_LIBRARY_PATH");
    let usual =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders.extend(usual.map(PathBuf::from));
    let library = find_in(folders, "libcuda.so.1");
    let smi = Command::new("nvidia-smi").arg("-L").output().ok();
    let devices = smi.filter(|output| output.status.success()).and_then(|output| {
        let list = String::from_utf8_lossy(&output.stdout).trim().replace('\n', "; ");
        (!list.is_empty()).then_some(list)
    });
    let how = "NVIDIA's driver (docs/kernels.md: which target takes which); the CPU executor works without";
    vec![
        Part::new("kernel driver", version, State::Missing, how),
        Part::new("libcuda.so.1", library.as_deref().map(show), State::Missing, how),
        Part::new(
            "devices",
            devices,
            State::Optional,
            "nvidia-smi -L lists none; try: attest detect",
        ),
    ]
}

/// The table: one line per part.
fn render(sections: &[Section]) -> String {
    let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let all = || sections.iter().flat_map(|section| &section.parts);
    let name_width = width(&mut all().map(|part| part.name.len()));
    let mut out = String::new();
    for section in sections {
        let verdict = if section.ready { "ready" } else { "not possible here" };
        out += &format!("{}: {verdict}\n", section.name);
        for part in &section.parts {
            let state = match part.state {
                State::Present => "present",
                State::Missing => "MISSING",
                State::Optional => "absent",
                State::Alternative => "instead",
            };
            out += &format!("  {:<name_width$}  {state:<7}  {}\n", part.name, part.detail);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_is_missing_and_what_to_do() {
        let sections = [Section::new(
            "compiling",
            vec![
                Part::new("rustc", Some("1.96.0".into()), State::Missing, "install it"),
                Part::new("LLVM 7", None, State::Missing, "build it"),
                Part::new("container", None, State::Alternative, "pull it"),
            ],
        )];
        let expected = "\
compiling: not possible here
  rustc      present  1.96.0
  LLVM 7     MISSING  build it
  container  instead  pull it
";
        assert_eq!(render(&sections), expected);
    }

    #[test]
    fn the_compilers_that_are_taken_are_named() {
        let text = taken(&[("rustc", true), ("rust-cuda", true)]);
        assert!(text.contains("with rustc and rust-cuda,"), "{text}");
        let text = taken(&[("rustc", true), ("rust-cuda", false)]);
        assert!(text.ends_with("with rustc; rust-cuda lacks what is MISSING"), "{text}");
        assert!(taken(&[("rustc", false), ("rust-cuda", false)]).contains("with nothing"));
    }

    #[test]
    fn json_has_stable_names() {
        let sections = [Section::new("x", vec![Part::new("p", None, State::Optional, "how")])];
        let json = serde_json::to_string(&sections).unwrap();
        let expected = r#"[{"name":"x","ready":true,"parts":[{"name":"p","state":"optional","detail":"how"}]}]"#;
        assert_eq!(json, expected);
    }
}
