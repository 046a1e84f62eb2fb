//! A CUDA folder as Rust-CUDA's build opens it: which files it takes, and of
//! which CUDA they are.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Every file that is opened, from the folder: by bindgen, by the linker, by the
/// loader, and copied into the backend.
pub const FILES: [&str; 6] = [
    "include/cuda.h",
    "include/cuda_runtime_api.h",
    "nvvm/include/nvvm.h",
    "nvvm/lib64/libnvvm.so",
    "nvvm/lib64/libnvvm.so.4",
    "nvvm/libdevice/libdevice.10.bc",
];

/// A folder with some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cuda {
    /// Its root.
    pub folder: PathBuf,
    /// The files that it lacks.
    pub lacks: Vec<&'static str>,
}

/// The folder that a build takes: the first that has everything, else the first
/// that has anything.
pub fn find() -> Option<Cuda> {
    let all: Vec<Cuda> = folders().filter_map(examine).collect();
    all.iter().find(|cuda| cuda.lacks.is_empty()).or(all.first()).cloned()
}

/// The folders in which the backend's own build looks for CUDA, in its order.
fn folders() -> impl Iterator<Item = PathBuf> {
    let named = ["CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"];
    let named = named.into_iter().filter_map(env::var_os).map(PathBuf::from);
    named.chain(["/usr/lib/cuda", "/usr/local/cuda", "/opt/cuda"].map(PathBuf::from))
}

/// What `folder` has, if it has any of it.
fn examine(folder: PathBuf) -> Option<Cuda> {
    let lacks: Vec<_> = FILES.into_iter().filter(|file| !folder.join(file).is_file()).collect();
    (lacks.len() < FILES.len()).then_some(Cuda { folder, lacks })
}

impl Cuda {
    /// `CUDA 13.0, libNVVM V13.0.88`: what the header says, and what the library
    /// says. The library chooses the PTX's `.version`.
    pub fn version(&self) -> String {
        let header = fs::read_to_string(self.folder.join("include/cuda.h")).unwrap_or_default();
        let cuda = parse_version(&header).unwrap_or_else(|| "CUDA of unknown version".to_owned());
        let library = fs::read(self.folder.join("nvvm/lib64/libnvvm.so.4")).unwrap_or_default();
        let nvvm = after(&library, b"Cuda compilation tools, release ")
            .and_then(|text| text.split(' ').find(|word| word.starts_with('V')))
            .unwrap_or("of unknown version");
        format!("{cuda}, libNVVM {nvvm}")
    }
}

/// `CUDA 13.0`, from `#define CUDA_VERSION 13000`.
fn parse_version(header: &str) -> Option<String> {
    let line = header.lines().find_map(|line| line.strip_prefix("#define CUDA_VERSION "))?;
    let number: u32 = line.trim().parse().ok()?;
    Some(format!("CUDA {}.{}", number / 1000, number / 10 % 100))
}

/// The text that follows `mark` in a library: up to the zero byte, at most 40
/// bytes.
pub fn after<'a>(library: &'a [u8], mark: &[u8]) -> Option<&'a str> {
    let at = library.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let rest = &library[at..library.len().min(at + 40)];
    let end = rest.iter().position(|byte| !(b' '..0x7f).contains(byte)).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()
}

/// What a folder lacks, and where that may be.
pub fn how_to_complete(lacks: &[&str]) -> String {
    let pip = lacks.iter().all(|file| file.starts_with("nvvm/"));
    let more = if pip {
        "; NVIDIA's Python packages have them in other places: docs/kernels.md"
    } else {
        ""
    };
    format!("lacks {}{more}", lacks.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with all files but `without`.
    fn folder(without: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES.iter().filter(|file| !without.contains(file)) {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn a_folder_without_one_file_is_not_complete() {
        assert_eq!(examine(folder(&[]).path().to_owned()).unwrap().lacks, [""; 0]);
        for file in FILES {
            let folder = folder(&[file]);
            assert_eq!(examine(folder.path().to_owned()).unwrap().lacks, [file]);
        }
        assert_eq!(examine(folder(&FILES).path().to_owned()), None);
        let text = how_to_complete(&["nvvm/include/nvvm.h"]);
        assert!(
            text.starts_with("lacks nvvm/include/nvvm.h; ") && text.contains("Python"),
            "{text}"
        );
    }

    #[test]
    fn versions_are_the_headers_and_the_librarys() {
        let folder = folder(&[]);
        let write = |file: &str, text: &[u8]| fs::write(folder.path().join(file), text).unwrap();
        let cuda = examine(folder.path().to_owned()).unwrap();
        assert_eq!(cuda.version(), "CUDA of unknown version, libNVVM of unknown version");
        write("include/cuda.h", b"x\n#define CUDA_VERSION 12080\n");
        write(
            "nvvm/lib64/libnvvm.so.4",
            b"\x7fELF\0Cuda compilation tools, release 13.0, V13.0.88\0LLVM7.0.1\0",
        );
        assert_eq!(cuda.version(), "CUDA 12.8, libNVVM V13.0.88");
        assert_eq!(parse_version("#define CUDA_VERSION 13000").unwrap(), "CUDA 13.0");
        assert_eq!(parse_version("#define CUDA_VERSION_X 1"), None);
    }

    #[test]
    fn text_in_a_library_ends_where_it_ends() {
        assert_eq!(after(b"aLLVM7.1.0\0b", b"LLVM7"), Some(".1.0"));
        assert_eq!(after(b"aLLVM7", b"LLVM7"), Some(""));
        assert_eq!(after(b"a", b"LLVM7"), None);
        assert_eq!(after(&[b"x".as_slice(), &[b'7'; 99]].concat(), b"x").unwrap().len(), 40);
    }
}
