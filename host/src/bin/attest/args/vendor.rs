//! What makers of devices and machines sign, in folders.

use super::place;
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// What devices' reports are compared with.
#[derive(Debug, Default, Args)]
pub struct Vendor {
    /// Reference integrity manifests (*.swidtag) that devices' reports are compared with, a folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = place::file())]
    pub rim: Option<PathBuf>,
    /// OCSP responses (*.ocsp) on the certificates of devices' reports, a folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath, value_parser = place::file())]
    pub ocsp: Option<PathBuf>,
}

/// What devices' and machines' reports are compared with.
#[derive(Debug, Default, Args)]
pub struct Makers {
    /// What vendors of devices sign
    #[command(flatten)]
    pub vendor: Vendor,
    /// Certificates of AMD's chips, for machines' quotes that come without: a file or a folder
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath, value_parser = place::file())]
    pub machine_certificates: Option<PathBuf>,
}
