//! A quote of this virtual machine, by the kernel's configfs-tsm.
//!
//! Guarantees: what is handed on is within the lengths that a result may carry, and of one
//! request: if another process wrote to the entry meanwhile, there is none.
//! Deliberately lacks: any check of it; the verifier makes them. Deadlines: a kernel may wait
//! for its host, so callers ask on a thread that they can leave behind.

use crate::protocol::machine_report::{AUXILIARY_BYTES_MAX, MachineKind, QUOTE_BYTES_MAX};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the kernel has its entries.
const ENTRIES: &str = "/sys/kernel/config/tsm/report";
/// Longest text of an attribute, bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Where quotes are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Tsm {
    /// The folder of entries.
    pub entries: &'static str,
    /// Makes an entry. The kernel fills the folder with its attributes.
    pub make: fn(&Path) -> io::Result<()>,
}

impl Default for Tsm {
    fn default() -> Self {
        Self { entries: ENTRIES, make: |path| fs::create_dir(path) }
    }
}

/// What a processor signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// What it is.
    pub kind: MachineKind,
    /// outblob.
    pub quote: Vec<u8>,
    /// auxblob; empty if there is none.
    pub auxiliary: Vec<u8>,
}

impl Tsm {
    /// What this machine's quotes are.
    ///
    /// # Errors
    /// The kernel's reason, such as that it is no confidential virtual machine.
    pub fn kind(&self) -> Result<MachineKind, String> {
        Entry::make(self)?.kind()
    }

    /// Asks for a quote with `report_data`.
    ///
    /// # Errors
    /// The kernel's reason.
    pub fn ask(&self, report_data: &[u8; 64]) -> Result<Quote, String> {
        let entry = Entry::make(self)?;
        let kind = entry.kind()?;
        let path = entry.path.join("inblob");
        fs::write(&path, report_data).map_err(|error| said(&path, &error))?;
        // It counts what is written to the entry.
        let generation = entry.text("generation")?;
        let quote = entry.read("outblob", QUOTE_BYTES_MAX)?;
        // Kernels without any auxiliary data have no such attribute.
        let auxiliary = match entry.path.join("auxblob").exists() {
            true => entry.read("auxblob", AUXILIARY_BYTES_MAX)?,
            false => Vec::new(),
        };
        match entry.text("generation")? {
            after if after == generation => Ok(Quote { kind, quote, auxiliary }),
            after => Err(format!(
                "{}: another process wrote to it: generation {generation}, then {after}",
                entry.path.display()
            )),
        }
    }
}

/// An entry of this process's own, removed at the end.
struct Entry {
    path: PathBuf,
}

impl Entry {
    fn make(tsm: &Tsm) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("attest-{}-{number}", std::process::id());
        let path = Path::new(tsm.entries).join(name);
        // Without the folder the error would be about a name that nobody knows.
        fs::metadata(tsm.entries).map_err(|error| said(Path::new(tsm.entries), &error))?;
        (tsm.make)(&path).map_err(|error| said(&path, &error))?;
        Ok(Self { path })
    }

    fn kind(&self) -> Result<MachineKind, String> {
        match self.text("provider")?.as_str() {
            "sev_guest" => Ok(MachineKind::SevSnp),
            "tdx_guest" => Ok(MachineKind::Tdx),
            other => Err(format!("quotes of {other:?} are not known")),
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let bytes = self.read(name, TEXT_BYTES_MAX)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn read(&self, name: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path)
            .and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|error| said(&path, &error))?;
        match bytes.len() <= bytes_max {
            true => Ok(bytes),
            false => Err(format!("{}: more than {bytes_max} bytes", path.display())),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.path) {
            tracing::debug!("{}", said(&self.path, &error));
        }
    }
}

fn said(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
