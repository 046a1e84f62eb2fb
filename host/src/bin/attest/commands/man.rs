//! `attest man`: the manual pages, one a command, made of the same declaration as the
//! help texts.

use crate::args::{self, Cli};
use crate::outcome::{Done, Result};
use anyhow::{Context as _, anyhow};
use attest::files;
use clap::CommandFactory as _;
use std::fs;
use std::path::Path;

/// Writes the pages.
///
/// # Errors
/// A folder that cannot be made or written.
pub fn run(args: &args::Man) -> Result {
    let folder = &args.folder;
    fs::create_dir_all(folder).map_err(|error| {
        anyhow!("cannot make {}: {error}\nName another folder.", files::shown_path(folder))
    })?;
    let mut cli = Cli::command();
    // Which also gives subcommands their full names.
    cli.build();
    write(&cli, folder)?;
    Ok(Done::Ok)
}

fn write(command: &clap::Command, folder: &Path) -> Result<()> {
    for subcommand in command.get_subcommands() {
        if !subcommand.is_hide_set() && subcommand.get_name() != "help" {
            write(subcommand, folder)?;
        }
    }
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    let text = String::from_utf8(page).context("a page is not UTF-8")?;
    Ok(files::write_atomically(&folder.join(format!("{name}.1")), text.trim_end())?)
}
