//! `attest key`: makes a key, or shows the public half of one.

use crate::args::{Key, KeyAction};
use crate::outcome::{Done, Result, check_stdout, note, print, print_json};
use anyhow::{anyhow, bail};
use attest::error_text::what_happened;
use attest::files::shown_path;
use attest::identity::SigningIdentity;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Makes or shows a key.
///
/// # Errors
/// No random bytes, or a file that cannot be used.
pub fn run(args: &Key) -> Result {
    match &args.action {
        KeyAction::New { out, json } => {
            check_stdout()?;
            let path = match out {
                Some(path) => path.clone(),
                None => made_folder_of(default_path()?)?,
            };
            let identity = SigningIdentity::generate()?;
            identity.write_new(&path)?;
            note(&format!("wrote {}: keep it secret, and keep a copy", shown_path(&path)));
            show(&identity, &path, *json).map_err(|error| {
                let (what, path) = (what_happened(error), shown_path(&path));
                anyhow!(
                    "{what}; the key is in {path} all the same\n\
                     Do not make another: attest key show {path} prints its public half."
                )
            })
        }
        KeyAction::Show { file, json } => {
            let path = file.clone().map_or_else(default_path, Ok)?;
            show(&SigningIdentity::read(&path)?, &path, *json)
        }
    }
}

fn show(identity: &SigningIdentity, path: &Path, json: bool) -> Result {
    let public = identity.public();
    match json {
        true => print_json(&serde_json::json!({
            "algorithm": "ed25519",
            "public_key": public,
            "file": path.to_string_lossy(),
        }))?,
        false => print(&format!("{public}\n"))?,
    }
    Ok(Done::Ok)
}

/// Where the XDG Base Directory Specification puts it; a relative
/// XDG_CONFIG_HOME does not count there.
fn default_path() -> Result<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    match config {
        Some(config) => Ok(config.join("attest/key.pem")),
        None => bail!("neither XDG_CONFIG_HOME nor HOME says where keys are\nName the file."),
    }
}

fn made_folder_of(path: PathBuf) -> Result<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        anyhow!(
            "cannot make the folder {}: {error}\nName another file with --out.",
            shown_path(folder)
        )
    })?;
    Ok(path)
}
