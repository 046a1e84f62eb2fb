//! The tables, and how an older ledger becomes one of today.
//!
//! Guarantees: a migration that was released never changes; each runs once, in one
//! transaction with the version that it leads to.
//! Deliberately lacks: a way back. An older program refuses a newer ledger.

use super::sql::{DbError, Sql};

/// One migration per version, in SQLite's words.
const MIGRATIONS: [&[&str]; 4] = [
    &[
        // Every nonce and challenge digest that was ever issued here. Rows are never
        // deleted: what is pruned stays spent.
        "CREATE TABLE nonces (
            validator_nonce BLOB PRIMARY KEY NOT NULL CHECK (length(validator_nonce) = 32),
            c BLOB UNIQUE NOT NULL CHECK (length(c) = 32),
            spent_on BLOB CHECK (length(spent_on) = 32)
        ) STRICT",
        "CREATE TABLE challenges (
            c BLOB PRIMARY KEY NOT NULL REFERENCES nonces (c),
            token TEXT NOT NULL,
            issued INTEGER NOT NULL,
            expires INTEGER NOT NULL,
            arrived INTEGER,
            coin BLOB CHECK (length(coin) = 32),
            outcome TEXT CHECK (outcome IN ('verified', 'rejected')),
            code TEXT,
            verdict_json TEXT,
            settled INTEGER,
            miner BLOB CHECK (length(miner) = 32),
            CHECK (coin IS NULL OR arrived IS NOT NULL),
            CHECK (outcome IS NULL OR outcome = 'rejected' OR arrived IS NOT NULL),
            CHECK ((outcome IS NULL) = (settled IS NULL)),
            CHECK ((outcome IS NULL) = (verdict_json IS NULL))
        ) STRICT",
        "CREATE INDEX challenges_by_issue ON challenges (issued, c)",
        // One row a device, locked by whoever looks into its history to add to it.
        "CREATE TABLE devices (
            uuid BLOB PRIMARY KEY NOT NULL CHECK (length(uuid) = 16),
            first_seen INTEGER NOT NULL
        ) STRICT",
        "CREATE TABLE sightings (
            uuid BLOB NOT NULL REFERENCES devices (uuid),
            c BLOB NOT NULL REFERENCES challenges (c) ON DELETE CASCADE,
            seen INTEGER NOT NULL,
            serial TEXT,
            pci TEXT,
            miner BLOB CHECK (length(miner) = 32),
            host TEXT,
            PRIMARY KEY (uuid, c)
        ) STRICT",
        "CREATE INDEX sightings_by_time ON sightings (uuid, seen)",
        "CREATE INDEX sightings_by_challenge ON sightings (c)",
        "CREATE TABLE claims (
            uuid BLOB NOT NULL REFERENCES devices (uuid),
            c BLOB NOT NULL REFERENCES challenges (c) ON DELETE CASCADE,
            until INTEGER NOT NULL,
            PRIMARY KEY (uuid, c)
        ) STRICT",
        "CREATE INDEX claims_by_challenge ON claims (c)",
    ],
    &[
        // Numbered, so that the oldest can be dropped without a look at the others.
        "CREATE TABLE meetings (
            number INTEGER PRIMARY KEY,
            met INTEGER NOT NULL,
            miner BLOB CHECK (length(miner) = 32),
            proven INTEGER CHECK (proven IN (0, 1)),
            address TEXT,
            c BLOB CHECK (length(c) = 32),
            code TEXT,
            round_trip_us INTEGER,
            CHECK ((miner IS NULL) = (proven IS NULL)),
            CHECK ((c IS NULL) <> (code IS NULL))
        ) STRICT",
        "CREATE INDEX meetings_by_miner ON meetings (miner, met)",
        "CREATE INDEX meetings_by_address ON meetings (address, met)",
        "CREATE INDEX meetings_by_time ON meetings (met)",
    ],
    &[
        // Of a later round of a session: the session's first challenge, which may have been
        // pruned, and the number of the round.
        "ALTER TABLE challenges ADD COLUMN session BLOB CHECK (length(session) = 32)",
        "ALTER TABLE challenges ADD COLUMN round INTEGER \
         CHECK ((round IS NULL) = (session IS NULL) AND (round IS NULL OR round > 0))",
        "CREATE INDEX challenges_by_session ON challenges (session, round)",
        // What the session came to, of all its rounds together.
        "ALTER TABLE meetings ADD COLUMN outcome TEXT CHECK (outcome IN ('verified', 'rejected'))",
        "ALTER TABLE meetings ADD COLUMN reason TEXT",
        "CREATE INDEX meetings_by_challenge ON meetings (c)",
    ],
    &[
        // One row a die, locked as a device's is: dies of one name may have several UUIDs.
        "CREATE TABLE dies (
            die BLOB PRIMARY KEY NOT NULL CHECK (length(die) = 32),
            first_seen INTEGER NOT NULL
        ) STRICT",
        "ALTER TABLE sightings ADD COLUMN die BLOB REFERENCES dies (die)",
        "ALTER TABLE sightings ADD COLUMN die_serial TEXT",
        "CREATE INDEX sightings_by_die ON sightings (die, seen)",
    ],
];

/// The version of a ledger that every migration has run on.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// How a database writes it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// Leads a ledger of version `from` to [`VERSION`]. The caller records the
/// version, in the same transaction.
pub(super) fn migrate(sql: &mut dyn Sql, dialect: Dialect, from: i64) -> Result<(), DbError> {
    let done = usize::try_from(from).unwrap_or(0);
    for statement in MIGRATIONS.iter().skip(done).copied().flatten() {
        match dialect {
            Dialect::Sqlite => sql.execute(statement, &[])?,
            Dialect::Postgres => sql.execute(&for_postgres(statement), &[])?,
        };
    }
    Ok(())
}

fn for_postgres(statement: &str) -> String {
    let numbers = " BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY";
    let types = statement.replace(" INTEGER PRIMARY KEY", numbers);
    let types = types.replace(" BLOB", " BYTEA").replace(" INTEGER", " BIGINT");
    types.strip_suffix(" STRICT").map(str::to_owned).unwrap_or(types)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_dialect_has_its_own_types() {
        let text = for_postgres("CREATE TABLE t (\n a BLOB NOT NULL,\n b INTEGER\n) STRICT");
        assert_eq!(text, "CREATE TABLE t (\n a BYTEA NOT NULL,\n b BIGINT\n)");
    }
}
