//! The JSON Schema of verdicts, for whoever reads them by machine.
//!
//! Guarantees: every verdict of this version fits it (tested); it lists every
//! code that there is.
//! Deliberately lacks: schemas of challenges and results; docs/protocol.md
//! defines those to the byte.

use crate::policy::codes;
use crate::protocol::rejection;
use crate::protocol::verdict::{
    REJECTED_BY_POLICY, SESSION_UNSETTLED, SUBJECTS, VERDICT_SCHEMA, Verdict,
};
use crate::session::fault::FaultCode;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

/// Every code that a verdict may have: a result's rejection, a policy's, and the
/// end of a live session that brought no result.
pub fn verdict_codes() -> Vec<&'static str> {
    let results = rejection::Reason::ALL.iter().map(|reason| reason.code());
    let sessions = FaultCode::ALL.iter().map(|fault| fault.code());
    results.chain([REJECTED_BY_POLICY, SESSION_UNSETTLED]).chain(sessions).collect()
}

/// The schema, JSON Schema draft 2020-12.
pub fn verdict_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Verdict>().to_value();
    schema["properties"]["schema"] =
        json!({"description": "The version of this form.", "const": VERDICT_SCHEMA});
    schema["properties"]["code"]["enum"] = json!(verdict_codes());
    schema["$defs"]["Fact"]["properties"]["subject"]["enum"] = json!(SUBJECTS);
    schema["$defs"]["Reason"]["properties"]["code"]["enum"] = json!(codes::names());
    schema
}
