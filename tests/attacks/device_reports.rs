//! Reports that devices sign, from a made-up vendor: of other devices, other work, other
//! firmware, with certificates that are cut, longer, early or for something else; and
//! manifests that are changed around their signature. An honest one of each holds.

use super::{Run, Say, UUIDS, alone, challenge, ended_with, live, request};
use crate::common::device::{
    Certificate, Extended, FWID, Manifest, certificates, chain, key, pem, report, report_by, root,
};
use crate::common::evidence_of_models;
use attest::judging::{BeforeIssue, DeviceTrust, HandedIn, Terms};
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::circumstances::Circumstances;
use attest::protocol::device_report::{Bytes, DeviceReport};
use attest::protocol::digest::Digest;
use attest::protocol::evidence::Evidence;
use attest::protocol::names::State;
use attest::protocol::result::{ResultDoc, chain_states};
use attest::protocol::verdict::{Grade, Outcome, Verdict};
use attest_device_report::{Comparison, Fault, Ocsp, Report, Rim, Rims, Trust, verify};
use serde_json::{Value, json};

fn fault(report: &[u8], chain: &[u8], nonce: Option<&[u8; 32]>) -> &'static str {
    let root = root();
    // 2026-06-01
    let trust = Trust { roots: &[&root], at_unix_s: 1_780_272_000 };
    match verify(report, chain, nonce, &trust) {
        Ok(_) => "holds",
        Err(Fault { code, .. }) => code.name(),
    }
}

pub(super) const NONCE: [u8; 32] = [4; 32];

/// What a chain is worth in which one certificate is changed.
fn changed(which: usize, change: impl FnOnce(&mut Certificate)) -> &'static str {
    let mut all = certificates(3);
    change(&mut all[which]);
    fault(&report(3, &NONCE), &pem(&all.map(|it| it.der())), Some(&NONCE))
}

#[test]
fn another_device_nonce_or_firmware() {
    let chain_3 = chain(3);
    let honest = report(3, &NONCE);
    assert_eq!(fault(&honest, &chain_3, Some(&NONCE)), "holds");
    assert_eq!(fault(&honest, &chain_3, None), "holds");
    assert_eq!(fault(&report(4, &NONCE), &chain_3, Some(&NONCE)), "report-signature");
    assert_eq!(fault(&honest, &chain(4), Some(&NONCE)), "report-signature");
    assert_eq!(fault(&report(3, &[5; 32]), &chain_3, Some(&NONCE)), "report-nonce");
    // The nonce that is compared is the request's, and the signature covers it.
    let mut moved = report(3, &[5; 32]);
    moved[4..36].copy_from_slice(&NONCE);
    assert_eq!(fault(&moved, &chain_3, Some(&NONCE)), "report-signature");
    let other = report_by(&key(103), &NONCE, &[0xf2; 48]);
    assert_eq!(fault(&other, &chain_3, Some(&NONCE)), "report-fwid");
}

#[test]
fn hex_and_length() {
    let honest = report(3, &NONCE);
    assert!(Report::from_hex(&hex::encode(&honest)).is_ok());
    let upper = hex::encode(&honest).to_uppercase();
    assert_eq!(Report::from_hex(&upper).unwrap_err().code.name(), "report-malformed");
    assert_eq!(fault(&[&honest[..], &[0; 5000]].concat(), &chain(3), None), "report-malformed");
    assert_eq!(fault(&[0x11; 9000], &chain(3), None), "report-too-large");
    assert_eq!(fault(&honest, &chain(3).repeat(9), None), "chain-too-large");
}

