//! Key files: an Ed25519 private key as PKCS#8 in PEM (RFC 8410), the form that
//! `openssl genpkey -algorithm ed25519` writes.
//!
//! Guarantees: a new file appears whole, with mode 0600, and never in the place
//! of another; a file is read only if it is a regular one, its owner's alone and
//! that owner is who runs this; what is checked is the open file, not its name.
//! Deliberately lacks: passphrases. An encrypted key is refused; an encrypted
//! disk does the same.

use super::SigningIdentity;
use crate::files;
use ed25519::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::SigningKey;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest key file in bytes; a key has a fraction of it.
const KEY_BYTES_MAX: usize = 4096;

/// The permission bits of everyone but the owner.
const OTHERS: u32 = 0o077;

/// Why no key came from a file, or went into one. Text in two lines: what
/// happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be opened or read.
    #[error(
        "cannot read the key file {path}: {cause}\nCheck the path, or make a key: attest key new --out {path}",
        path = files::shown_path(path)
    )]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A folder, a pipe or a device.
    #[error("{path} is not a regular file\nGive the path of a key file.", path = files::shown_path(path))]
    NotRegular {
        /// Which file.
        path: PathBuf,
    },
    /// Somebody else's file.
    #[error(
        "the key file {path} belongs to user {owner}, and this runs as user {own}\n\
         Use a key of your own, or run this as its owner.",
        path = files::shown_path(path)
    )]
    Owner {
        /// Which file.
        path: PathBuf,
        /// The owner's user id.
        owner: u32,
        /// The effective user id of this process.
        own: u32,
    },
    /// Group or others may do something with it.
    #[error(
        "the key file {path} has mode {mode:04o}: others than its owner may get at it\n\
         Run: chmod 600 {path} (and make a new key if somebody may have read this one)",
        path = files::shown_path(path)
    )]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any key.
    #[error(
        "{path} holds more than {KEY_BYTES_MAX} bytes, so it is not a key\nCheck that it is the file that was meant.",
        path = files::shown_path(path)
    )]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// Not an unencrypted Ed25519 private key.
    #[error(
        "{path} holds no Ed25519 private key: {cause}\n\
         A key file is unencrypted PKCS#8 in PEM: make one with `attest key new`.",
        path = files::shown_path(path)
    )]
    NotAKey {
        /// Which file.
        path: PathBuf,
        /// The decoder's words; none of the file's.
        cause: String,
    },
    /// A key is not replaced: it may be the only one.
    #[error(
        "{path} exists, and a key is never overwritten\nGive another path with --out.",
        path = files::shown_path(path)
    )]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The new file could not be written.
    #[error(
        "cannot write the key file {path}: {cause}\n\
         Nothing was left behind: check the folder, its permissions and free space.",
        path = files::shown_path(path)
    )]
    Write {
        /// Which file.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
}

impl SigningIdentity {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |cause| KeyFileError::Read { path: path.to_owned(), cause };
        let not_a_key = |cause: String| KeyFileError::NotAKey { path: path.to_owned(), cause };
        // Opening a pipe without a writer would wait for one.
        let no_wait = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).custom_flags(no_wait).open(path).map_err(failed)?;
        check_guarded(path, &file.metadata().map_err(failed)?)?;
        // Of full size from the start: a buffer that grows leaves copies behind.
        let mut text = Zeroizing::new(Vec::with_capacity(KEY_BYTES_MAX + 1));
        file.take(KEY_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyFileError::TooLong { path: path.to_owned() });
        }
        let text = str::from_utf8(&text).map_err(|_| not_a_key("not text".to_owned()))?;
        let bytes =
            KeypairBytes::from_pkcs8_pem(text).map_err(|error| not_a_key(error.to_string()))?;
        let key = SigningKey::try_from(&bytes).map_err(|error| not_a_key(error.to_string()))?;
        Ok(Self { key })
    }

    /// Writes the key to a file that does not exist yet, in a folder that does.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] and [`KeyFileError::Write`].
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        let failed = |cause: io::Error| match cause.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
            _ => KeyFileError::Write { path: path.to_owned(), cause },
        };
        // OpenSSL 3.0 reads the form without the public key only.
        let bytes = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        let text = bytes.to_pkcs8_pem(Default::default()).expect("32 bytes encode");
        files::write_new_privately(path, text.as_bytes()).map_err(failed)
    }
}

