//! Key files: whatever is in one, it is a key or refused in two lines.
#![no_main]

use attest::identity::SigningIdentity;
use libfuzzer_sys::fuzz_target;
use std::io::{Seek as _, Write as _};
use std::sync::{LazyLock, Mutex};
use tempfile::NamedTempFile;

static FILE: LazyLock<Mutex<NamedTempFile>> =
    LazyLock::new(|| Mutex::new(NamedTempFile::new().expect("a file of mode 0600")));

fuzz_target!(|data: &[u8]| {
    let mut file = FILE.lock().expect("nobody panics while it holds this");
    file.as_file().set_len(0).expect("cut");
    file.rewind().expect("at its start");
    file.write_all(data).expect("written");
    match SigningIdentity::read(file.path()) {
        Ok(identity) => {
            assert_eq!(identity.public(), SigningIdentity::read(file.path()).unwrap().public())
        }
        Err(error) => assert_eq!(error.to_string().lines().count(), 2, "{error}"),
    }
});