#[test]
fn chains_that_are_stripped_extended_or_turned() {
    let all = certificates(3).map(|it| it.der());
    let of = |ders: &[Vec<u8>]| fault(&report(3, &NONCE), &pem(ders), Some(&NONCE));
    assert_eq!(of(&all), "holds");
    assert_eq!(of(&all[..3]), "chain-root");
    assert_eq!(of(&all[..2]), "chain-length");
    assert_eq!(of(&[all[0].clone(), all[2].clone(), all[3].clone()]), "chain-issuer");
    assert_eq!(of(&[all[1].clone(), all[2].clone(), all[3].clone()]), "chain-key-usage");
    // The root of somebody else, under the same name and with the same words.
    let forged = Certificate {
        key: key(9),
        issuer_key: key(9),
        ..certificates(3).into_iter().last().unwrap()
    };
    assert_eq!(of(&[all[0].clone(), all[1].clone(), all[2].clone(), forged.der()]), "chain-root");
    // A key that the device certified: its own certificate is no CA's.
    let below = Certificate {
        ca: None,
        usage: 0x80,
        fwid: Some(FWID),
        ..Certificate::ca("another", 77, "attestation key", 103)
    };
    let extended = [&[below.der()], &all[..]].concat();
    let by_it = report_by(&key(77), &NONCE, &FWID);
    assert_eq!(fault(&by_it, &pem(&extended), Some(&NONCE)), "chain-not-ca");
}

#[test]
fn certificates_of_wrong_use_time_or_make() {
    assert_eq!(changed(0, |_| {}), "holds");
    assert_eq!(changed(0, |it| it.usage = 0x04), "chain-key-usage");
    assert_eq!(changed(1, |it| it.usage = 0x80), "chain-key-usage");
    assert_eq!(changed(2, |it| it.usage = 0x02), "chain-key-usage");
    assert_eq!(changed(1, |it| it.ca = None), "chain-not-ca");
    assert_eq!(changed(1, |it| it.ca = Some(false)), "chain-not-ca");
    assert_eq!(changed(0, |it| it.ca = Some(true)), "chain-key-usage");
    assert_eq!(changed(2, |it| it.path_length = Some(1)), "holds");
    assert_eq!(changed(2, |it| it.path_length = Some(0)), "chain-path-length");
    assert_eq!(changed(1, |it| it.valid[1] = "20260501000000Z"), "chain-validity");
    assert_eq!(changed(0, |it| it.valid[0] = "20260701000000Z"), "chain-validity");
    assert_eq!(changed(0, |it| it.issuer = "another die"), "chain-issuer");
    assert_eq!(changed(0, |it| it.issuer_key = key(9)), "chain-signature");
    assert_eq!(changed(1, |it| it.issuer_key = key(9)), "chain-signature");
    assert_eq!(changed(0, |it| it.fwid = None), "report-fwid");
    assert_eq!(changed(1, |it| it.fwid = Some(FWID)), "chain-extension");
    assert_eq!(changed(1, |it| it.unknown = Some(false)), "holds");
    assert_eq!(changed(1, |it| it.unknown = Some(true)), "chain-extension");
    assert_eq!(changed(3, |it| it.unknown = Some(false)), "chain-root");
    assert_eq!(changed(1, |it| it.extended = Some((false, Extended::CodeSigning))), "holds");
    assert_eq!(
        changed(1, |it| it.extended = Some((true, Extended::OcspSigning))),
        "chain-extension"
    );
}

/// A run of two lanes with its devices' reports, as `edit` leaves them.
pub(super) fn with_reports(
    challenge: &Challenge,
    edit: impl FnOnce(&mut Vec<DeviceReport>, &[[u8; 32]]),
) -> ResultDoc {
    reported(challenge, evidence_of_models(&UUIDS, &["NVIDIA H200"; 2]), edit)
}

fn reported(
    challenge: &Challenge,
    evidence: Evidence,
    edit: impl FnOnce(&mut Vec<DeviceReport>, &[[u8; 32]]),
) -> ResultDoc {
    let mut result = Say { evidence, ..Say::of(Run::of(challenge, &UUIDS)) }.result(None);
    let states = chain_states(challenge, &result.lanes);
    let nonce = |g: usize| nonce_of(challenge, g, states[g].last().unwrap());
    let nonces = [nonce(0), nonce(1)];
    let mut reports = vec![of_lane(0, 3, &nonces[0]), of_lane(1, 4, &nonces[1])];
    edit(&mut reports, &nonces);
    result.device_reports = reports;
    // As it travels.
    ResultDoc::from_bytes(result.to_json().as_bytes(), challenge).unwrap()
}

