//! A folder that answers as configfs-tsm is documented to.

use super::*;
use crate::protocol::machine_report::{MachineKind, QUOTE_BYTES_MAX};
use std::fs;
use std::io;
use std::path::Path;
use std::thread;

/// A folder that lasts, as the kernel's does.
fn entries() -> &'static str {
    let folder = tempfile::tempdir().unwrap().keep();
    folder.to_str().unwrap().to_owned().leak()
}

/// Writes the attributes of an entry, with `outblob` as `quote` leaves it.
fn entry(path: &Path, provider: &str, quote: &[u8]) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::write(path.join("provider"), format!("{provider}\n"))?;
    fs::write(path.join("generation"), "1\n")?;
    fs::write(path.join("outblob"), quote)
}

fn asked(make: fn(&Path) -> io::Result<()>) -> (Tsm, Result<Quote, String>) {
    let tsm = Tsm { entries: entries(), make };
    (tsm, tsm.ask(&[7; 64]))
}

#[test]
fn a_quote_comes_with_what_lies_beside_it() {
    let (tsm, quote) = asked(|path| {
        entry(path, "sev_guest", b"quote")?;
        fs::write(path.join("auxblob"), b"certificates")
    });
    let quote = quote.unwrap();
    assert_eq!((quote.kind, &quote.quote[..]), (MachineKind::SevSnp, &b"quote"[..]));
    assert_eq!(quote.auxiliary, b"certificates");
    // The fake keeps its attributes, and so the entry: what was asked with can be read.
    let made = fs::read_dir(tsm.entries).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(made.join("inblob")).unwrap(), [7; 64]);
    assert_eq!(tsm.kind(), Ok(MachineKind::SevSnp));
    let report = collect(tsm, [9; 64]).unwrap();
    assert_eq!(report.auxiliary.as_slice(), b"certificates");

    let (_, quote) = asked(|path| entry(path, "tdx_guest", b"quote"));
    let quote = quote.unwrap();
    assert_eq!((quote.kind, quote.auxiliary.len()), (MachineKind::Tdx, 0));
}

#[test]
fn a_machine_without_quotes_says_why() {
    let absent = Tsm { entries: "/nowhere/tsm/report", ..Tsm::default() };
    let reason = absent.kind().unwrap_err();
    assert!(reason.starts_with("/nowhere/tsm/report: No such file"), "{reason}");
    assert!(collect(absent, [0; 64]).is_none());
    let (_, refused) = asked(|_| Err(io::Error::from_raw_os_error(libc::ENXIO)));
    assert!(refused.unwrap_err().contains("No such device"));
    let (_, unknown) = asked(|path| entry(path, "arm_cca_guest", b"quote"));
    assert!(unknown.unwrap_err().contains("\"arm_cca_guest\" are not known"));
    let (_, failed) = asked(|path| {
        entry(path, "tdx_guest", b"")?;
        fs::remove_file(path.join("outblob"))
    });
    assert!(failed.unwrap_err().contains("outblob: "));
    let (_, long) = asked(|path| entry(path, "tdx_guest", &vec![1; QUOTE_BYTES_MAX + 1]));
    assert!(long.unwrap_err().contains("more than 65536 bytes"));
}

fn fifo(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0)?)
}

#[test]
fn a_quote_that_another_process_asked_for_does_not_count() {
    let (_, quote) = asked(|path| {
        entry(path, "tdx_guest", b"")?;
        fs::remove_file(path.join("outblob"))?;
        fifo(&path.join("outblob"))?;
        let path = path.to_owned();
        thread::spawn(move || {
            // It is open once somebody reads, which is after the first look at the generation.
            let mut outblob = fs::File::options().write(true).open(path.join("outblob"))?;
            fs::write(path.join("generation"), "2\n")?;
            io::Write::write_all(&mut outblob, b"quote")
        });
        Ok(())
    });
    assert!(quote.unwrap_err().contains("another process wrote to it: generation 1, then 2"));
}

#[test]
fn a_kernel_that_hangs_is_left_behind() {
    let make = |path: &Path| {
        entry(path, "tdx_guest", b"")?;
        fs::remove_file(path.join("outblob"))?;
        // Nobody ever writes to it.
        fifo(&path.join("outblob"))
    };
    let tsm = Tsm { entries: entries(), make };
    assert!(collect_within(Duration::from_millis(50), tsm, [0; 64]).is_none());
}
