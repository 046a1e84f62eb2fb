//! Opening what is there, what is something else, and what is damaged.

use crate::places::{self, Place};
use crate::{ISSUED_MS, accept, commitment_of, everything, issued, issued_round};
use attest::ledger::{LedgerError, Location, Peer, open};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The error of opening what cannot be opened, which has two lines.
#[track_caller]
fn refused(path: &Path) -> LedgerError {
    let Err(error) = open(&Location::File(path.to_owned())) else { panic!("it opened") };
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_file_is_its_owners_only() {
    let place = places::sqlite().unwrap();
    let ledger = place.open();
    issued(&*ledger);
    let path = Path::new(&place.address);
    assert_eq!(mode(path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for beside in ["-wal", "-shm"] {
        assert_eq!(mode(Path::new(&format!("{}{beside}", place.address))), 0o600);
    }
}

#[test]
fn the_file_is_durable_and_has_its_version() {
    let place = places::sqlite().unwrap();
    drop(place.open());
    let file = rusqlite::Connection::open(&place.address).unwrap();
    let pragma = |name: &str| file.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
    assert_eq!(pragma("user_version"), Ok(4_i64));
    let journal: String = file.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    assert_eq!(journal, "wal");
}

#[test]
fn what_is_no_ledger_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "certainly not a database, though it is longer than a header is")
        .unwrap();
    let other = folder.path().join("other.sqlite");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    for path in [text, other] {
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(refused(&path), LedgerError::NotALedger { .. }));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn paths_that_cannot_be_are_clear_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    // Nobody may make a file in /proc, whoever tests.
    for path in [folder.path(), &file.join("ledger.sqlite"), Path::new("/proc/ledger.sqlite")] {
        assert!(matches!(refused(path), LedgerError::Open { .. }));
    }
}

/// A folder that cannot be written, for those whom permissions bind.
#[test]
fn a_folder_without_permission_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_ok() {
        // Root may do anything; /proc above is closed to root, too.
        return;
    }
    let error = refused(&closed.join("ledger.sqlite"));
    assert!(error.to_string().contains("ermission"), "{error}");
    let file = folder.path().join("ledger.sqlite");
    drop(open(&Location::File(file.clone())).unwrap());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(matches!(refused(&file), LedgerError::Open { .. }));
}

#[test]
fn a_damaged_file_is_a_clear_error() {
    let place = places::sqlite().unwrap();
    let ledger = place.open();
    for _ in 0..50 {
        issued(&*ledger);
    }
    drop(ledger);
    // All pages but the first, which has the header and the schema's beginning.
    let mut bytes = std::fs::read(&place.address).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&place.address, bytes).unwrap();
    let opened = open(&place.location());
    let error = opened.and_then(|ledger| ledger.list(&Default::default())).unwrap_err();
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
    assert!(error.to_string().contains("is damaged"), "{error}");
}

#[test]
fn a_file_that_was_cut_off_is_a_clear_error() {
    let place = places::sqlite().unwrap();
    drop(place.open());
    let bytes = std::fs::read(&place.address).unwrap();
    std::fs::write(&place.address, &bytes[..5000]).unwrap();
    let error = refused(Path::new(&place.address));
    assert!(matches!(error, LedgerError::Corrupt { .. }), "{error:?}");
}

/// A ledger of another version: `set` writes it.
fn with_version(place: &Place, set: impl Fn(i64)) {
    let ledger = place.open();
    let c = issued(&*ledger);
    accept(&*ledger, &c, commitment_of(1));
    let before = everything(&*ledger);
    drop(ledger);
    set(99);
    let Err(error) = open(&place.location()) else { panic!("it opened") };
    assert!(matches!(error, LedgerError::Schema { found: 99, known: 4, .. }), "{error:?}");
    set(4);
    assert_eq!(everything(&*place.open()), before);
}

#[test]
fn a_newer_file_is_refused() {
    let place = places::sqlite().unwrap();
    with_version(&place, |version| {
        let file = rusqlite::Connection::open(&place.address).unwrap();
        file.pragma_update(None, "user_version", version).unwrap();
    });
}

