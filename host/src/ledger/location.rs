//! Where a ledger is.
//!
//! Guarantees: a password is in no text that is made from it.
//! Deliberately lacks: environment and defaults beyond the file's name; the caller
//! knows the state folder.

use super::error::LedgerError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

/// Where a ledger is.
#[derive(Clone)]
pub enum Location {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Postgres(Server),
}

/// A PostgreSQL server, with everything that it takes to connect.
#[derive(Clone)]
pub struct Server(Box<postgres::Config>);

impl Server {
    pub(super) fn config(&self) -> &postgres::Config {
        &self.0
    }
}

impl Location {
    /// Reads `postgres://…` (`postgresql://…`) or the path of a file.
    ///
    /// # Errors
    /// [`LedgerError::Location`]: an invalid address, or one that asks for TLS.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let failed = |text: &str, cause: &dyn fmt::Display| LedgerError::Location {
            text: text.to_owned(),
            cause: cause.to_string(),
        };
        // The other forms in which PostgreSQL's own programs take an address: as the
        // name of a file they would put a password into a folder and into messages.
        if text.contains("password=") && !is_address(text) {
            return Err(failed(
                "…password=…",
                &"it is neither a file's name nor a postgres:// address",
            ));
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return match text {
                "" => Err(failed(text, &"it is empty")),
                _ if is_address(text) => Err(failed("postgres:…", &"postgres: takes two slashes")),
                path => Ok(Self::File(path.into())),
            };
        };
        // From here on the text may hold a password.
        let named = format!("{scheme}://…");
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(failed(&named, &"only files and postgres:// are known"));
        }
        let config = postgres::Config::from_str(text)
            .map_err(|_| failed(&named, &"it is not an address of a PostgreSQL server"))?;
        let disabled_or_preferred = matches!(
            config.get_ssl_mode(),
            postgres::config::SslMode::Disable | postgres::config::SslMode::Prefer
        );
        if !disabled_or_preferred {
            let cause = "TLS to PostgreSQL is not supported: use a unix socket, or a tunnel that \
                         ends at the server";
            return Err(failed(&named, &cause));
        }
        // Of several @ the first ends the password: the rest of it is elsewhere then.
        let is_torn = |host: &postgres::config::Host| match host {
            postgres::config::Host::Tcp(name) => name.contains('@'),
            postgres::config::Host::Unix(_) => false,
        };
        if config.get_hosts().iter().any(is_torn)
            || config.get_dbname().is_some_and(|name| name.contains('@'))
        {
            return Err(failed(
                &named,
                &"it has an @ too many: percent-encode the password's (%40)",
            ));
        }
        if config.get_hosts().is_empty() {
            return Err(failed(&named, &"it names no host"));
        }
        Ok(Self::Postgres(Server(Box::new(config))))
    }

    /// The file in the state folder of the user (`$XDG_STATE_HOME`).
    pub fn default_path(state_dir: &Path) -> Self {
        Self::File(state_dir.join("attest").join("ledger.sqlite"))
    }
}

/// Whether it begins as an address of a server does, whole or not.
fn is_address(text: &str) -> bool {
    let begins = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins("postgres:") || begins("postgresql:")
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = match self {
            Self::File(path) => return path.display().fmt(f),
            Self::Postgres(server) => server.config(),
        };
        f.write_str("postgres://")?;
        if let Some(user) = server.get_user() {
            write!(f, "{user}@")?;
        }
        for (index, host) in server.get_hosts().iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match host {
                postgres::config::Host::Tcp(name) => write!(f, "{comma}{name}")?,
                postgres::config::Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            let ports = server.get_ports();
            if let Some(port) = ports.get(index).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", server.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Location::Postgres(self.clone()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_servers_are_told_apart() {
        assert!(matches!(Location::parse("a/b.sqlite").unwrap(), Location::File(_)));
        assert!(matches!(Location::parse("postgres://u@h/d").unwrap(), Location::Postgres(_)));
        assert!(matches!(Location::parse("postgresql://u@h/d").unwrap(), Location::Postgres(_)));
        for bad in ["", "mysql://h/d", "postgres://h:port/d", "postgres:///d"] {
            assert!(matches!(Location::parse(bad), Err(LedgerError::Location { .. })), "{bad}");
        }
        assert_eq!(Location::default_path(Path::new("/s")).to_string(), "/s/attest/ledger.sqlite");
    }

    #[test]
    fn no_text_has_the_password() {
        let location = Location::parse("postgres://me:hunter2@db1:6000,db2:6001/attest").unwrap();
        assert_eq!(location.to_string(), "postgres://me@db1:6000,db2:6001/attest");
        assert_eq!(format!("{location:?}"), location.to_string());
        for bad in [
            "postgres://me:hunter2@h:port/d",
            "postgres://me:hunter2@h/d?sslmode=require",
            "postgres://me:hunter2@h/d?sslmode=nonsense",
            "mysql://me:hunter2@h/d",
            "postgres://me:x@hunter2@h/d",
            "postgres://me:x@h/hunter2@h/d",
            "postgres:me:hunter2@h/d",
            "postgresql:/me:hunter2@h/d",
            "Postgres:me:hunter2@h/d",
            "host=h user=me password=hunter2",
            "mysql:password=hunter2://h/d",
        ] {
            let error = Location::parse(bad).unwrap_err();
            assert!(!format!("{error}{error:?}").contains("hunter2"), "{error:?}");
        }
        let error = Location::parse("postgres://h/d?sslmode=require").unwrap_err();
        assert!(error.to_string().contains("TLS"), "{error}");
    }
}
