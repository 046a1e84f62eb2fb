//! The second build of `cargo xtask dist --twice`: the same sources in another folder.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Places;
use super::tools::output;

/// Builds in a copy of what git tracks or would, and compares the checksums.
///
/// # Errors
/// The build fails, or a file differs.
pub fn check(
    places: &Places,
    sums: &str,
    packed: impl FnOnce(&Places) -> Result<String>,
) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("attest-dist-twin-")
        .tempdir_in(places.root.join("target"))
        .context("making a folder for the second build")?;
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let list = output(git.current_dir(&places.root), "listing the sources")?;
    for name in list.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (places.root.join(name), folder.path().join(name));
        // Deleted and not committed yet, or a link to a file that is copied, too.
        if from.exists() {
            let said = || format!("copying {name}");
            fs::create_dir_all(to.parent().context("a file has a folder")?).with_context(said)?;
            fs::copy(&from, &to).with_context(said)?;
        }
    }
    let again = packed(&Places::new(folder.path().to_owned()))?;
    let differ: Vec<_> = sums.lines().filter(|line| !again.lines().any(|it| it == *line)).collect();
    if sums != again {
        let kept = folder.keep();
        bail!(
            "a second build of the same sources differs in:\n  {}\n  try: diffoscope {} {}",
            differ.join("\n  "),
            places.out.display(),
            kept.join("target/dist/out").display()
        );
    }
    Ok(())
}
