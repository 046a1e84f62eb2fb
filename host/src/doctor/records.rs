//! Whether a validator's ledger can be used.

use super::{Check, State};
use crate::ledger::{self, Location};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

const NAME: &str = "ledger";

/// No ledger is meant.
pub fn no_ledger() -> Check {
    Check::note(
        NAME,
        "none: nonces are not kept",
        "Live sessions need one; leave out --ledger none.",
    )
}

/// The ledger at this place: opened if it is there, looked for a place to make it if not.
pub fn ledger_at(location: &Location) -> Check {
    if let Location::File(path) = location
        && !path.exists()
    {
        return to_be_made(path);
    }
    if let Location::File(path) = location
        && !begins_as_sqlite(path)
    {
        let advice = "Name the file of a ledger, or one that is not there yet (--ledger FILE).";
        return Check::wrong(NAME, format!("{location} is no SQLite file"), advice);
    }
    match ledger::open(location) {
        Ok(_) => Check::ok(NAME, format!("{location} opens, and can be written")),
        Err(error) => Check::of_error(NAME, State::Wrong, &error),
    }
}

/// Whether an existing file is one of SQLite's: opening another could make one of it.
fn begins_as_sqlite(path: &Path) -> bool {
    let mut start = [0; 16];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    // What cannot be read is for SQLite to say.
    read.map_or_else(
        |error| error.kind() != ErrorKind::UnexpectedEof,
        |()| start == *b"SQLite format 3\0",
    )
}

/// A file that is not there yet: the first folder of its path that exists must take it.
fn to_be_made(path: &Path) -> Check {
    let folder = path.ancestors().skip(1).map(|folder| match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    });
    let Some(folder) = folder.into_iter().find(|folder| folder.exists()) else {
        return Check::wrong(NAME, format!("no folder for {}", path.display()), MAKE_FOLDER);
    };
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    let shown = folder.display();
    if !folder.is_dir() {
        return Check::wrong(NAME, format!("{shown} is no folder"), MAKE_FOLDER);
    }
    match rustix::fs::access(folder, access) {
        Ok(()) => Check::ok(NAME, format!("{} can be made", path.display())),
        Err(error) => Check::wrong(
            NAME,
            format!("{} cannot be made: {shown}: {error}", path.display()),
            MAKE_FOLDER,
        ),
    }
}

const MAKE_FOLDER: &str =
    "Give this user a folder that it may write (--ledger FILE, XDG_STATE_HOME or HOME).";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> Check {
        ledger_at(&Location::File(path.to_owned()))
    }

    #[test]
    fn a_ledger_is_there_can_be_made_or_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/ledger.sqlite");
        assert_eq!(at(&path).state, State::Ok);
        assert!(!folder.path().join("a").exists(), "nothing was made");
        ledger::open(&Location::File(folder.path().join("l.sqlite"))).unwrap();
        let there = at(&folder.path().join("l.sqlite"));
        assert_eq!((there.state, there.advice), (State::Ok, None));
        // A file where a folder must be, and one that is no ledger.
        std::fs::write(folder.path().join("a"), "x").unwrap();
        let wrong = at(&path);
        assert!(wrong.state == State::Wrong && wrong.found.ends_with("is no folder"), "{wrong:?}");
        for content in ["", "x", "a file of another program"] {
            std::fs::write(folder.path().join("a"), content).unwrap();
            let wrong = at(&folder.path().join("a"));
            assert!(wrong.state == State::Wrong && wrong.advice.is_some(), "{wrong:?}");
            assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), content);
        }
    }

    #[test]
    fn a_server_that_does_not_answer_is_wrong() {
        let location = Location::parse("postgres://me:hunter2@127.0.0.1:1/none").unwrap();
        let wrong = ledger_at(&location);
        assert!(wrong.state == State::Wrong && !format!("{wrong:?}").contains("hunter2"));
        assert!(wrong.advice.is_some(), "{wrong:?}");
    }
}
