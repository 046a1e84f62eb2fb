//! Quotes that processors sign, from made-up makers: of other machines, other results, in debug
//! mode, from other enclaves, with certificates that are cut, longer, early or for something
//! else. An honest one of each holds.

use super::device_reports::{rejected_for, verdict_by};
use super::{Run, Say, UUIDS, challenge, ended_with, live, request};
use crate::common::device::{certificates as gpu_certificates, chain, pem, report};
use crate::common::evidence_of_models;
use crate::common::machine::{
    Certificate, INTEL, Key, SNP_DEBUG, TDX_DEBUG, Tdx, amd_certificates, amd_table, base64,
    intel_certificates, intel_ders, roots, snp, table,
};
use attest::evidence::{MachineOptions, Tsm};
use attest::judging::{MachineTrust, Terms};
use attest::mining::executors::{Choice, choose};
use attest::mining::mine::{Expiry, MineOptions, mine};
use attest::policy::Policy;
use attest::protocol::challenge::Challenge;
use attest::protocol::device_report::{Bytes, DeviceReport};
use attest::protocol::digest::Digest;
use attest::protocol::machine_report::{MachineKind, MachineReport};
use attest::protocol::result::ResultDoc;
use attest::protocol::verdict::{Grade, Verdict};
use attest_device_report::Trust;
use attest_device_report::machine::{Certificates, Kind, verify};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

const NONCE: [u8; 64] = [4; 64];

fn code(kind: Kind, quote: &[u8], auxiliary: &[u8]) -> &'static str {
    let roots = roots();
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    // 2026-06-01
    let trust = Trust { roots: &roots, at_unix_s: 1_780_272_000 };
    let certificates = Certificates { auxiliary, own: &[] };
    match verify(kind, quote, &certificates, Some(&NONCE), &trust) {
        Ok(_) => "holds",
        Err(fault) => fault.code.name(),
    }
}

fn of_snp(quote: &[u8], auxiliary: &[u8]) -> &'static str {
    code(Kind::SevSnp, quote, auxiliary)
}

fn of_tdx(tdx: &Tdx) -> &'static str {
    code(Kind::Tdx, &tdx.quote(&NONCE), &[])
}

/// What a chain of AMD's is worth in which one certificate is changed.
fn amd_changed(which: usize, change: impl FnOnce(&mut Certificate)) -> &'static str {
    let mut all = amd_certificates();
    change(&mut all[which]);
    of_snp(&snp(&NONCE, &[]), &table(&all[0].der(), &all[1].der()))
}

/// The same of Intel's.
fn intel_changed(which: usize, change: impl FnOnce(&mut Certificate)) -> &'static str {
    let mut all = intel_certificates();
    change(&mut all[which]);
    of_tdx(&Tdx { certificates: pem(&intel_ders(&all)), ..Tdx::default() })
}

#[test]
fn another_chip_nonce_or_version() {
    let table = amd_table();
    let with = |set: &[(usize, u8)]| of_snp(&snp(&NONCE, set), &table);
    assert_eq!(with(&[]), "holds");
    assert_eq!(of_snp(&snp(&[5; 64], &[]), &table), "quote-nonce");
    // The nonce moved in afterwards; the signature covers it.
    let mut moved = snp(&[5; 64], &[]);
    moved[0x50..0x90].copy_from_slice(&NONCE);
    assert_eq!(of_snp(&moved, &table), "quote-signature");
    assert_eq!(with(&[(0x1a0, 0xc2)]), "quote-certificate");
    for level in [0x180, 0x181, 0x186, 0x187] {
        assert_eq!(with(&[(level, 9)]), "quote-certificate", "{level:#x}");
    }
    // Signed by the provider's key, by none, by an unknown one.
    assert_eq!(with(&[(0x48, 1 << 2)]), "chain-missing");
    assert_eq!(with(&[(0x48, 7 << 2)]), "quote-malformed");
    assert_eq!(with(&[(0x48, 5 << 2)]), "quote-malformed");
    assert_eq!(with(&[(0, 1)]), "quote-malformed");
    assert_eq!(with(&[(0, 6)]), "quote-malformed");
    assert_eq!(with(&[(0x34, 2)]), "quote-malformed");
    for version in 2..=5 {
        assert_eq!(with(&[(0, version)]), "holds");
    }
    assert_eq!(with(&[SNP_DEBUG]), "holds", "a policy's to refuse");
    assert_eq!(of_snp(&[&snp(&NONCE, &[])[..], &[0]].concat(), &table), "quote-malformed");
    assert_eq!(of_snp(&[0; 70_000], &table), "quote-too-large");
}

