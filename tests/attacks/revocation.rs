//! OCSP responses on the certificates of a made-up vendor: of other certificates, times and
//! signers, and what becomes of a device whose certificate was revoked.

use super::device_reports::{NONCE, policy, rejected_for, two_lanes, verdict_with, with_reports};
use crate::common::device::{Certificate, Extended, certificates, chain, key, report, root};
use crate::common::ocsp::{Answer, Hash, Says, responder};
use attest::judging::responses_in;
use attest::protocol::verdict::Revocation;
use attest_device_report::{Ocsp, Response, Standing, Trust, verify};

/// What these responses make of the chain of the device 3, at 2026-06-01.
fn standing(answers: &[Answer]) -> String {
    let root = root();
    let trust = Trust { roots: &[&root], at_unix_s: 1_780_272_000 };
    let device = verify(&report(3, &NONCE), &chain(3), Some(&NONCE), &trust).unwrap();
    let parsed = answers.iter().map(|answer| Response::parse(&answer.der()).unwrap());
    match Ocsp::new(parsed.collect()).standing(device.chain(), &trust) {
        Ok(Standing::Good) => "good".to_owned(),
        Ok(Standing::Unknown(why)) => why.split(": ").nth(1).unwrap().to_owned(),
        Err(fault) => fault.code.name().to_owned(),
    }
}

/// What the die's response is worth, changed; the intermediate's is honest.
fn changed(change: impl FnOnce(&mut Answer)) -> String {
    let mut answer = Answer::on(3, 1);
    change(&mut answer);
    standing(&[answer, Answer::on(3, 2)])
}

/// The same of a response by a responder, whose certificate is changed, too.
fn by(change: impl FnOnce(&mut Certificate)) -> String {
    let mut responder = responder();
    change(&mut responder);
    let (brings, signed_by) = (vec![responder.der()], responder.key.clone());
    let answer = Answer { responder, signed_by, brings, ..Answer::by_responder(3, 1) };
    standing(&[answer, Answer::on(3, 2)])
}

#[test]
fn responses_of_other_certificates_or_times() {
    assert_eq!(changed(|_| {}), "good");
    assert_eq!(standing(&[]), "ocsp-missing");
    assert_eq!(standing(&[Answer::on(3, 1)]), "ocsp-missing");
    assert_eq!(changed(|it| it.of = Answer::on(4, 1).of), "ocsp-missing");
    // The same serial number, of another issuer by name or by key.
    assert_eq!(changed(|it| it.issuer.subject = "another"), "ocsp-missing");
    assert_eq!(changed(|it| it.issuer.key = key(9)), "ocsp-missing");
    assert_eq!(changed(|it| it.hash = Hash::Sha1), "good");
    assert_eq!(changed(|it| it.hash = Hash::Sha256), "good");
    assert_eq!(changed(|it| it.hash = Hash::Sha512), "ocsp-missing");
    assert_eq!(changed(|it| it.until = Some("20260531235959Z")), "ocsp-time");
    assert_eq!(changed(|it| it.from = "20260601000001Z"), "ocsp-time");
    assert_eq!(changed(|it| it.until = None), "ocsp-time");
    assert_eq!(changed(|it| it.says = Says::Unknown), "ocsp-unknown");
}

#[test]
fn responses_of_other_signers() {
    assert_eq!(changed(|it| it.signed_by = key(9)), "ocsp-signature");
    assert_eq!(changed(|it| it.by_key = true), "good");
    // A CA above the issuer could have issued the issuer anew: it may answer.
    assert_eq!(
        changed(|it| {
            (it.responder, it.signed_by) = (certificates(3).into_iter().nth(3).unwrap(), key(1));
        }),
        "good"
    );
    assert_eq!(standing(&[Answer::by_responder(3, 1), Answer::on(3, 2)]), "good");
    // Of the intermediate itself, whom it named may not answer.
    assert_eq!(standing(&[Answer::on(3, 1), Answer::by_responder(3, 2)]), "ocsp-responder");
    assert_eq!(by(|_| {}), "good");
    assert_eq!(by(|it| it.extended = Some((true, Extended::OcspSigning))), "good");
    assert_eq!(by(|it| it.extended = None), "ocsp-key-usage");
    assert_eq!(by(|it| it.extended = Some((false, Extended::CodeSigning))), "ocsp-key-usage");
    assert_eq!(by(|it| it.usage = 0x04), "ocsp-key-usage");
    assert_eq!(by(|it| it.valid[1] = "20260501000000Z"), "ocsp-time");
    assert_eq!(by(|it| it.issuer_key = key(9)), "ocsp-responder");
    assert_eq!(by(|it| (it.issuer, it.issuer_key) = ("another", key(9))), "ocsp-responder");
    let brings_none = Answer { brings: Vec::new(), ..Answer::by_responder(3, 1) };
    assert_eq!(standing(&[brings_none, Answer::on(3, 2)]), "ocsp-responder");
    // The die speaks for itself, or names a responder that does.
    let die = certificates(3).into_iter().nth(1).unwrap();
    let brings = vec![die.der()];
    let own = Answer { responder: die, signed_by: key(3), brings, ..Answer::on(3, 1) };
    assert_eq!(standing(&[own, Answer::on(3, 2)]), "ocsp-key-usage");
    assert_eq!(by(|it| (it.issuer, it.issuer_key) = ("die", key(3))), "ocsp-responder");
}

