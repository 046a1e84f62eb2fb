//! The JSON Schema of verdicts, for whoever reads them by machine.
//!
//! Guarantees: every verdict of this version fits it (tested); it lists every
//! code that there is.
//! Deliberately lacks: schemas of challenges and results; docs/protocol.md
//! defines those to the byte.

use super::codes;
use crate::protocol::rejection;
use crate::protocol::verdict::{REJECTED_BY_POLICY, SUBJECTS, VERDICT_SCHEMA, Verdict};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// The schema, JSON Schema draft 2020-12.
pub fn verdict_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Verdict>().to_value();
    schema["properties"]["schema"] =
        json!({"description": "The version of this form.", "const": VERDICT_SCHEMA});
    let rejections = rejection::Reason::ALL.iter().map(|reason| reason.code());
    let rejections: Vec<&str> = rejections.chain([REJECTED_BY_POLICY]).collect();
    schema["properties"]["code"]["enum"] = json!(rejections);
    schema["$defs"]["Fact"]["properties"]["subject"]["enum"] = json!(SUBJECTS);
    schema["$defs"]["Reason"]["properties"]["code"]["enum"] = json!(codes::names());
    schema
}