#[test]
fn chains_of_chips_that_are_stripped_extended_or_turned() {
    let [chip, intermediate, root] = amd_certificates().map(|it| it.der());
    let with = |chip: &[u8], issuer: &[u8]| of_snp(&snp(&NONCE, &[]), &table(chip, issuer));
    assert_eq!(with(&chip, &intermediate), "holds");
    assert_eq!(of_snp(&snp(&NONCE, &[]), &[]), "chain-missing");
    assert_eq!(with(&chip, &root), "chain-missing");
    assert_eq!(with(&chip, &chip), "chain-missing");
    assert_eq!(with(&intermediate, &root), "quote-certificate");
    assert_eq!(amd_changed(1, |it| it.issuer = "ARK-Milan"), "chain-missing");
    // A key that the chip's certified, in the place of the chip's own.
    static OWN: Key = Key::P384(77);
    static CHIP: Key = Key::P384(120);
    let below = amd_changed(0, |it| (it.key, it.issuer_key) = (&OWN, &CHIP));
    assert_eq!(below, "chain-algorithm");
    assert_eq!(
        amd_changed(0, |it| it.issuer_key = &crate::common::machine::AMD_ROOT),
        "chain-signature"
    );
    assert_eq!(amd_changed(1, |it| it.ca = Some(false)), "chain-not-ca");
    assert_eq!(amd_changed(1, |it| it.usage = Some(0x80)), "chain-key-usage");
    assert_eq!(amd_changed(0, |it| it.usage = Some(0x04)), "chain-key-usage");
    assert_eq!(amd_changed(0, |it| it.usage = Some(0x80)), "holds");
    assert_eq!(amd_changed(0, |it| it.ca = Some(true)), "chain-key-usage");
    assert_eq!(amd_changed(0, |it| it.valid[1] = "20260501000000Z"), "chain-validity");
    assert_eq!(amd_changed(1, |it| it.valid[0] = "20260701000000Z"), "chain-validity");
    assert_eq!(amd_changed(0, |it| _ = it.extensions.pop()), "quote-certificate");
}

#[test]
fn quotes_of_other_enclaves_modules_or_processors() {
    let with = |tdx: Tdx| of_tdx(&tdx);
    let enclave = |flip: (usize, u8)| with(Tdx { enclave: vec![flip], ..Tdx::default() });
    let body = |flip: (usize, u8)| with(Tdx { body: vec![flip], ..Tdx::default() });
    assert_eq!(with(Tdx::default()), "holds");
    assert_eq!(code(Kind::Tdx, &Tdx::default().quote(&[5; 64]), &[]), "quote-nonce");
    // An enclave of somebody else's, of another product, in debug mode, of another key.
    assert_eq!(enclave((128, 1)), "quote-enclave");
    assert_eq!(enclave((256, 1)), "quote-enclave");
    assert_eq!(enclave((48, 2)), "quote-enclave");
    assert_eq!(enclave((16, 1)), "quote-enclave");
    assert_eq!(enclave((320, 1)), "quote-enclave");
    assert_eq!(enclave((352, 1)), "quote-enclave");
    assert_eq!(with(Tdx { signer: 1, ..Tdx::default() }), "quote-signature");
    // A module that is not Intel's, or in debug mode.
    assert_eq!(body((64, 1)), "quote-module");
    assert_eq!(body((112, 1)), "quote-module");
    assert_eq!(body(TDX_DEBUG), "holds", "a policy's to refuse");
    let honest = Tdx::default().quote(&NONCE);
    let mut other = honest.clone();
    other[48 + 136] ^= 1;
    assert_eq!(code(Kind::Tdx, &other, &[]), "quote-signature");
    other = honest.clone();
    other[12] ^= 1;
    assert_eq!(code(Kind::Tdx, &other, &[]), "quote-enclave");
    for (at, value) in [(0, 3), (2, 3), (4, 0), (632, 0)] {
        other = honest.clone();
        other[at] = value;
        assert_eq!(code(Kind::Tdx, &other, &[]), "quote-malformed", "byte {at}");
    }
    assert_eq!(with(Tdx { certification: 3, ..Tdx::default() }), "chain-missing");
    assert_eq!(code(Kind::SevSnp, &honest, &[]), "quote-malformed");
}

