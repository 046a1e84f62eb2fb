//! `attest schema`: the JSON Schema of what `--json` prints.

use crate::args::{self, SchemaDocument};
use crate::outcome::{Done, Result, print_json};
use attest::schema::{session_schema, verdict_schema};

/// Prints the schema.
///
/// # Errors
/// Standard output fails.
pub fn run(args: &args::Schema) -> Result {
    match args.document {
        SchemaDocument::Verdict => print_json(&verdict_schema())?,
        SchemaDocument::Session => print_json(&session_schema())?,
    }
    Ok(Done::Ok)
}