/// To the letter of docs/protocol.md.
pub(super) fn nonce_of(challenge: &Challenge, g: usize, last: &State) -> [u8; 32] {
    let domain = b"gpu-attest/v1/device-report\0";
    let lane = (g as u32).to_be_bytes();
    Digest::of(&[domain, &challenge.digest().0, &lane, &last.0]).0
}

pub(super) fn of_lane(lane: u32, die: u8, nonce: &[u8; 32]) -> DeviceReport {
    DeviceReport {
        lane,
        report: Bytes::new(report(die, nonce)).unwrap(),
        certificates: Bytes::new(chain(die)).unwrap(),
    }
}

pub(super) fn two_lanes() -> Challenge {
    challenge(|spec| spec.gpu_count = Some(2))
}

pub(super) fn policy(fields: &str) -> Policy {
    let text = format!(
        "[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n{fields}\n\
         [soundness]\nomitted_share = 0.9\n[findings]\nnot-bound-to-miner = \"ignore\"\n"
    );
    Policy::from_toml(&text, "policy.toml").unwrap()
}

fn verdict(challenge: &Challenge, result: &ResultDoc, policy: &Policy) -> Verdict {
    verdict_with(challenge, result, policy, None)
}

pub(super) fn verdict_with(
    challenge: &Challenge,
    result: &ResultDoc,
    policy: &Policy,
    ocsp: Option<&Ocsp>,
) -> Verdict {
    let root = root();
    let rims = Rims::new(vec![rim("580.95.05", 0), rim("96.00.9f.00.01", 20)]);
    let devices = DeviceTrust { roots: &[&root], rims: Some(&rims), ocsp };
    let terms = Terms { policy: Some(policy), devices, ..Terms::default() };
    verdict_by(&terms, challenge, result)
}

/// What these terms make of a result that is handed in.
pub(super) fn verdict_by(terms: &Terms<'_>, challenge: &Challenge, result: &ResultDoc) -> Verdict {
    let handed_in = HandedIn {
        challenge,
        result,
        arrival_unix_s: Some(challenge.issued_at_unix_s() + 10),
        elapsed: None,
        receipt: None,
    };
    let verified = |with: &Circumstances<'_>| {
        let recompute = attest::executor::cpu::CpuVerifier::new();
        Ok(attest::protocol::verify::verify(challenge, result, with, &recompute))
    };
    terms.of_stranger::<BeforeIssue>(&handed_in, verified).unwrap()
}

/// The codes of the policy's reasons that reject.
pub(super) fn rejected_for(verdict: &Verdict) -> Vec<&'static str> {
    let policy = verdict.policy.as_ref().expect("a policy judged");
    assert_eq!(verdict.outcome == Outcome::Rejected, policy.rejects());
    policy.rejecting().map(|reason| reason.code).collect()
}

