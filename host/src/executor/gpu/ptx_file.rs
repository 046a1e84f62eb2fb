//! PTX text from a file, as a further target beside the embedded ones: what
//! another compiler made of the same kernels, to be checked and timed.
//!
//! A file is read once and kept until the process ends, as the embedded texts
//! are, so that a [`super::Variant`] of it is as easy to hand around as theirs.
//! Deliberately lacks: any look at the instructions. The driver compiles them,
//! and the checks compare what they compute.

use super::ptx_set::PTX_FILES_MAX;
use crate::files::shown_path;
use gpu_kernels::declaration::{GemmKernel, IntegerKernel};
use gpu_kernels::kernels::{INT8_FILL, KERNELS};
use gpu_kernels::table;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest file that is read, bytes.
pub const PTX_BYTES_MAX: u64 = 16 << 20;

/// The text of a PTX file, and the kernels in it that can be launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PtxFile {
    name: &'static str,
    text: &'static str,
    gemms: &'static [GemmKernel],
    integers: &'static [IntegerKernel],
}

/// Why a file is not used. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum PtxFileError {
    /// It could not be read.
    #[error("cannot read {path}: {cause}\nCheck the path and its permissions.", path = shown_path(path))]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A folder that holds none.
    #[error("{path} holds no .ptx file\nGive a PTX file, or the folder that holds them.", path = shown_path(path))]
    EmptyFolder {
        /// Which folder.
        path: PathBuf,
    },
    /// A folder that holds too many.
    #[error("{path} holds more than {max} .ptx files\nName the files that are meant.", path = shown_path(path), max = PTX_FILES_MAX)]
    TooManyFiles {
        /// Which folder.
        path: PathBuf,
    },
    /// It is longer than any set of kernels.
    #[error("{path} holds more than {PTX_BYTES_MAX} bytes, the most that a PTX file may have\nCheck that it is the file that was meant.", path = shown_path(path))]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// It is not UTF-8.
    #[error("{path} is not UTF-8 text: the bytes are invalid from offset {valid_up_to}\nGive PTX text, not a cubin or an archive.", path = shown_path(path))]
    NotUtf8 {
        /// Which file.
        path: PathBuf,
        /// Offset of the first invalid byte.
        valid_up_to: usize,
    },
    /// It is text without kernels.
    #[error("{path} has no \".visible .entry\": it holds no kernel\nGive PTX text as `cargo xtask ptx` writes it.", path = shown_path(path))]
    NoEntry {
        /// Which file.
        path: PathBuf,
    },
    /// Its kernels cannot run an iteration.
    #[error("{path} lacks {lacking}; it has {has}\nCompile all kernels of gpu-kernels into one file.", path = shown_path(path))]
    Incomplete {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        lacking: String,
        /// Entry points that are there.
        has: String,
    },
    /// A kernel was compiled for other blocks than it would be launched with.
    #[error("{kernel} in {path} is compiled for blocks of {got} threads and launched with {expected}\nCompile it from the sources that this program was built with.", path = shown_path(path))]
    Threads {
        /// Which file.
        path: PathBuf,
        /// Which kernel.
        kernel: String,
        /// Threads that it is launched with.
        expected: u32,
        /// Threads that its `.maxntid` names.
        got: u32,
    },
}

impl PtxFile {
    /// Reads the file at `path`. Its name, without folders and `.ptx`, names the target.
    ///
    /// # Errors
    /// [`PtxFileError`].
    pub fn read(path: &Path) -> Result<Self, PtxFileError> {
        let stem = path.file_stem().unwrap_or(path.as_os_str());
        Self::read_as(path, stem.to_string_lossy().into_owned())
    }

