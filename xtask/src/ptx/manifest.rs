//! manifest.json beside the PTX: which sources and which compiler it came
//! from, and what the tools said about it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use gpu_kernels::target::Target;
use serde::{Deserialize, Serialize};

use super::targets;
use super::tools::Resources;

/// The manifest's name in its folder.
pub const FILE: &str = "manifest.json";

/// The whole manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Digest of the sources and the recipe.
    pub source_sha256: String,
    /// Name and version of the compiler. The same string means the same
    /// compiler: distributions that build their own say so in it.
    pub compiler: String,
    /// Version of the ptxas that measured; none if none was there.
    pub ptxas: Option<String>,
    /// From the most portable up.
    pub targets: Vec<TargetEntry>,
}

/// One PTX file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetEntry {
    /// What it is for.
    #[serde(with = "targets")]
    pub name: Target,
    /// Its file name.
    pub file: String,
    /// Its digest.
    pub sha256: String,
    /// `.version`, and with it the oldest driver that loads it.
    pub ptx_version: String,
    /// `.target`.
    pub ptx_target: String,
    /// The architecture that ptxas measured it for.
    pub ptxas_arch: String,
    /// Its entry points, in the order of the file.
    pub kernels: Vec<KernelEntry>,
}

/// One entry point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelEntry {
    /// Its name.
    pub name: String,
    /// Threads of a block.
    pub threads: u32,
    /// What ptxas said; none if none was there.
    pub resources: Option<Resources>,
}

impl Manifest {
    /// The manifest in `folder`.
    ///
    /// # Errors
    /// If there is none, or it can't be understood.
    pub fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| {
            anyhow!("can't read {}: {error}\n  try: cargo xtask ptx writes it", path.display())
        })?;
        serde_json::from_str(&text).with_context(|| {
            format!("can't understand {}\n  try: cargo xtask ptx writes it anew", path.display())
        })
    }

    /// As it is written.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}
