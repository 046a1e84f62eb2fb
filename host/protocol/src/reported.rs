//! Findings that the miner's own program reported, as warnings for a verdict.
//!
//! Guarantees: a bounded number of bounded, printable lines, whatever stands in
//! the evidence.
//! Deliberately lacks: belief. They are claims as all evidence is: an honest
//! machine may have some, and a lying one reports none.

use super::evidence::Evidence;
use super::evidence::document::{ClaimedFinding, ClaimedFindings};
use super::json::printable;

/// Most findings that are told one by one.
const FINDINGS_MAX: usize = 16;
/// Longest code and text, characters.
const TEXT_CHARS_MAX: usize = 400;

/// One line per finding that the evidence reports.
pub(super) fn warnings(evidence: &Evidence) -> Vec<String> {
    let findings = match evidence.claims().findings() {
        None => return Vec::new(),
        Some(ClaimedFindings::NoList) => {
            return vec!["WARNING: findings in the evidence are not a list".to_owned()];
        }
        Some(ClaimedFindings::List(findings)) => findings,
    };
    let mut warnings: Vec<String> = findings.iter().take(FINDINGS_MAX).map(warning).collect();
    if findings.len() > FINDINGS_MAX {
        warnings.push(format!("WARNING: and {} findings more", findings.len() - FINDINGS_MAX));
    }
    warnings
}

fn warning(finding: &ClaimedFinding) -> String {
    let part = |part: &Option<String>| {
        let text: String = part.as_ref()?.chars().take(TEXT_CHARS_MAX).collect();
        Some(printable(&text))
    };
    match (part(&finding.code), part(&finding.text)) {
        (Some(code), Some(text)) => format!("WARNING: the miner's machine reports {code}: {text}"),
        _ => "WARNING: the miner's machine reports a finding without code and text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(findings: Value) -> Vec<String> {
        let document = json!({"schema": 1, "executor": "cpu", "lanes": [], "findings": findings});
        warnings(&Evidence::from_value(document).unwrap())
    }

    #[test]
    fn findings_are_told_in_bounded_printable_lines() {
        let one = json!({"code": "device-count", "text": "NVML lists 8 devices"});
        let expected = "WARNING: the miner's machine reports device-count: NVML lists 8 devices";
        assert_eq!(of(json!([one])), [expected]);
        assert_eq!(of(json!([])), [""; 0]);
        let many = of(Value::Array(vec![one; 20]));
        assert_eq!((many.len(), &*many[16]), (17, "WARNING: and 4 findings more"));
        let terminal = of(json!([{"code": "\u{1b}[2J", "text": "x\n".repeat(10_000)}]));
        assert!(!terminal[0].chars().any(char::is_control), "{}", terminal[0]);
        assert!(terminal[0].len() < 8 * TEXT_CHARS_MAX);
    }

    #[test]
    fn strange_findings_are_warnings_too() {
        assert!(of(json!("none"))[0].contains("not a list"));
        for strange in [json!(1), json!({}), json!({"code": 1, "text": "a"})] {
            assert!(of(json!([strange]))[0].contains("without code"));
        }
    }
}
