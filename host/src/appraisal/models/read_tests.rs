//! What a table of models may be, and what it may not.

use super::*;

const CHIP: &str = "[[chip]]
name = \"GH100\"
compute_capabilities = [\"9.0\"]
fp64_fma_per_sm_clock = 128
int8_mac_per_sm_clock = 4096
fp16_fma_per_sm_clock = 2048
source = \"a paper\"
";

const MODEL: &str = "[[model]]
name = \"NVIDIA H200\"
chip = \"GH100\"
sm_count = 132
boost_clock_mhz = 1980
max_clock_mhz = 1980
printed_fp64_tflops = 67.0
printed_int8_tops = 1979
int8_sustained_share = 0.65
memory_gb = 141
bandwidth_gb_s = 4800
source = \"a datasheet\"
";

fn table() -> String {
    format!("{CHIP}{MODEL}")
}

fn read(text: &str) -> Result<ModelTable, ModelsError> {
    ModelTable::from_toml(text, "m.toml")
}

/// The error of the table with `old` replaced by `new`: two lines, bounded, printable.
fn error(old: &str, new: &str) -> String {
    let text = table();
    assert!(text.contains(old), "{old}");
    refused(&text.replacen(old, new, 1))
}

fn refused(text: &str) -> String {
    let error = match read(text) {
        Ok(_) => panic!("it is taken: {text:.400}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(error.lines().count(), 2, "{error}");
    assert!(error.len() < 2000, "{}", error.len());
    assert!(!error.contains('\u{7}') && !error.contains('\u{1b}'), "{error:?}");
    error
}

#[test]
fn the_built_in_table_is_read_and_every_row_has_a_source() {
    let table = ModelTable::built_in();
    assert_eq!((table.models().len(), table.chips().len()), (33, 9));
    // A value that changes changes the verdicts of validators: let it be on purpose.
    assert_eq!(
        table.digest().to_string(),
        "ecc43ac5e54d13c9b1d133d21fde13eba3b7f7d409cdbe4df6c80ee54bf875a1"
    );
    assert_eq!(table.foreign_digest(), None);
    for source in table.models().iter().map(|model| &model.source) {
        assert!(
            source.contains("datasheet") || source.contains("paper") || source.contains("page")
        );
    }
}

#[test]
fn a_small_table_is_read_to_the_letter() {
    let read = read(&table()).unwrap();
    let [model] = read.models() else { panic!("one row") };
    let own = super::super::all().iter().find(|own| own.name == "NVIDIA H200").unwrap();
    let bare = |model: &Model| Model { source: String::new(), nvlink_gb_s: None, ..model.clone() };
    assert_eq!(bare(model), bare(own));
    assert_eq!(read.foreign_digest(), Some(read.digest()));
}

#[test]
fn the_digest_is_of_numbers_and_not_of_their_order_or_words() {
    let digest = |text: &str| read(text).unwrap().digest();
    let second = MODEL.replace("H200", "H201");
    let both = digest(&format!("{CHIP}{MODEL}{second}"));
    assert_eq!(digest(&format!("# mine\n{second}\n{MODEL}{CHIP}")), both);
    assert_eq!(digest(&format!("{CHIP}{MODEL}{second}").replace("a datasheet", "elsewhere")), both);
    assert_ne!(digest(&table()), both);
    let first = digest(&table());
    for (old, new) in [
        ("= 141", "= 142"),
        ("= 4800", "= 4801"),
        ("= 0.65", "= 0.66"),
        ("max_clock_mhz = 1980", "max_clock_mhz = 1981"),
        ("\"9.0\"", "\"9.1\""),
        ("printed_fp64_tflops = 67.0", "printed_fp64_tflops = 66.9"),
        ("fp16_fma_per_sm_clock = 2048", "fp16_fma_per_sm_clock = 2047"),
        ("memory_gb", "nvlink_gb_s = 450\nmemory_gb"),
    ] {
        assert_ne!(digest(&table().replacen(old, new, 1)), first, "{new}");
    }
}

#[test]
fn errors_name_file_line_and_column_and_what_is_allowed() {
    assert_eq!(
        error("sm_count", "sm_cuont"),
        "m.toml:11:1: unknown field `sm_cuont`, in `sm_cuont = 132`\nAllowed is one of `name`, \
         `chip`, `sm_count`, `boost_clock_mhz`, `max_clock_mhz`, `printed_fp64_tflops`, \
         `printed_int8_tops`, `int8_sustained_share`, `memory_gb`, `bandwidth_gb_s`, \
         `nvlink_gb_s`, `source`."
    );
    assert_eq!(
        error("memory_gb = 141", "memory_gb = 0"),
        "m.toml:17:13: memory_gb is 0, in `memory_gb = 0`\nAllowed is a number from 1 to 65536."
    );
    assert!(
        error("chip = \"GH100\"", "chip = \"GH1\"").starts_with("m.toml:10:8: there is no chip")
    );
    assert!(error("memory_gb = 141\n", "").contains("missing field `memory_gb`"));
    assert!(error("[[model]]", "[[model]").starts_with("m.toml:8:"));
}

#[test]
fn absurd_numbers_are_refused() {
    for (field, values) in [
        ("sm_count = 132", &["0", "-1", "4097", "1.5", "99999999999", "\"132\"", "nan"][..]),
        ("boost_clock_mhz = 1980", &["0", "99", "10001", "inf"]),
        ("max_clock_mhz = 1980", &["1979", "0", "10001"]),
        ("printed_fp64_tflops = 67.0", &["nan", "-nan", "inf", "-67", "0", "6.7", "670", "1e300"]),
        ("printed_int8_tops = 1979", &["nan", "inf", "0", "197.9", "3958", "-1979"]),
        ("int8_sustained_share = 0.65", &["nan", "0", "-0.5", "0.81", "1", "65", "inf"]),
        ("memory_gb = 141", &["0", "65537", "141.5", "18446744073709551616"]),
        ("bandwidth_gb_s = 4800", &["0", "1000001", "-4800"]),
        ("fp64_fma_per_sm_clock = 128", &["0", "4097", "64"]),
        ("int8_mac_per_sm_clock = 4096", &["0", "262145", "512"]),
        ("fp16_fma_per_sm_clock = 2048", &["131073", "-1", "nan"]),
    ] {
        let name = field.split(' ').next().unwrap();
        for value in values {
            let text = error(field, &format!("{name} = {value}"));
            assert!(text.starts_with("m.toml:"), "{text}");
        }
    }
    let linked = |value: &str| format!("memory_gb = 141\nnvlink_gb_s = {value}");
    for value in ["0", "100001", "nan"] {
        error("memory_gb = 141", &linked(value));
    }
}

#[test]
fn names_that_collide_are_refused() {
    for other in
        ["NVIDIA H200", "H200", "nvidia h200", "NVIDIA H 200", "NVIDIA H-200", "NVIDIAH200"]
    {
        let second = MODEL.replace("NVIDIA H200", other);
        let error = refused(&format!("{CHIP}{MODEL}{second}"));
        assert!(error.starts_with("m.toml:21:8: "), "{other}: {error}");
        assert!(error.contains("entry 0 has it already"), "{other}: {error}");
    }
    let chip = CHIP.replace("9.0", "9.1").replace("GH100", "gh 100");
    assert!(refused(&format!("{CHIP}{chip}{MODEL}")).contains("entry 0 has it already"));
    let chip = CHIP.replace("GH100", "GH200");
    assert!(refused(&format!("{CHIP}{chip}{MODEL}")).contains("9.0 is that of chip 0 already"));
    for odd in
        ["", " ", " H200", "H200 ", "H  200", "H\\t200", "H\\u0007", "H２00", "NVIDIA H200\\n"]
    {
        error("name = \"NVIDIA H200\"", &format!("name = \"{odd}\""));
    }
    error("name = \"NVIDIA H200\"", &format!("name = \"{}\"", "H".repeat(97)));
    for odd in ["[]", "[\"9\"]", "[\"9.0\", \"9.0\"]", "[\"a.b\"]", "[\"9.0.1\"]", "[\"900.0\"]"] {
        error("[\"9.0\"]", odd);
    }
    // The parser sees keys that stand twice.
    error("sm_count = 132", "sm_count = 132\nsm_count = 132");
}

#[test]
fn sources_are_required() {
    for odd in ["\"\"".to_owned(), "\"  \"".to_owned(), format!("\"{}\"", "x".repeat(2001))] {
        assert!(
            error("source = \"a datasheet\"", &format!("source = {odd}")).contains("2000 bytes")
        );
        assert!(error("source = \"a paper\"", &format!("source = {odd}")).contains("2000 bytes"));
    }
    assert!(error("source = \"a paper\"\n", "").contains("missing field `source`"));
}

#[test]
fn sizes_and_counts_are_bounded() {
    assert!(refused(&"#".repeat(MODELS_BYTES_MAX + 1)).contains("at most 262144"));
    for (text, entries) in [
        ("chip = []\nmodel = []\n".to_owned(), "0 entries of `chip`"),
        (format!("model = []\n{CHIP}"), "0 entries of `model`"),
        (CHIP.repeat(65) + MODEL, "65 entries of `chip`"),
        (CHIP.to_owned() + &MODEL.repeat(513), "513 entries of `model`"),
    ] {
        assert!(refused(&text).contains(entries));
    }
    refused("");
    refused(&format!("x = {}", "[".repeat(100_000)));
    refused(&format!("{} = 1\n", "é\\u{7}\u{1b}".repeat(3000)));
}