#[test]
fn one_response_that_says_revoked_outweighs_others() {
    let revoked = || Answer { says: Says::Revoked, ..Answer::on(3, 1) };
    assert_eq!(standing(&[revoked(), Answer::on(3, 2)]), "ocsp-revoked");
    assert_eq!(standing(&[Answer::on(3, 1), Answer::on(3, 2), revoked()]), "ocsp-revoked");
    assert_eq!(standing(&[revoked(), Answer::on(3, 1), Answer::on(3, 2)]), "ocsp-revoked");
    // Whoever was revoked stays so when the response has run out.
    let old = Answer { until: Some("20260502000000Z"), ..revoked() };
    assert_eq!(standing(&[Answer::on(3, 1), Answer::on(3, 2), old]), "ocsp-revoked");
    // But nobody else can revoke it.
    let forged = Answer { signed_by: key(9), ..revoked() };
    assert_eq!(standing(&[Answer::on(3, 1), Answer::on(3, 2), forged]), "good");
    let by_die = Answer { says: Says::Revoked, ..Answer::on(3, 0) };
    assert_eq!(standing(&[Answer::on(3, 1), Answer::on(3, 2), by_die]), "ocsp-revoked");
    let unknown = Answer { says: Says::Unknown, ..Answer::on(3, 1) };
    assert_eq!(standing(&[unknown, Answer::on(3, 1), Answer::on(3, 2)]), "good");
}

#[test]
fn responses_that_are_none() {
    let code = |bytes: &[u8]| Response::parse(bytes).map_or_else(|it| it.code.name(), |_| "holds");
    let honest = Answer::on(3, 1).der();
    assert_eq!(code(&honest), "holds");
    assert_eq!(code(&honest[..honest.len() - 1]), "ocsp-malformed");
    assert_eq!(code(&[&honest[..], &[0]].concat()), "ocsp-malformed");
    assert_eq!(code(b""), "ocsp-malformed");
    assert_eq!(code(&[0x30; 33_000]), "ocsp-too-large");
    // "Try later", and an answer that has a critical extension.
    assert_eq!(code(&[0x30, 3, 0x0a, 1, 3]), "ocsp-status");
    assert_eq!(code(&Answer { critical: true, ..Answer::on(3, 1) }.der()), "ocsp-malformed");
    let many = Answer { brings: vec![root(); 17], ..Answer::on(3, 1) };
    assert_eq!(code(&many.der()), "ocsp-malformed");
}

#[test]
fn what_a_policy_makes_of_revocation() {
    let challenge = two_lanes();
    let result = with_reports(&challenge, |_, _| {});
    let strict = policy("report_not_revoked = true");
    let at = |answers: Vec<Answer>, policy| {
        let folder = tempfile::tempdir().unwrap();
        for (index, answer) in answers.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{index}.ocsp")), answer.der()).unwrap();
        }
        let ocsp = responses_in(folder.path()).unwrap();
        verdict_with(&challenge, &result, policy, Some(&ocsp))
    };
    // The work is done when the challenge is issued: today.
    let today = |answer: Answer| Answer {
        from: "20260101000000Z",
        until: Some("20351231000000Z"),
        ..answer
    };
    let all = || vec![today(Answer::on(3, 1)), today(Answer::on(4, 1)), today(Answer::on(3, 2))];
    let good = at(all(), &strict);
    assert_eq!(rejected_for(&good), [""; 0]);
    let signed = good.devices[0].signed.as_ref().unwrap();
    assert_eq!(signed.revocation, Revocation::Good);
    assert!(good.facts.iter().any(|fact| fact.text.contains("are not revoked")), "{good:?}");
    let without = verdict_with(&challenge, &result, &strict, None);
    assert_eq!(rejected_for(&without), ["device-revocation"; 2]);
    let [first, _, third] = <[Answer; 3]>::try_from(all()).ok().unwrap();
    assert_eq!(rejected_for(&at(vec![first, third], &strict)), ["device-revocation"]);
    let revoked = Answer { says: Says::Revoked, ..Answer::on(4, 1) };
    let lenient = policy("");
    let judged = at(all().into_iter().chain([revoked]).collect(), &lenient);
    assert_eq!(rejected_for(&judged), ["device-report-invalid"]);
    assert_eq!(judged.devices[1].code, Some("ocsp-revoked"));
}