#[test]
fn a_newer_database_is_refused() {
    let Some(place) = places::on_server() else { return };
    with_version(&place, |version| {
        let mut client = place.client();
        client.execute("UPDATE attest.ledger_version SET version = $1", &[&version]).unwrap();
    });
}

/// Version 0 has no tables: every migration runs.
#[test]
fn an_older_ledger_is_migrated() {
    let place = places::sqlite().unwrap();
    let folder = Path::new(&place.address).parent().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    let file = rusqlite::Connection::open(&place.address).unwrap();
    file.pragma_update(None, "application_id", 0x6174_7374).unwrap();
    drop(file);
    issued(&*place.open());

    let Some(place) = places::on_server() else { return };
    let mut client = place.client();
    client
        .batch_execute(
            "CREATE SCHEMA attest; CREATE TABLE attest.ledger_version (version BIGINT NOT NULL); \
             INSERT INTO attest.ledger_version VALUES (0)",
        )
        .unwrap();
    issued(&*place.open());
}

/// Version 1 has no meetings, version 2 no rounds, version 3 no dies. What they have on record stays.
#[test]
fn a_ledger_without_meetings_and_rounds_gets_them() {
    let old = |place: &Place, to_version_1: &dyn Fn()| {
        let ledger = place.open();
        let c = issued(&*ledger);
        accept(&*ledger, &c, commitment_of(1));
        let before = everything(&*ledger);
        drop(ledger);
        to_version_1();
        let ledger = place.open();
        assert_eq!(everything(&*ledger), before);
        assert_eq!(ledger.meetings(&Default::default()).unwrap(), []);
        issued_round(&*ledger, c, 1);
        let meeting = crate::meetings::dodged(Peer::Unknown, "busy");
        ledger.meet(&meeting).unwrap();
        assert_eq!(ledger.meetings(&Default::default()).unwrap()[0].meeting, meeting);
    };
    let place = places::sqlite().unwrap();
    old(&place, &|| {
        let file = rusqlite::Connection::open(&place.address).unwrap();
        file.execute_batch(
            "DROP INDEX sightings_by_die; ALTER TABLE sightings DROP COLUMN die; \
             ALTER TABLE sightings DROP COLUMN die_serial; DROP TABLE dies; \
             DROP TABLE meetings; DROP INDEX challenges_by_session; \
             ALTER TABLE challenges DROP COLUMN round; \
             ALTER TABLE challenges DROP COLUMN session; PRAGMA user_version = 1",
        )
        .unwrap();
    });
    let Some(place) = places::on_server() else { return };
    old(&place, &|| {
        place
            .client()
            .batch_execute(
                "ALTER TABLE attest.sightings DROP COLUMN die, DROP COLUMN die_serial; \
                 DROP TABLE attest.dies; \
                 DROP TABLE attest.meetings; ALTER TABLE attest.challenges \
                 DROP COLUMN round, DROP COLUMN session; \
                 UPDATE attest.ledger_version SET version = 1",
            )
            .unwrap();
    });
}

/// Once the tables are there, a user without the right to make any can use them.
#[test]
fn a_user_with_few_rights_can_use_a_ledger() {
    let Some(place) = places::on_server() else { return };
    drop(place.open());
    let mut client = place.client();
    let user = place.address.rsplit('/').next().unwrap().replace("ledger", "few_rights");
    client
        .batch_execute(&format!(
            "CREATE USER {user}; GRANT USAGE ON SCHEMA attest TO {user}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA attest TO {user}"
        ))
        .unwrap();
    let address = place.address.replace("attest:hunter2", &user);
    let ledger = open(&Location::parse(&address).unwrap()).unwrap();
    let challenge = crate::challenge();
    ledger.issue(&challenge, challenge.token(), ISSUED_MS).unwrap();
    accept(&*ledger, &challenge.digest(), commitment_of(1));
    ledger.meet(&crate::meetings::dodged(Peer::Unknown, "busy")).unwrap();
}