#[test]
fn chains_of_processors_that_are_stripped_extended_or_turned() {
    let all = intel_ders(&intel_certificates());
    let with = |ders: &[Vec<u8>]| of_tdx(&Tdx { certificates: pem(ders), ..Tdx::default() });
    assert_eq!(with(&all), "holds");
    assert_eq!(with(&all[..2]), "chain-length");
    assert_eq!(with(&[all[0].clone(), all[2].clone(), all[2].clone()]), "chain-issuer");
    assert_eq!(with(&[&all[..], &all[..], &all[..]].concat()), "chain-length");
    // The processor's key certified another: its own certificate is no CA's.
    let own = Certificate {
        subject: "below",
        issuer: "PCK",
        key: &INTEL[3],
        issuer_key: &INTEL[2],
        ..intel_certificates().into_iter().next().unwrap()
    };
    assert_eq!(with(&[&[own.der()], &all[..]].concat()), "chain-not-ca");
    // A chain of graphics processors, whose algorithms are others.
    assert_eq!(with(&gpu_certificates(3).map(|it| it.der())), "chain-algorithm");
    assert_eq!(intel_changed(0, |_| {}), "holds");
    assert_eq!(intel_changed(0, |it| it.extensions.clear()), "quote-certificate");
    assert_eq!(intel_changed(0, |it| it.usage = Some(0x20)), "chain-key-usage");
    assert_eq!(intel_changed(0, |it| it.issuer_key = &INTEL[0]), "chain-signature");
    assert_eq!(intel_changed(1, |it| it.ca = None), "chain-not-ca");
    assert_eq!(intel_changed(1, |it| it.valid[1] = "20260501000000Z"), "chain-validity");
    assert_eq!(intel_changed(2, |it| it.key = &INTEL[3]), "chain-root");
    let long = Tdx { certificates: vec![b'-'; 17_000], ..Tdx::default() };
    assert_eq!(of_tdx(&long), "chain-too-large");
}

/// To the letter of docs/protocol.md.
fn report_data(challenge: &Challenge, result: &ResultDoc) -> [u8; 64] {
    let mut hash = Sha512::new_with_prefix(b"gpu-attest/v1/machine-report\0");
    hash.update(challenge.digest().0);
    hash.update(result.commitment.0);
    for DeviceReport { lane, report, certificates } in &result.device_reports {
        let mut of_device = Sha256::new_with_prefix(lane.to_be_bytes());
        of_device.update((report.as_slice().len() as u32).to_be_bytes());
        of_device.update(report.as_slice());
        of_device.update(certificates.as_slice());
        hash.update(of_device.finalize());
    }
    hash.finalize().into()
}

fn of_machine(report_data: &[u8; 64], set: &[(usize, u8)]) -> MachineReport {
    MachineReport {
        kind: MachineKind::SevSnp,
        quote: Bytes::new(snp(report_data, set)).unwrap(),
        auxiliary: Bytes::new(amd_table()).unwrap(),
    }
}

/// A run of two lanes with its quote, as `edit` leaves them.
fn quoted(challenge: &Challenge, edit: impl FnOnce(&mut ResultDoc, [u8; 64])) -> ResultDoc {
    let evidence = evidence_of_models(&UUIDS, &["NVIDIA H200"; 2]);
    let mut result = Say { evidence, ..Say::of(Run::of(challenge, &UUIDS)) }.result(None);
    let asked = report_data(challenge, &result);
    result.machine_report = Some(of_machine(&asked, &[]));
    edit(&mut result, asked);
    // As it travels.
    ResultDoc::from_bytes(result.to_json().as_bytes(), challenge).unwrap()
}

fn two_lanes() -> Challenge {
    challenge(|spec| spec.gpu_count = Some(2))
}

fn policy(fields: &str) -> Policy {
    let text = format!(
        "[session]\nlive_required = false\n[devices]\ncpu_allowed = true\n\
         device_report = \"ignore\"\n[machine]\n{fields}\n\
         [soundness]\nomitted_share = 0.9\n[findings]\nnot-bound-to-miner = \"ignore\"\n"
    );
    Policy::from_toml(&text, "policy.toml").unwrap()
}

fn verdict(challenge: &Challenge, result: &ResultDoc, policy: &Policy) -> Verdict {
    let roots = roots();
    let roots: Vec<&[u8]> = roots.iter().map(Vec::as_slice).collect();
    let machine = MachineTrust { roots: &roots, certificates: &[] };
    let terms = Terms { policy: Some(policy), machine, ..Terms::default() };
    verdict_by(&terms, challenge, result)
}

fn code_in(verdict: &Verdict) -> &'static str {
    verdict.machine.as_ref().and_then(|machine| machine.code).unwrap_or("holds")
}