    /// Reads the file at `path`; `name` names the target.
    pub(super) fn read_as(path: &Path, name: String) -> Result<Self, PtxFileError> {
        let failed = |cause| PtxFileError::Read { path: path.to_owned(), cause };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(PTX_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > PTX_BYTES_MAX {
            return Err(PtxFileError::TooLong { path: path.to_owned() });
        }
        let text = String::from_utf8(bytes).map_err(|error| PtxFileError::NotUtf8 {
            path: path.to_owned(),
            valid_up_to: error.utf8_error().valid_up_to(),
        })?;
        let gemms = usable(path, &text)?;
        let found = entries(&text);
        let has = |name: &str| found.iter().any(|entry| entry.name == name);
        let integers: Vec<IntegerKernel> =
            table::integer_products().filter(|of| has(of.name) && has(INT8_FILL.name)).collect();
        Ok(Self {
            name: Box::leak(name.into_boxed_str()),
            text: Box::leak(text.into_boxed_str()),
            gemms: Box::leak(gemms.into_boxed_slice()),
            integers: Box::leak(integers.into_boxed_slice()),
        })
    }

    /// What the target is called.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// The whole text.
    pub fn text(self) -> &'static str {
        self.text
    }

    /// Its product kernels, the fastest first; at least one.
    pub fn gemms(self) -> &'static [GemmKernel] {
        self.gemms
    }

    /// Its kernels of integer products, the fastest first; none if it lacks what draws
    /// their operands.
    pub fn integer_products(self) -> &'static [IntegerKernel] {
        self.integers
    }

    /// What its `.target` names, such as "sm_90a"; empty if there is none.
    pub fn compiled_for(self) -> &'static str {
        let line = self.text.lines().find_map(|line| line.trim().strip_prefix(".target "));
        line.and_then(|rest| rest.split([',', ' ']).find(|word| !word.is_empty())).unwrap_or("")
    }
}

/// An entry point of PTX text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Threads of a block in `.maxntid`, if it says so.
    pub threads: Option<u32>,
}

/// The entry points of `text`, in its order. Comments are not looked into.
pub(super) fn entries(text: &str) -> Vec<Entry<'_>> {
    const MARK: &str = ".visible .entry";
    let mut found = Vec::new();
    for (at, _) in text.match_indices(MARK) {
        let line = text[..at].rsplit('\n').next().unwrap_or_default();
        let rest = &text[at + MARK.len()..];
        let name = rest.trim_start();
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || "_$%".contains(c)));
        let name = &name[..end.unwrap_or(name.len())];
        if line.contains("//") || name.is_empty() || !rest.starts_with(char::is_whitespace) {
            continue;
        }
        // Directives stand between the parameters and the body.
        let head = rest.split('{').next().unwrap_or_default();
        let threads = head.split_once(".maxntid").and_then(|(_, list)| {
            let list = list.split(['.', '\n']).next()?;
            list.split(',').try_fold(1_u32, |all, n| all.checked_mul(n.trim().parse().ok()?))
        });
        found.push(Entry { name, threads });
    }
    found
}