#[test]
fn reports_over_other_work() {
    let challenge = two_lanes();
    let required = policy("device_report = \"required\"\nreport_measured = true");
    let judged = |edit: fn(&mut Vec<DeviceReport>, &[[u8; 32]])| {
        verdict(&challenge, &with_reports(&challenge, edit), &required)
    };
    let honest = judged(|_, _| {});
    assert_eq!(rejected_for(&honest), [""; 0]);
    let signed: Vec<_> =
        honest.facts.iter().filter(|it| it.grade == Grade::SignedByDevice).collect();
    assert!(signed.len() == 2 && signed[0].text.contains("driver 580.95.05"), "{signed:?}");
    assert!(signed[0].text.contains("its measurements are the vendor's"), "{signed:?}");
    assert_ne!(
        honest.devices[0].signed.as_ref().unwrap().die,
        honest.devices[1].signed.as_ref().unwrap().die
    );
    // The lanes' reports exchanged; a report of another run; none; one die for both.
    let swapped = judged(|reports, nonces| {
        *reports = vec![of_lane(0, 3, &nonces[1]), of_lane(1, 4, &nonces[0])];
    });
    assert_eq!(rejected_for(&swapped), ["device-report-invalid"; 2]);
    assert_eq!(swapped.devices[0].code, Some("report-nonce"));
    let replayed = judged(|reports, _| reports[1] = of_lane(1, 4, &[7; 32]));
    assert_eq!(rejected_for(&replayed), ["device-report-invalid"]);
    let stripped = judged(|reports, _| _ = reports.pop());
    assert_eq!(rejected_for(&stripped), ["device-report-missing"]);
    let one_die = judged(|reports, nonces| reports[1] = of_lane(1, 3, &nonces[1]));
    assert_eq!(rejected_for(&one_die), ["device-die-twice"]);
    // Nothing that is signed makes a result verify, and a report for another commitment of the
    // same challenge has another nonce.
    let mut other = with_reports(&challenge, |_, _| {});
    other.lanes[0].iteration_roots.swap(0, 1);
    assert_eq!(alone(&challenge, &other), "commitment-mismatch");
}

#[test]
fn what_a_policy_makes_of_reports() {
    let challenge = two_lanes();
    let without = with_reports(&challenge, |reports, _| reports.clear());
    let broken = with_reports(&challenge, |reports, _| reports[0] = of_lane(0, 3, &[7; 32]));
    let of = |result: &ResultDoc, fields: &str| {
        rejected_for(&verdict(&challenge, result, &policy(fields)))
    };
    assert_eq!(of(&without, "device_report = \"required\""), ["device-report-missing"; 2]);
    assert_eq!(of(&without, "device_report = \"if-present\""), [""; 0]);
    assert_eq!(of(&broken, "device_report = \"if-present\""), ["device-report-invalid"]);
    assert_eq!(of(&broken, "device_report = \"ignore\""), [""; 0]);
    let honest = with_reports(&challenge, |_, _| {});
    assert_eq!(of(&honest, "report_driver_versions = [\"580.95.05\"]"), [""; 0]);
    let older =
        "report_driver_versions = [\"575.1\"]\nreport_vbios_versions = [\"96.00.00.00.00\"]";
    let codes = ["device-driver-not-allowed", "device-vbios-not-allowed"];
    assert_eq!(of(&honest, older), [codes, codes].concat());
    // The vendor's own root is the only one unless a library's user says otherwise.
    let strict = Terms { policy: Some(&policy("")), ..Terms::default() };
    assert_eq!(strict.devices.roots, [attest_device_report::NVIDIA_DEVICE_ROOT]);
}

/// What a miner claims of its device, and what that signs: each source of the evidence counts.
#[test]
fn claims_that_differ_from_what_was_signed() {
    let challenge = two_lanes();
    let judged = |edit: fn(&mut Value)| {
        let mut claimed = evidence_of_models(&UUIDS, &["NVIDIA H200"; 2]).value().clone();
        for lane in claimed["lanes"].as_array_mut().unwrap() {
            lane["pci_id"] = json!("0000:3b:00.0");
        }
        edit(&mut claimed);
        let evidence = Evidence::from_value(claimed).unwrap();
        let result = reported(&challenge, evidence, |reports, _| reports.truncate(1));
        rejected_for(&verdict(&challenge, &result, &policy("")))
    };
    assert_eq!(judged(|_| {}), [""; 0]);
    let differs = ["device-differs"];
    assert_eq!(judged(|it| it["machine"]["kernel_driver_version"] = json!("580.82.07")), differs);
    assert_eq!(judged(|it| it["lanes"][0]["driver_version"] = json!("580.82.07")), differs);
    assert_eq!(
        judged(|it| {
            let device = json!({"pci_id": "00000000:3B:00.0", "vbios_version": "96.00.9f.00.01"});
            it["machine"]["nvml"] = json!({"driver_version": "580.95.05", "devices": [device]});
        }),
        [""; 0]
    );
    assert_eq!(
        judged(|it| {
            let device = json!({"pci_id": "00000000:3B:00.0", "vbios_version": "96.00.5E.00.01"});
            it["machine"]["nvml"] = json!({"devices": [device]});
        }),
        differs
    );
    assert_eq!(
        judged(|it| {
            let device = json!({"pci_id": "0000:3b:00.0", "vbios_version": "96.00.5E.00.01"});
            it["machine"]["kernel"] = json!({"devices": [device]});
        }),
        differs
    );
    assert_eq!(judged(|it| it["lanes"][0]["model"] = json!("NVIDIA A100-SXM4-80GB")), differs);
    // A switch signs in the same form, to the same root.
    let switch = with_reports(&challenge, |reports, nonces| {
        let mut all = certificates(3);
        all[0].info = Some("NVIDIA:LS10:0123456789ABCDEF");
        let certificates = Bytes::new(pem(&all.map(|it| it.der()))).unwrap();
        reports[0] = DeviceReport { certificates, ..of_lane(0, 3, &nonces[0]) };
    });
    assert_eq!(rejected_for(&verdict(&challenge, &switch, &policy(""))), differs);
}