#[test]
fn quotes_for_other_results() {
    let challenge = two_lanes();
    let required = policy("report = \"required\"");
    let judged = |edit: fn(&mut ResultDoc, [u8; 64])| {
        verdict(&challenge, &quoted(&challenge, edit), &required)
    };
    let honest = judged(|_, _| {});
    assert_eq!((rejected_for(&honest), code_in(&honest)), (vec![], "holds"));
    let told = honest.facts.iter().find(|fact| fact.grade == Grade::SignedByMachine).unwrap();
    assert!(told.text.starts_with("an AMD SEV-SNP virtual machine, measurement 7a7a"), "{told:?}");
    let signed = honest.machine.as_ref().unwrap().signed.as_ref().unwrap();
    assert_eq!(signed.measurement, "7a".repeat(48));
    let tdx = judged(|result, asked| {
        result.machine_report = Some(MachineReport {
            kind: MachineKind::Tdx,
            quote: Bytes::new(Tdx::default().quote(&asked)).unwrap(),
            auxiliary: Bytes::default(),
        });
    });
    assert_eq!((rejected_for(&tdx), code_in(&tdx)), (vec![], "holds"));
    // Another result's; an old one again; the same as another kind's; none.
    let other = super::challenge(|spec| {
        (spec.gpu_count, spec.validator_nonce) = (Some(2), Digest([9; 32]));
    });
    let others = quoted(&other, |_, _| {}).machine_report;
    let mut result = quoted(&challenge, |_, _| {});
    result.machine_report = others;
    let replayed = verdict(&challenge, &result, &required);
    assert_eq!(rejected_for(&replayed), ["machine-report-invalid"]);
    assert_eq!(code_in(&replayed), "quote-nonce");
    let renamed = judged(|result, _| {
        result.machine_report.as_mut().unwrap().kind = MachineKind::Tdx;
    });
    assert_eq!(code_in(&renamed), "quote-malformed");
    let stripped = judged(|result, _| result.machine_report = None);
    assert_eq!(rejected_for(&stripped), ["machine-report-missing"]);
}

#[test]
fn a_quote_goes_with_the_devices_reports_that_it_was_asked_for_with() {
    let challenge = two_lanes();
    let required = policy("report = \"required\"");
    let device = |die: u8| DeviceReport {
        lane: 0,
        report: Bytes::new(report(die, &[7; 32])).unwrap(),
        certificates: Bytes::new(chain(die)).unwrap(),
    };
    let with = |asked_with: Option<u8>, handed_in: Option<u8>| {
        let result = quoted(&challenge, |result, _| {
            result.device_reports = asked_with.map(device).into_iter().collect();
            let asked = report_data(&challenge, result);
            result.machine_report = Some(of_machine(&asked, &[]));
            result.device_reports = handed_in.map(device).into_iter().collect();
        });
        code_in(&verdict(&challenge, &result, &required))
    };
    assert_eq!(with(Some(3), Some(3)), "holds");
    assert_eq!(with(Some(3), None), "quote-nonce");
    assert_eq!(with(None, Some(3)), "quote-nonce");
    assert_eq!(with(Some(3), Some(4)), "quote-nonce");
}

#[test]
fn what_a_policy_makes_of_quotes() {
    let challenge = two_lanes();
    let of = |set: &'static [(usize, u8)], fields: &str| {
        let result = quoted(&challenge, |result, asked| {
            result.machine_report = Some(of_machine(&asked, set));
        });
        rejected_for(&verdict(&challenge, &result, &policy(fields)))
    };
    assert_eq!(of(&[SNP_DEBUG], ""), ["machine-debug"]);
    assert_eq!(of(&[SNP_DEBUG], "debug_allowed = true"), [""; 0]);
    assert_eq!(of(&[SNP_DEBUG], "report = \"ignore\""), [""; 0]);
    let allowed = |byte: &str| format!("measurements = [\"{}\"]", byte.repeat(48));
    assert_eq!(of(&[], &allowed("7A")), [""; 0]);
    assert_eq!(of(&[], &allowed("7b")), ["machine-measurement-not-allowed"]);
    assert_eq!(of(&[(0x1a0, 0)], ""), ["machine-report-invalid"]);
    assert_eq!(of(&[(0x1a0, 0)], "report = \"ignore\""), [""; 0]);
    // The makers' own roots are the only ones unless a library's user says otherwise.
    let strict = Terms::default().machine;
    assert_eq!(strict.roots, attest_device_report::machine::ROOTS);
}

