//! The host that a run was on, by a name that tells hosts apart and no more.
//!
//! Guarantees: the system's own machine id leaves this module as a digest only,
//! as its manual (machine-id(5)) asks; a system without one is a fact that is
//! absent.
//! Deliberately lacks: proof. Root writes that file, and containers of one image
//! may share it.

use crate::protocol::digest::Digest;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Where the system keeps its id.
const FILE: &str = "/etc/machine-id";
/// What the digest is of, before the id: no other program's digest is the same.
const LABEL: &[u8] = b"attest machine id v1\0";
/// 32 hex digits and a line break; one byte more shows that a file is longer.
const FILE_BYTES_MAX: u64 = 34;

/// The first 16 bytes of SHA-256 over [`LABEL`] and the id in `file`, in hex;
/// `None` if there is no file, or no id in it.
fn machine_id(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(FILE_BYTES_MAX).read_to_string(&mut text).ok()?;
    let id = text.strip_suffix('\n').unwrap_or(&text);
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    // A system that has not been set up has zeros, or "uninitialized".
    let is_set = id.bytes().any(|byte| byte != b'0');
    let digest = Digest::of(&[LABEL, id.to_ascii_lowercase().as_bytes()]);
    (is_id && is_set).then(|| hex::encode(&digest.0[..16]))
}

/// The name of the host that this process is on, as evidence has it (`machine_id`); `None` if
/// it has no id.
pub fn own_machine_id() -> Option<String> {
    machine_id(Path::new(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: impl AsRef<[u8]>) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine-id");
        std::fs::write(&path, text).unwrap();
        machine_id(&path)
    }

    #[test]
    fn hosts_are_told_apart_without_their_ids() {
        let [a, b] = ["4f1c0e6a5d5b4c0f9b7a6c5d4e3f2a1b", "4f1c0e6a5d5b4c0f9b7a6c5d4e3f2a1c"];
        let name = of(a).unwrap();
        assert!(name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_ne!(name, a);
        assert_ne!(of(b).unwrap(), name);
        assert_eq!(of(format!("{a}\n")).unwrap(), name);
        assert_eq!(of(a.to_uppercase()).unwrap(), name);
    }

    #[test]
    fn a_system_without_an_id_has_no_name() {
        let zeros = "0".repeat(32);
        for text in ["", "\n", "uninitialized\n", "4f1c0e6a", &zeros, &"a".repeat(33), "é"] {
            assert_eq!(of(text), None, "{text:?}");
        }
        assert_eq!(of([0xff; 32]), None);
        assert_eq!(machine_id(Path::new("/no/such/file")), None);
        assert_eq!(machine_id(Path::new("/dev/zero")), None);
    }
}