#[test]
fn lists_of_reports_in_disorder() {
    let challenge = two_lanes();
    let honest: Value =
        serde_json::from_str(&with_reports(&challenge, |_, _| {}).to_json()).unwrap();
    let read = |edit: fn(&mut Value)| {
        let mut value = honest.clone();
        edit(&mut value["device_reports"]);
        ResultDoc::from_bytes(value.to_string().as_bytes(), &challenge).map(|_| ())
    };
    assert_eq!(read(|_| {}), Ok(()));
    let edits: [fn(&mut Value); 8] = [
        |reports| reports.as_array_mut().unwrap().reverse(),
        |reports| reports[1]["lane"] = json!(0),
        |reports| reports[1]["lane"] = json!(2),
        |reports| reports[0]["more"] = json!(1),
        |reports| reports[0]["report"] = json!("A".repeat(10_928)),
        |reports| reports[0]["certificates"] = json!("AAA"),
        |reports| _ = reports[0].as_object_mut().unwrap().remove("report"),
        |reports| {
            let again = reports[0].clone();
            reports.as_array_mut().unwrap().push(again);
        },
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert!(read(edit).is_err(), "edit {at}");
    }
}

#[tokio::test]
async fn a_report_in_a_session() {
    let ended = live(&super::Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        let mut result = say.result(Some(coin));
        result.device_reports = vec![of_lane(0, 3, &NONCE)];
        peer.send(attest::session::message::openings_line(&result)).await;
        peer.linger().await;
    })
    .await;
    // The work is what was asked for: that the report does not hold is told.
    ended_with("verified", &ended);
}

fn rim(version: &str, first: u8) -> Rim {
    verified_rim(&Manifest::new(version, first).text()).unwrap()
}

fn verified_rim(text: &str) -> Result<Rim, Fault> {
    let root = root();
    Rim::verify(text.as_bytes(), &Trust { roots: &[&root], at_unix_s: 1_780_272_000 })
}

fn rim_code(text: &str) -> &'static str {
    verified_rim(text).map_or_else(|fault| fault.code.name(), |_| "holds")
}