#[test]
fn quotes_in_disorder() {
    let challenge = two_lanes();
    let honest: Value = serde_json::from_str(&quoted(&challenge, |_, _| {}).to_json()).unwrap();
    let read = |edit: fn(&mut Value)| {
        let mut value = honest.clone();
        edit(&mut value["machine_report"]);
        ResultDoc::from_bytes(value.to_string().as_bytes(), &challenge).map(|_| ())
    };
    assert_eq!(read(|_| {}), Ok(()));
    assert_eq!(read(|report| report["quote"] = json!(base64(&[0; 65_536]))), Ok(()));
    let edits: [fn(&mut Value); 8] = [
        |report| report["kind"] = json!("cca"),
        |report| report["more"] = json!(1),
        |report| report["quote"] = json!(base64(&[0; 65_537])),
        |report| report["auxiliary"] = json!(base64(&[0; 65_537])),
        |report| report["quote"] = json!("AAA"),
        |report| _ = report.as_object_mut().unwrap().remove("auxiliary"),
        |report| *report = json!([]),
        |report| *report = json!(null),
    ];
    for (at, edit) in edits.into_iter().enumerate() {
        assert!(read(edit).is_err(), "edit {at}");
    }
}

#[tokio::test]
async fn a_quote_in_a_session() {
    let ended = live(&super::Recording::new(), request(), async |mut peer| {
        peer.greet(None).await;
        let say = Say::honestly(&peer.challenge().await);
        peer.send(say.commitment_line()).await;
        let coin = peer.coin().await;
        let mut result = say.result(Some(coin));
        let mut report = of_machine(&NONCE, &[]);
        // As much as there may be of it.
        report.auxiliary = Bytes::new(vec![0; 65_536]).unwrap();
        report.quote = Bytes::new(vec![0; 65_536]).unwrap();
        result.machine_report = Some(report);
        peer.send(attest::session::message::openings_line(&result)).await;
        peer.linger().await;
    })
    .await;
    // The work is what was asked for: that the quote does not hold is told.
    ended_with("verified", &ended);
    assert_eq!(code_in(&ended.verdict), "quote-malformed");
}

/// An entry of configfs-tsm whose outblob is what the made-up chip signs for its inblob.
fn confidential(entry: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    fs::create_dir(entry)?;
    fs::write(entry.join("provider"), "sev_guest\n")?;
    fs::write(entry.join("generation"), "1\n")?;
    fs::write(entry.join("auxblob"), amd_table())?;
    mknodat(CWD, entry.join("outblob"), FileType::Fifo, Mode::RWXU, 0)?;
    let entry = entry.to_owned();
    std::thread::spawn(move || -> io::Result<()> {
        // It opens once somebody reads, who wrote what is asked with before.
        let mut outblob = fs::File::options().write(true).open(entry.join("outblob"))?;
        let asked = fs::read(entry.join("inblob"))?;
        outblob.write_all(&snp(asked.as_slice().try_into().expect("64 bytes"), &[]))
    });
    Ok(())
}

#[test]
fn a_run_in_a_confidential_machine_brings_its_quote() {
    let challenge = challenge(|_| {});
    let run = |tsm: Tsm| {
        let executors = choose(&Choice::Cpu, &challenge).unwrap().executors;
        let machine = MachineOptions { tsm, ..MachineOptions::default() };
        let options =
            MineOptions { machine, expiry: Expiry::ValidatorsClock, ..MineOptions::default() };
        mine(&challenge, executors, &options, &|_| ()).unwrap().result
    };
    let entries = tempfile::tempdir().unwrap().keep();
    let entries: &'static str = entries.to_str().unwrap().to_owned().leak();
    let result = run(Tsm { entries, make: confidential });
    let required = policy("report = \"required\"");
    let judged = verdict(&challenge, &result, &required);
    assert_eq!((rejected_for(&judged), code_in(&judged)), (vec![], "holds"));
    assert!(judged.machine.is_some_and(|machine| machine.signed.is_some()));
    // Elsewhere it is absent, and the kernel's reason is told.
    let result = run(Tsm { entries: "/nowhere/tsm/report", ..Tsm::default() });
    let judged = verdict(&challenge, &result, &required);
    assert_eq!(rejected_for(&judged), ["machine-report-missing"]);
    let reasons = &judged.policy.as_ref().unwrap().reasons;
    let told = reasons.iter().find(|reason| reason.code == "machine-report-missing").unwrap();
    assert!(told.text.contains("/nowhere/tsm/report: No such file"), "{told:?}");
    assert_eq!(rejected_for(&verdict(&challenge, &result, &policy(""))), [""; 0]);
    fs::remove_dir_all(entries).unwrap();
}
