//! Certificates of processors from files.
//!
//! Guarantees: at most [`CERTIFICATES_MAX`] files of bounded length are read.
//! Deliberately lacks: trust in them: they count for what the makers' roots signed.

use super::folder::{bytes_of, files_in};
use attest_device_report::CHAIN_BYTES_MAX;
use attest_device_report::machine::ders_in;
use std::io;
use std::path::{Path, PathBuf};

/// Most files of a folder.
pub const CERTIFICATES_MAX: usize = 256;

/// How certificates' files are called, as AMD's key service and others name them.
const ENDINGS: [&str; 5] = ["der", "cer", "crt", "cert", "pem"];

/// Why certificates cannot be used. Text in two lines: what happened, what to try.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The folder, or a file, cannot be read.
    #[error("cannot read {}: {cause}\nGive a certificate, or a folder with some (*.der, *.cer, *.crt, *.pem).", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// There is none in it.
    #[error("{} has no certificate (*.der, *.cer, *.crt, *.pem)\nFetch those of the miners' processors.", path.display())]
    None {
        /// The folder.
        path: PathBuf,
    },
    /// There are more than are read.
    #[error("{} has more than {CERTIFICATES_MAX} certificates\nKeep those of your miners' processors.", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// A file is too long, or neither DER nor PEM.
    #[error("{} is no certificate\nGive certificates in DER or PEM.", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The certificates, in DER, of a file or of a folder's files.
///
/// # Errors
/// [`CertificateError`].
pub fn certificates_in(place: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| CertificateError::Unreadable { path, cause }
    };
    let paths = match place.is_dir() {
        true => files_in(place, &ENDINGS, CERTIFICATES_MAX).map_err(unreadable(place))?,
        false => Some(vec![place.to_owned()]),
    };
    let paths = paths.ok_or_else(|| CertificateError::TooMany { path: place.to_owned() })?;
    let mut ders = Vec::new();
    for path in paths {
        let bytes = bytes_of(&path, CHAIN_BYTES_MAX).map_err(unreadable(&path))?;
        ders.extend(ders_in(&bytes).map_err(|_| CertificateError::Malformed { path })?);
    }
    match ders.is_empty() {
        true => Err(CertificateError::None { path: place.to_owned() }),
        false => Ok(ders),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use attest_device_report::machine::ROOTS;
    use std::fs;

    #[test]
    fn certificates_come_from_files_and_folders() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let code = |place: &Path| certificates_in(place).unwrap_err().to_string();
        assert!(code(&at("")).contains("has no certificate"));
        assert!(code(&at("absent")).contains("cannot read"));
        fs::write(at("readme.txt"), "hello").unwrap();
        fs::write(at("a.der"), ROOTS[0]).unwrap();
        assert_eq!(certificates_in(&at("")).unwrap(), [ROOTS[0].to_vec()]);
        assert_eq!(certificates_in(&at("a.der")).unwrap(), [ROOTS[0].to_vec()]);
        fs::write(at("b.pem"), "hello").unwrap();
        assert!(code(&at("")).contains("b.pem is no certificate"));
        fs::write(at("b.pem"), vec![0x30; CHAIN_BYTES_MAX + 1]).unwrap();
        assert!(code(&at("")).contains("b.pem is no certificate"));
    }
}
