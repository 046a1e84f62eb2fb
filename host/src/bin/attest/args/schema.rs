//! Arguments of `attest schema`.

use clap::{Args, ValueEnum};

/// `attest schema`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  attest schema verdict > verdict.schema.json")]
pub struct Schema {
    /// Of what
    #[arg(value_enum, value_name = "DOCUMENT")]
    pub document: SchemaDocument,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaDocument {
    /// What `attest verify --json` prints
    Verdict,
    /// What `attest validate --json` prints of a session
    Session,
}
