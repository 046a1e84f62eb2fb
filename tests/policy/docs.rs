//! docs/policy.md lists every field and every code, docs/models.md every model.

use attest::appraisal::models;
use attest::policy::codes::{self, Action, Configurable};
use attest::policy::{Policy, RULES, Standing};
use attest::protocol::rejection::Reason;
use serde_json::Value;

const DOC: &str = include_str!("../../docs/policy.md");
const MODELS: &str = include_str!("../../docs/models.md");

fn shown(action: Action) -> &'static str {
    match action {
        Action::Reject => "reject",
        Action::Warn => "warn",
        Action::Ignore => "ignore",
    }
}

#[test]
fn every_code_is_listed_with_what_it_does() {
    for rule in RULES {
        let does = match rule.standing {
            Standing::Demand => "rejects",
            Standing::Finding(action) => shown(action),
        };
        let row = format!("\n| `{}` | {does} | {} |", rule.code, rule.what);
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
    for Configurable { name, default } in codes::configurable() {
        let row = format!("\n| `{name}` | {} | ", shown(*default));
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
}

#[test]
fn rejection_codes_are_listed_by_step() {
    const PROTOCOL: &str = include_str!("../../docs/protocol.md");
    for step in 1..=7 {
        let of = Reason::ALL.iter().filter(|reason| reason.step() == step);
        let codes: Vec<_> = of.map(|reason| format!("`{}`", reason.code())).collect();
        let row = format!("\n| {step} | {} |\n", codes.join(", "));
        assert!(PROTOCOL.contains(&row), "docs/protocol.md lacks:{row}");
    }
    assert!(Reason::ALL.iter().all(|reason| (1..=7).contains(&reason.step())));
}

#[test]
fn every_field_that_a_rule_names_is_one() {
    let policy = serde_json::to_value(Policy::default()).unwrap();
    let mut named = 0;
    for rule in RULES {
        for field in rule.what.split('`').skip(1).step_by(2).filter(|name| name.contains('.')) {
            let (table, name) = field.split_once('.').unwrap();
            assert!(policy[table].get(name).is_some(), "{}: there is no {field}", rule.code);
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn every_field_is_listed_with_its_default() {
    let Value::Object(tables) = serde_json::to_value(Policy::default()).unwrap() else {
        panic!("a policy is an object")
    };
    for (table, fields) in tables {
        if table == "round" {
            continue;
        }
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
fn the_default_rounds_are_listed() {
    for (index, round) in Policy::default().rounds.iter().enumerate() {
        let share = round.memory_share.map_or("".to_owned(), |share| share.to_string());
        let (kind, seconds, required) = (round.kind.name(), round.seconds, round.required);
        let row = format!("\n| {index} | `{kind}` | {seconds} | {share} | {required} | ");
        assert!(DOC.contains(&row), "docs/policy.md lacks:{row}");
    }
}

#[test]
fn every_model_is_listed_as_the_table_has_it() {
    for model in models::all() {
        let row = format!(
            "\n| {} | {} | {} | {} | {} | {:.1} | {:.0} | {:.0} | {} | {} |\n",
            model.name,
            model.sm_count,
            model.boost_clock_mhz,
            model.max_clock_mhz,
            model.fp64_fma_per_sm_clock,
            1e-12 * model.floor_flops(),
            1e-12 * model.floor_int8_ops(),
            1e-12 * model.sustained_int8_ops(),
            model.memory_gb,
            model.bandwidth_gb_s
        );
        assert!(MODELS.contains(&row), "docs/models.md lacks:{row}");
    }
}
