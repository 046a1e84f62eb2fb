//! The JSON Schema of verdicts, for whoever reads them by machine.
//!
//! Guarantees: every verdict of this version fits it (tested); it lists every
//! code that there is.
//! Deliberately lacks: schemas of challenges and results; docs/protocol.md
//! defines those to the byte.

use crate::policy::codes;
use crate::protocol::rejection;
use crate::protocol::verdict::{
    REJECTED_BY_POLICY, SESSION_SCHEMA, SESSION_UNSETTLED, SUBJECTS, SessionVerdict,
    VERDICT_SCHEMA, Verdict,
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

/// The schema of a verdict on one result, JSON Schema draft 2020-12.
pub fn verdict_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<Verdict>().to_value();
    name_codes(&mut schema["properties"], VERDICT_SCHEMA);
    name_parts(schema)
}

/// The schema of a verdict on a session, likewise. What `attest validate --json` prints has
/// more fields.
pub fn session_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<SessionVerdict>().to_value();
    name_codes(&mut schema["properties"], SESSION_SCHEMA);
    name_codes(&mut schema["$defs"]["Verdict"]["properties"], VERDICT_SCHEMA);
    name_parts(schema)
}

fn name_codes(properties: &mut Value, version: u32) {
    properties["schema"] = json!({"description": "The version of this form.", "const": version});
    properties["code"]["enum"] = json!(verdict_codes());
}

fn name_parts(mut schema: Value) -> Value {
    schema["$defs"]["Fact"]["properties"]["subject"]["enum"] = json!(SUBJECTS);
    schema["$defs"]["Reason"]["properties"]["code"]["enum"] = json!(codes::names());
    schema
}