/// The product kernels of a text that can run whole iterations.
fn usable(path: &Path, text: &str) -> Result<Vec<GemmKernel>, PtxFileError> {
    let path = || path.to_owned();
    let found = entries(text);
    if found.is_empty() {
        return Err(PtxFileError::NoEntry { path: path() });
    }
    let entry = |name: &str| found.iter().find(|entry| entry.name == name);
    let incomplete = |lacking: String| {
        let names: Vec<&str> = found.iter().map(|entry| entry.name).collect();
        PtxFileError::Incomplete { path: path(), lacking, has: names.join(", ") }
    };
    let mut support = KERNELS.iter().filter(|kernel| kernel.supports_products());
    if let Some(kernel) = support.find(|kernel| entry(kernel.name).is_none()) {
        return Err(incomplete(kernel.name.to_owned()));
    }
    let gemms: Vec<GemmKernel> =
        table::products().filter(|gemm| entry(gemm.name).is_some()).collect();
    if gemms.is_empty() {
        let names: Vec<&str> = table::products().map(|gemm| gemm.name).collect();
        return Err(incomplete(format!("any of {}", names.join(", "))));
    }
    for kernel in KERNELS {
        if let Some(got) = entry(kernel.name).and_then(|entry| entry.threads)
            && got != kernel.threads
        {
            let (kernel, expected) = (kernel.name.to_owned(), kernel.threads);
            return Err(PtxFileError::Threads { path: path(), kernel, expected, got });
        }
    }
    Ok(gemms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpu_kernels::kernels::{GEMM_FMA, GEMM_M8N8K4, PEAK_FMA};
    use gpu_kernels::target::Target;

    fn text(entries: &[(&str, u32)]) -> String {
        let entry = |(name, threads): &(&str, u32)| {
            format!(
                ".visible .entry {name}(\n\t.param .align 8 .b8 {name}_param_0[48]\n)\n\
                 .maxntid {threads}, 1, 1\n.minnctapersm 1\n{{\n\tret;\n}}\n"
            )
        };
        let head = ".version 7.0\n.target sm_70\n.address_size 64\n".to_owned();
        head + &entries.iter().map(entry).collect::<String>()
    }

    const WHOLE: [(&str, u32); 4] =
        [("fill", 256), ("merkle", 256), ("chain_step", 256), ("gemm_fma", 256)];

    fn read(bytes: &[u8]) -> Result<PtxFile, PtxFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.ptx");
        std::fs::write(&path, bytes).unwrap();
        PtxFile::read(&path)
    }

    #[test]
    fn entry_points_are_found_with_their_threads() {
        // Rust-CUDA's text differs in white space, and directives may be absent.
        let text = "// .visible .entry nothing(\n.visible .entry fill (\n.param .u64 p)\n{ ret; }\n\
                    .visible .entry gemm_fma(.param .u64 p)\n.maxntid 256,1,1\n.reqntid 4\n{ }\n\
                    .visible .func f(.param .u64 p) { }\n.visible .entry two(\n)\n.maxntid 8, 4\n{}";
        let entry = |name, threads| Entry { name, threads };
        let expected = [entry("fill", None), entry("gemm_fma", Some(256)), entry("two", Some(32))];
        assert_eq!(entries(text), expected);
        assert!(entries(".version 8.0").is_empty());
    }

    #[test]
    fn the_committed_texts_have_the_kernels_that_their_targets_promise() {
        for target in Target::ALL {
            let found = entries(target.ptx());
            for kernel in KERNELS {
                let entry = found.iter().find(|entry| entry.name == kernel.name);
                let declared = kernel.targets.include(target).then_some(kernel.threads);
                assert_eq!(entry.and_then(|entry| entry.threads), declared, "{}", kernel.name);
            }
            assert!(found.iter().all(|entry| table::named(entry.name).is_some()), "{found:?}");
        }
    }

    #[test]
    fn a_whole_file_gives_its_product_kernels() {
        let mut entries = WHOLE.to_vec();
        entries.push((GEMM_M8N8K4.name, GEMM_M8N8K4.threads));
        entries.push((PEAK_FMA.name, PEAK_FMA.threads));
        let file = read(text(&entries).as_bytes()).unwrap();
        assert_eq!(file.gemms(), [GEMM_M8N8K4, GEMM_FMA], "the fastest first");
        assert_eq!(file.compiled_for(), "sm_70");
        assert_eq!(file.name(), "other");
        assert!(file.text().starts_with(".version"));
    }

    #[test]
    fn a_file_that_cannot_serve_says_why_and_what_to_try() {
        let wrong_threads = [&WHOLE[..3], &[("gemm_fma", 128)]].concat();
        let cases: [(Vec<u8>, &str); 6] = [
            (b"\x7fELF\xff".to_vec(), "not UTF-8"),
            (b"no kernels".to_vec(), "no \".visible .entry\""),
            (vec![b' '; PTX_BYTES_MAX as usize + 1], "more than 16777216 bytes"),
            (text(&WHOLE[1..]).into_bytes(), "lacks fill; it has merkle, chain_step, gemm_fma"),
            (text(&WHOLE[..3]).into_bytes(), "lacks any of gemm_m16n8k16, "),
            (text(&wrong_threads).into_bytes(), "blocks of 128 threads and launched with 256"),
        ];
        for (bytes, expected) in cases {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected} in {error}");
            assert_eq!(error.lines().count(), 2, "{error}");
        }
        let error = PtxFile::read(Path::new("/nowhere/x.ptx")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/x.ptx"), "{error}");
    }
}
