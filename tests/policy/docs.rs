//! docs/policy.md lists every field, every code and every model.

use attest::appraisal::models::MODELS;
use attest::policy::Policy;
use attest::policy::codes::{self, Action, Configurable, Observation, Requirement};
use serde_json::Value;

const DOC: &str = include_str!("../../docs/policy.md");

fn shown(action: Action) -> &'static str {
    match action {
        Action::Reject => "reject",
        Action::Warn => "warn",
        Action::Ignore => "ignore",
    }
}

#[test]
fn every_code_is_listed_with_what_it_does() {
    for code in Requirement::ALL {
        let row = format!("\n| `{}` | rejects | {} |", code.name(), code.what());
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
    for Configurable { name, default } in codes::configurable() {
        let row = format!("\n| `{name}` | {} | ", shown(*default));
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
    for code in Observation::ALL {
        let row =
            format!("| `{}` | {} | {} |", code.name(), shown(code.default_action()), code.what());
        assert!(DOC.contains(&row), "docs/policy.md lacks: {row}");
    }
}

#[test]
fn every_field_is_listed_with_its_default() {
    let Value::Object(tables) = serde_json::to_value(Policy::default()).unwrap() else {
        panic!("a policy is an object")
    };
    for (table, fields) in tables {
        let Value::Object(fields) = fields else {
            let row = format!("\n| `{table}` | {fields} | ");
            assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
            continue;
        };
        for (field, default) in fields {
            if table != "findings" {
                let row = format!("\n| `{table}.{field}` | {default} | ");
                assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
            }
        }
    }
}

#[test]
fn every_model_is_listed_as_the_table_has_it() {
    for model in MODELS {
        let row = format!(
            "\n| {} | {} | {} | {} | {} | {:.1} | {} | {} |\n",
            model.name,
            model.sm_count,
            model.boost_clock_mhz,
            model.max_clock_mhz,
            model.fp64_fma_per_sm_clock,
            1e-12 * model.floor_flops(),
            model.memory_gb,
            model.bandwidth_gb_s
        );
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
}