fn check_guarded(path: &Path, meta: &Metadata) -> Result<(), KeyFileError> {
    let path = || path.to_owned();
    if !meta.is_file() {
        return Err(KeyFileError::NotRegular { path: path() });
    }
    let (owner, own) = (meta.uid(), rustix::process::geteuid().as_raw());
    if owner != own {
        return Err(KeyFileError::Owner { path: path(), owner, own });
    }
    match meta.mode() & 0o7777 {
        mode if mode & OTHERS != 0 => Err(KeyFileError::Mode { path: path(), mode }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// RFC 8032, 7.1, test 1: written as RFC 8410 says.
    const SECRET: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        -----END PRIVATE KEY-----\n";

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    fn refused(text: &str) -> KeyFileError {
        let (_folder, path) = file(text, 0o600);
        SigningIdentity::read(&path).unwrap_err()
    }

    #[test]
    fn the_form_is_that_of_rfc_8410() {
        let (folder, path) = file(PEM, 0o600);
        let identity = SigningIdentity::read(&path).unwrap();
        assert_eq!(identity.public().to_string(), PUBLIC);
        assert_eq!(hex::encode(identity.key.to_bytes()), SECRET);
        let copy = folder.path().join("copy.pem");
        identity.write_new(&copy).unwrap();
        assert_eq!(fs::read_to_string(&copy).unwrap(), PEM);
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn only_its_owner_may_get_at_a_key() {
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o666] {
            let (_folder, path) = file(PEM, mode);
            let error = SigningIdentity::read(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Mode { mode: m, .. } if m == mode), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("{mode:04o}")) && text.contains("chmod 600"), "{text}");
        }
        let (_folder, path) = file(PEM, 0o400);
        SigningIdentity::read(&path).unwrap();
    }

    #[test]
    fn a_key_is_its_users_own() {
        let (_folder, path) = file(PEM, 0o600);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
            eprintln!("skipped: needs root");
            return;
        }
        let error = SigningIdentity::read(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Owner { owner: 12_345, .. }), "{error}");
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        let encrypted = PEM.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let public = PEM.replace("PRIVATE KEY", "PUBLIC KEY");
        // The same octets under X25519's name, and with the last one missing.
        let other_algorithm = PEM.replace("MC4CAQAwBQYDK2Vw", "MC4CAQAwBQYDK2Vu");
        let short = PEM.replace("MC4CAQAwBQYDK2VwBCIEIJ", "MC0CAQAwBQYDK2VwBCEEH5");
        for text in ["", "\u{0}", SECRET, &encrypted, &public, &other_algorithm, &short] {
            let error = refused(text);
            assert!(matches!(error, KeyFileError::NotAKey { .. }), "{text:?}: {error}");
            let said = error.to_string();
            assert_eq!(said.lines().count(), 2, "{said}");
            assert!(!said.contains("J1hsZ3v") && !said.contains(SECRET), "{said}");
        }
        let padded = format!("{PEM}{}", " ".repeat(KEY_BYTES_MAX));
        assert!(matches!(refused(&padded), KeyFileError::TooLong { .. }));
    }

    #[test]
    fn a_public_half_that_is_not_the_secrets_is_refused() {
        let secret_key = SigningKey::from_bytes(&[1; 32]).to_bytes();
        let public = SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes();
        let public_key = Some(ed25519::pkcs8::PublicKeyBytes(public));
        let mixed = KeypairBytes { secret_key, public_key };
        let text = mixed.to_pkcs8_pem(Default::default()).unwrap();
        assert!(matches!(refused(&text), KeyFileError::NotAKey { .. }));
    }

    #[test]
    fn folders_pipes_and_devices_are_no_key_files() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/null")] {
            let error = SigningIdentity::read(path).unwrap_err();
            assert!(matches!(error, KeyFileError::NotRegular { .. }), "{error}");
        }
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
        let error = SigningIdentity::read(&pipe).unwrap_err();
        assert!(matches!(error, KeyFileError::NotRegular { .. }), "{error}");
        let error = SigningIdentity::read(&folder.path().join("missing")).unwrap_err();
        assert!(matches!(error, KeyFileError::Read { .. }), "{error}");
    }

    #[test]
    fn a_key_never_takes_the_place_of_a_file() {
        let (folder, path) = file("precious", 0o644);
        let identity = SigningIdentity::generate().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for taken in [&path, &link] {
            let error = identity.write_new(taken).unwrap_err();
            assert!(matches!(error, KeyFileError::Exists { .. }), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let missing = folder.path().join("no/key.pem");
        let error = identity.write_new(&missing).unwrap_err();
        assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
