//! `attest report` and `attest ledger report`: pages of results, sessions and histories.

use crate::cli::{COULD_NOT_RUN, OK, REJECTED, names_in, run};
use std::path::Path;

/// A challenge and an honest result to it.
fn mined(folder: &Path, name: &str) -> (String, String) {
    let token = run("challenge --dim 128 --matrices 1 --iterations 2".split(' ')).expect(OK).stdout;
    let (token, out) = (token.trim_end().to_owned(), folder.join(name).display().to_string());
    run(["run", "--executor", "cpu", "--challenge", &token, "--out", &out]).expect(OK);
    (token, out)
}

#[test]
fn a_report_verifies_and_a_given_verdict_must_be_of_its_results() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (token, result) = mined(folder.path(), "a.json");
    let (other_token, other) = mined(folder.path(), "b.json");
    let page = at("page.html");
    let read = || std::fs::read_to_string(&page).unwrap();

    run(["report", &result, "--challenge", &token, "--out", &page]).expect(OK);
    assert!(read().contains("<h1>Verified") && read().contains("This program recomputed"));

    // Results find their challenges, whatever their order is.
    let two = ["report", &other, &result, "--challenge", &token, "--challenge", &other_token];
    run(two.into_iter().chain(["--out", &page])).expect(OK);
    assert!(read().contains("report on 2 rounds") && read().contains("Round 1"));

    let verdict = at("verdict.json");
    let printed = run(["verify", &result, "--challenge", &token, "--json"]).expect(OK).stdout;
    std::fs::write(&verdict, printed).unwrap();
    let given = |result: &str, token: &str| {
        run(["report", result, "--challenge", token, "--verdict", &verdict, "--out", &page])
    };
    given(&result, &token).expect(OK);
    assert!(read().contains("nothing was recomputed"));
    let refused = given(&other, &other_token).expect(COULD_NOT_RUN);
    assert!(
        refused.stderr.contains("the verdict has no round with challenge"),
        "{}",
        refused.stderr
    );
    // The verdict alone has no lanes to show, and is a page all the same.
    run(["report", "--verdict", &verdict, "--out", &page]).expect(OK);
    run(["report", &other, "--challenge", &token, "--out", &page]).expect(REJECTED);
    assert!(read().contains("<h1>Rejected"));
    let twice = ["report", &result, &result, "--challenge", &token, "--out", &page];
    run(twice).expect(COULD_NOT_RUN);
    assert_eq!(names_in(folder.path()), ["a.json", "b.json", "page.html", "verdict.json"]);
}

#[test]
fn a_rejection_is_a_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let (token, result) = mined(folder.path(), "a.json");
    let page = folder.path().join("page.html").display().to_string();
    let text = std::fs::read_to_string(&result).unwrap();
    std::fs::write(&result, text.replacen("\"path\":[\"", "\"path\":[\"00", 1)).unwrap();
    run(["report", &result, "--challenge", &token, "--out", &page]).expect(REJECTED);
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(
        written.contains("Rejected: <code>malformed</code>") || written.contains("<h1>Rejected")
    );
    // What is read is not written over, and nothing is left of a page that cannot be made.
    run(["report", &result, "--challenge", &token, "--out", &result]).expect(COULD_NOT_RUN);
    std::fs::write(folder.path().join("v.json"), "{}").unwrap();
    let no_verdict = folder.path().join("v.json").display().to_string();
    let refused = run(["report", "--verdict", &no_verdict, "--out", &page]).expect(COULD_NOT_RUN);
    assert!(refused.stderr.contains("this is no verdict"), "{}", refused.stderr);
}

#[test]
fn a_ledger_s_history_is_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (ledger, result, page) = (at("ledger.sqlite"), at("result.json"), at("page.html"));
    let issue = "challenge --dim 128 --matrices 1 --iterations 2 --ledger".split(' ');
    let token = run(issue.chain([ledger.as_str()])).expect(OK).stdout.trim_end().to_owned();
    run(["run", "--executor", "cpu", "--challenge", &token, "--out", &result]).expect(OK);
    let args = ["verify", &result, "--challenge", &token, "--ledger", &ledger];
    run(args).expect(OK);
    run(["ledger", "report", "--ledger", &ledger, "--out", &page]).expect(OK);
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(written.contains("History of all miners") && written.contains("✓ verified"));
    assert!(written.contains("Devices that were named"), "{written}");
    let nobody = "ab".repeat(32);
    let of = ["ledger", "report", "--ledger", &ledger, "--miner", &nobody, "--out", &page];
    run(of).expect(OK);
    assert!(std::fs::read_to_string(&page).unwrap().contains("Nothing is on record."));
    run(["ledger", "report", "--ledger", &ledger, "--out", &ledger]).expect(COULD_NOT_RUN);
}
