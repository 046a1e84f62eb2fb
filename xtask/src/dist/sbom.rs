//! The software bill of materials: what is compiled into the program, as CycloneDX JSON.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Places;
use super::build::Build;
use super::pack;
use super::tools::run;

/// How cargo-cyclonedx is told to name its files; it writes one beside every Cargo.toml.
const NAME: &str = "attest-dist";

/// Writes it.
///
/// # Errors
/// cargo-cyclonedx fails.
pub fn write(build: &Build<'_>, places: &Places) -> Result<()> {
    let mut command = build.command("cargo-cyclonedx");
    command.args(["cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5"]);
    command.args(["--manifest-path", "host/Cargo.toml", "--override-filename", NAME]);
    let outcome = run(&mut command, "listing what is in the program");
    let text = fs::read_to_string(places.root.join(format!("host/{NAME}.json")));
    for folder in members(&places.root)? {
        let _ = fs::remove_file(folder.join(format!("{NAME}.json")));
    }
    outcome?;
    let text = text.context("cargo-cyclonedx left no file")?;
    // Packages of the workspace are named by their folders on this machine.
    let text = text.replace(&*places.root.to_string_lossy(), "/attest");
    let document: Value = serde_json::from_str(&text).context("cargo-cyclonedx wrote no JSON")?;
    ensure!(
        document["components"].as_array().is_some_and(|list| list.len() > 50),
        "cargo-cyclonedx listed hardly anything"
    );
    let name = format!("attest-{}.cdx.json", env!("CARGO_PKG_VERSION"));
    let pretty = serde_json::to_string_pretty(&document)? + "\n";
    pack::write(&places.out.join(name), pretty.as_bytes())
}

/// The folders of the workspace's packages.
fn members(root: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string(root.join("Cargo.toml")).context("reading Cargo.toml")?;
    let list = text.split("members = [").nth(1).and_then(|rest| rest.split(']').next());
    let list = list.context("Cargo.toml names no members")?;
    Ok(list.split('"').skip(1).step_by(2).map(|name| root.join(name)).collect())
}
