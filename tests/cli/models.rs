//! `--models` and `attest policy models`.

use crate::cli::{COULD_NOT_RUN, Example, OK, REJECTED, run, run_with_input};
use serde_json::Value;

/// The built-in table, and a folder for others.
fn built_in() -> (String, tempfile::TempDir) {
    (run(["policy", "models"]).expect(OK).stdout, tempfile::tempdir().unwrap())
}

#[test]
fn the_table_is_printed_and_taken_again() {
    let (text, folder) = built_in();
    assert!(text.contains("name = \"NVIDIA H200\"\n") && text.contains("source = "), "{text:.200}");
    let path = folder.path().join("models.toml");
    let path = path.to_str().unwrap();
    run(["policy", "models", "--out", path]).expect(OK).printed_nothing();
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
    run(["policy", "models", "--out", path]).expect(COULD_NOT_RUN).says("is there already");
    let digest = |args: &[&str]| run([&["policy", "models", "--digest"], args].concat()).stdout;
    assert_eq!(digest(&["--models", path]), digest(&[]));

    // A new card needs no new program.
    let new = text.replace("name = \"NVIDIA H200\"", "name = \"NVIDIA H300\"");
    std::fs::write(path, new).unwrap();
    let told = run(["policy", "models", "--models", path]).expect(OK).stdout;
    assert!(told.starts_with("33 models of 9 chips\ndigest "), "{told}");
    assert!(told.contains(digest(&["--models", path]).trim()), "{told}");
    let args = ["challenge", "--policy", "-", "--model", "NVIDIA H300"];
    run_with_input(args, b"").expect(COULD_NOT_RUN).says("NVIDIA H300");
    run_with_input([&args[..], &["--models", path]].concat(), b"").expect(OK);
    let other = folder.path().join("other.toml");
    let args = ["policy", "models", "--models", path, "--out", other.to_str().unwrap()];
    run(args).expect(COULD_NOT_RUN).says("Leave out one of the two");
}

#[test]
fn a_verdict_by_another_table_names_it() {
    let example = Example::new(&[]);
    let (text, folder) = built_in();
    let path = folder.path().join("models.toml");
    std::fs::write(&path, &text).unwrap();
    let path = path.to_str().unwrap();
    let verify = |more: &[&str], result: &str, code| {
        let args = ["verify", "-", "--challenge", &example.token, "--models", path];
        run_with_input([&args[..], more].concat(), result.as_bytes()).expect(code).stdout
    };
    assert!(!verify(&[], &example.result, OK).contains("another table"), "the same numbers");
    std::fs::write(path, text.replace("memory_gb = 141", "memory_gb = 142")).unwrap();
    let digest = run(["policy", "models", "--models", path, "--digest"]).expect(OK).stdout;
    let said = format!("judged by another table than attest's own: {}", digest.trim());
    let text = verify(&[], &example.result, OK);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&said), "{text}");
    let json = |result: &str, code| -> Value {
        serde_json::from_str(&verify(&["--json"], result, code)).unwrap()
    };
    assert_eq!(json(&example.result, OK)["model_table"], digest.trim());
    // Rejections say it, too.
    assert_eq!(json("{}", REJECTED)["model_table"], digest.trim());
}

#[test]
fn a_bad_table_is_refused_before_anything_else() {
    let (text, folder) = built_in();
    let path = folder.path().join("models.toml");
    let named = path.to_str().unwrap();
    let refused = |content: &[u8], says: &str| {
        std::fs::write(&path, content).unwrap();
        run(["challenge", "--models", named]).expect(COULD_NOT_RUN).printed_nothing().says(says);
    };
    let absurd = text.replacen("sm_count = 132", "sm_count = 1320", 1);
    refused(absurd.as_bytes(), "printed_fp64_tflops is 67");
    refused(text.replace("memory_gb = 141", "memory_gb = nan").as_bytes(), "models.toml:");
    refused(format!("{text}{}", text.split("\n\n").last().unwrap()).as_bytes(), "has it already");
    refused(&vec![b'#'; 300_000], "262144");
    refused(b"\xff\xfe", "UTF-8");
    run(["demo", "--models", "no-such-file.toml"]).expect(COULD_NOT_RUN).says("no-such-file.toml");
    run(["demo", "--models", "/"]).expect(COULD_NOT_RUN).says("directory");
    // It is an input: no output goes over it.
    std::fs::write(&path, &text).unwrap();
    let args = ["challenge", "--models", named, "--out", named];
    run(args).expect(COULD_NOT_RUN).says("--models");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

/// Chips and models at the edges of what a table may have, with peaks that fit.
fn edges() -> String {
    let mut text = String::new();
    let mut models = 0;
    let pairs = |a: [u32; 2], b: [u32; 2]| a.into_iter().flat_map(move |a| b.map(|b| (a, b)));
    for (at, ((fp64, int8), fp16)) in pairs([1, 1024], [8, 100_000])
        .flat_map(|rates| [0, 65_536].map(|fp16| (rates, fp16)))
        .enumerate()
    {
        text += &format!(
            "[[chip]]\nname = \"chip {at}\"\ncompute_capabilities = [\"1.{at}\"]\n\
             fp64_fma_per_sm_clock = {fp64}\nint8_mac_per_sm_clock = {int8}\n\
             fp16_fma_per_sm_clock = {fp16}\nsource = \"made up\"\n"
        );
        let fastest = if 1.25 * f64::from(fp16) > 1.1 * f64::from(int8) { fp16 } else { int8 };
        let sizes = pairs([1, 4096], [1000, 10_000])
            .flat_map(|sm| pairs([1, 65_536], [1, 1_000_000]).map(move |memory| (sm, memory)));
        for ((sms, clock), (memory, bandwidth)) in sizes {
            let tera = |rate: u32| 2e-6 * f64::from(sms) * f64::from(clock) * f64::from(rate);
            let (share, link) = if models % 2 == 0 { ("0.01", 1) } else { ("0.8", 100_000) };
            text += &format!(
                "[[model]]\nname = \"made up {models}\"\nchip = \"chip {at}\"\nsm_count = {sms}\n\
                 boost_clock_mhz = {clock}\nmax_clock_mhz = {clock}\n\
                 printed_fp64_tflops = {}\nprinted_int8_tops = {}\n\
                 int8_sustained_share = {share}\nmemory_gb = {memory}\n\
                 bandwidth_gb_s = {bandwidth}\nnvlink_gb_s = {link}\nsource = \"made up\"\n",
                tera(fp64),
                tera(fastest),
            );
            models += 1;
        }
    }
    text
}

#[test]
fn a_table_at_the_edges_of_its_bounds_is_sized_or_told_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.toml");
    std::fs::write(&path, edges()).unwrap();
    let path = path.to_str().unwrap();
    let told = run(["policy", "models", "--models", path]).expect(OK).stdout;
    assert!(told.starts_with("128 models of 8 chips\n"), "{told}");
    let check = ["policy", "check", "-", "--json", "--models", path];
    let json = run_with_input(check, b"").expect(OK).stdout;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["demands"].as_array().unwrap().len(), 128);
    for at in [0, 31, 64, 127] {
        let model = format!("made up {at}");
        let args = ["challenge", "--policy", "-", "--model", &model, "--models", path];
        let code = run_with_input(args, b"").code;
        assert!(code == Some(OK) || code == Some(COULD_NOT_RUN), "{model}: {code:?}");
    }
}
