//! What was built, packed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::Places;
use super::build::{Arch, Build};
use super::tools::{output, run};

/// What the tarball has beside the program and what that prints.
const FILES: [(&str, &str); 14] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("host/packaging/attest-respond.service", "share/attest/systemd/attest-respond.service"),
    ("host/packaging/respond.env", "share/attest/respond.env"),
    ("host/packaging/attest-dashboard.service", "share/attest/systemd/attest-dashboard.service"),
    ("host/packaging/dashboard.env", "share/attest/dashboard.env"),
    ("host/packaging/attest-agent.service", "share/attest/systemd/attest-agent.service"),
    ("host/packaging/agent.env", "share/attest/agent.env"),
    ("host/packaging/attest-fleet.service", "share/attest/systemd/attest-fleet.service"),
    ("host/packaging/fleet.env", "share/attest/fleet.env"),
    ("host/packaging/monitoring/alerts.yml", "share/attest/monitoring/alerts.yml"),
    ("host/packaging/monitoring/dashboard.json", "share/attest/monitoring/dashboard.json"),
];

/// Has the program write its manual pages, completions and default policy.
///
/// # Errors
/// It does not run here, or fails.
pub fn share(program: &Path, arch: Arch, places: &Places) -> Result<()> {
    if arch.name() != std::env::consts::ARCH {
        bail!("the first --arch must be this machine's: its program writes the manual pages");
    }
    let share = &places.share;
    run(Command::new(program).arg("man").arg(share.join("man/man1")), "the manual pages")?;
    let files: [(&[&str], &str); 4] = [
        (&["completions", "bash"], "bash-completion/completions/attest"),
        (&["completions", "zsh"], "zsh/site-functions/_attest"),
        (&["completions", "fish"], "fish/vendor_completions.d/attest.fish"),
        (&["policy", "init"], "policy.toml"),
    ];
    for (args, name) in files {
        let text = output(Command::new(program).args(args), name)?;
        write(&share.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// The tarball: one folder, to be used where it is unpacked, or copied to /usr/local.
///
/// # Errors
/// A file of it is missing; no tar or zstd.
pub fn tarball(build: &Build<'_>, program: &Path, places: &Places) -> Result<()> {
    let name = format!("attest-{}-{}-linux", env!("CARGO_PKG_VERSION"), build.arch.name());
    let stage = places.root.join("target/dist/stage");
    super::anew(&stage)?;
    let folder = stage.join(&name);
    copy(program, &folder.join("bin/attest"))?;
    copy_all(&places.share, &folder.join("share"))?;
    // The policy is the program's, not the system's.
    fs::rename(folder.join("share/policy.toml"), folder.join("policy.toml"))?;
    for (from, to) in FILES {
        copy(&places.root.join(from), &folder.join(to))?;
    }
    for part in ["kubernetes", "slurm"] {
        let from = places.root.join("host/packaging").join(part);
        copy_all(&from, &folder.join("share/attest").join(part))?;
    }
    for entry in sorted(&places.root.join("docs"))? {
        if entry.extension().is_some_and(|extension| extension == "md") {
            let file = entry.file_name().context("a file has a name")?;
            copy(&entry, &folder.join("share/doc/attest").join(file))?;
        }
    }
    let tar = places.out.join(format!("{name}.tar"));
    let mut command = build.command("tar");
    command.args(["--create", "--format=ustar", "--sort=name", "--owner=0", "--group=0"]);
    command.args(["--numeric-owner", "--mode=u=rwX,go=rX"]);
    command.arg(format!("--mtime=@{}", build.epoch)).arg("--directory").arg(&stage);
    run(command.arg("--file").arg(&tar).arg(&name), "tar")?;
    let mut zstd = build.command("zstd");
    run(zstd.args(["--quiet", "--rm", "-19", "--single-thread"]).arg(&tar), "zstd")
}

/// SHA256SUMS, as sha256sum writes and checks it.
///
/// # Errors
/// An unreadable file.
pub fn sums(out: &Path) -> Result<String> {
    let mut text = String::new();
    for path in sorted(out)? {
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let name = path.file_name().context("a file has a name")?.to_string_lossy();
        text += &format!("{}  {name}\n", hex::encode(Sha256::digest(&bytes)));
    }
    write(&out.join("SHA256SUMS"), text.as_bytes())?;
    Ok(text)
}

/// A folder's entries, by name.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let said = || format!("reading {}", folder.display());
    let entries = fs::read_dir(folder).with_context(said)?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>().with_context(said)?;
    paths.sort();
    Ok(paths)
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for path in sorted(from)? {
        let to = to.join(path.file_name().context("a file has a name")?);
        if path.is_dir() { copy_all(&path, &to)? } else { copy(&path, &to)? }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let said = || format!("copying {} to {}", from.display(), to.display());
    fs::create_dir_all(to.parent().context("a file has a folder")?).with_context(said)?;
    fs::copy(from, to).with_context(said)?;
    Ok(())
}

/// Writes a file, whose folder is made.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let said = || format!("writing {}", path.display());
    fs::create_dir_all(path.parent().context("a file has a folder")?).with_context(said)?;
    fs::write(path, bytes).with_context(said)
}