#[test]
fn manifests_that_are_changed_wrapped_or_that_name_entities() {
    let honest = Manifest::new("580.95.05", 0);
    assert_eq!(rim_code(&honest.text()), "holds");
    let (body, signature) = (&honest.body, &honest.signature);
    let end = "</SoftwareIdentity>";
    let golden = hex::encode([2; 48]);
    assert_eq!(rim_code(&honest.text().replace(&golden, &hex::encode([9; 48]))), "rim-digest");
    assert_eq!(rim_code(&honest.text().replace("580.95.05", "999.0")), "rim-digest");
    // Another document around the signed one, or beside its signature.
    let evil = Manifest::new("999.0", 0).body;
    let tail = body.split_once("<Meta").unwrap().1;
    for wrapped in [
        format!("{evil}{}{end}", honest.text()),
        format!("{evil}<Evidence>{}</Evidence>{end}", honest.text()),
        format!("{evil}{signature}{end}"),
        format!("{body}{signature}{signature}{end}"),
        format!("{body}<Evidence>{signature}</Evidence>{end}"),
        format!(
            "{body}{}{end}",
            signature.replace(
                "</ds:Signature>",
                &format!("<ds:Object><Payload></Payload><Meta{tail}</ds:Object></ds:Signature>")
            )
        ),
        format!("{body}{}{end}", signature.replace("URI=\"\"", "URI=\"#t\"")),
        format!("{body}{}{end}", signature.replace("xml-c14n11", "xslt")),
        format!("{body}{end}"),
    ] {
        assert!(
            ["rim-signature-form", "rim-digest"].contains(&rim_code(&wrapped)),
            "{}: {wrapped:.200}",
            rim_code(&wrapped)
        );
    }
    // Digest of the changed document, and the old signature over the old digest.
    let other = Manifest::new("999.0", 0);
    let digest = |text: &str| {
        let start = text.find("<ds:DigestValue>").unwrap();
        text[start..start + 90].to_owned()
    };
    let forged = signature.replace(&digest(signature), &digest(&other.signature));
    assert_eq!(rim_code(&format!("{}{forged}{end}", other.body)), "rim-signature");
    for text in [
        format!("<!DOCTYPE a [<!ENTITY e \"580.95.05\">]>{}", honest.text()),
        honest.text().replace("580.95.05", "&e;"),
        honest.text().replace("<Payload>", "<!-- --><Payload>"),
        honest.text().replace("<Payload>", "<?x y?><Payload>"),
        honest.text().replace("<Payload>", "<![CDATA[]]><Payload>"),
        honest.text().replace("tagId", "xml:id"),
        "<a".repeat(1000),
        String::new(),
    ] {
        assert_eq!(rim_code(&text), "rim-malformed", "{text:.200}");
    }
    assert_eq!(rim_code(&" ".repeat(300_000)), "rim-too-large");
    // Canonicalisation gives other spellings of the same document the same digest.
    let spelt = honest.text().replace("<Payload>", "<Payload  >").replace("></Meta>", "/>");
    assert_eq!(rim_code(&spelt), "holds");
    let nvidias = attest_device_report::NVIDIA_RIM_ROOT;
    let trust = Trust { roots: &[nvidias], at_unix_s: 1_780_272_000 };
    let fault = Rim::verify(honest.text().as_bytes(), &trust).unwrap_err();
    assert_eq!(fault.code.name(), "chain-root");
}

#[test]
fn golden_values_are_compared() {
    let said = Report::parse(&report(3, &NONCE)).unwrap();
    let of = |rims: Vec<Rim>| Rims::new(rims).compare(&said);
    let (driver, vbios) = (rim("580.95.05", 0), rim("96.00.9F.00.01", 20));
    assert_eq!(of(vec![vbios.clone(), driver.clone()]), Comparison::Match { count: 40 });
    let missing = "VBIOS 96.00.9F.00.01".to_owned();
    assert_eq!(of(vec![driver.clone()]), Comparison::Unknown { missing });
    let shared = rim("96.00.9F.00.01", 19);
    assert_eq!(of(vec![driver.clone(), shared]), Comparison::Conflict { indices: vec![19] });
    // Two golden values are others: signed by the vendor, and not what was measured.
    let mut other = Manifest::new("96.00.9F.00.01", 20);
    for i in [22, 25] {
        other.body = other.body.replace(&hex::encode([i; 48]), &hex::encode([0xee; 48]));
    }
    other.signature = Manifest::signed(&other.body);
    let other = verified_rim(&other.text()).unwrap();
    assert_eq!(of(vec![driver, other]), Comparison::Differ { indices: vec![21, 24] });
}
