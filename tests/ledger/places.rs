//! Where the tests' ledgers are: fresh files, and fresh databases of one server.

use crate::server;
use attest::ledger::{Ledger, Location, Options, open, open_with};
use std::sync::Arc;

/// A ledger that no other test uses.
pub struct Place {
    /// For `Location::parse`.
    pub address: String,
    _folder: Option<tempfile::TempDir>,
}

impl Place {
    pub fn location(&self) -> Location {
        Location::parse(&self.address).expect("a location")
    }

    /// Opens it as another process would.
    pub fn open(&self) -> Arc<dyn Ledger> {
        open(&self.location()).expect("it opens")
    }

    /// A connection of its own to its PostgreSQL database.
    pub fn client(&self) -> postgres::Client {
        postgres::Client::connect(&self.address, postgres::NoTls).expect("the server answers")
    }

    pub fn open_with(&self, options: Options) -> Arc<dyn Ledger> {
        open_with(&self.location(), options).expect("it opens")
    }
}

/// A ledger's file in a folder of its own, neither of them there yet.
pub fn sqlite() -> Option<Place> {
    let folder = tempfile::tempdir().expect("a folder");
    let address = folder.path().join("state/attest/ledger.sqlite").display().to_string();
    Some(Place { address, _folder: Some(folder) })
}

/// An empty database of the tests' server; `None` where there can be no server.
pub fn on_server() -> Option<Place> {
    let address = server::shared()?.new_database();
    Some(Place { address, _folder: None })
}

/// Makes each function a test on both databases.
macro_rules! on_both {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() {
                super::$test(&crate::places::sqlite().expect("SQLite is always there"));
            })+
        }
        mod postgres {
            $(#[test] fn $test() {
                if let Some(place) = crate::places::on_server() {
                    super::$test(&place);
                }
            })+
        }
    };
}
pub(crate) use on_both;
