//! Reading a ledger, and forgetting what is old.
//!
//! Guarantees: an answer is bounded, whatever is in the ledger.
//! Deliberately lacks: rendering.

use super::record::{Entry, Filter, Order, RoundOf, Seen, Sighting, Standing};
use super::sql::{DbError, Row, Sql, Value, ms};
use crate::protocol::digest::Digest;

/// How many challenges one transaction forgets.
const FORGET_AT_ONCE: u32 = 500;

/// Settled or expired before $1, and without a device at $2: see [`Bounds`].
const OLD: &str = "((settled IS NOT NULL AND settled < $1) OR (settled IS NULL AND expires < $1)) \
     AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.c = challenges.c AND until > $2)";

/// The two times of [`OLD`], ms since 1970.
pub(super) type Bounds = [Value; 2];

const COLUMNS: &str = "challenges.c, validator_nonce, token, issued, expires, challenges.miner, spent_on, \
     arrived, coin, challenges.outcome, challenges.code, verdict_json, settled, \
     (SELECT MAX(until) FROM claims WHERE claims.c = challenges.c), session, round, \
     (SELECT outcome FROM meetings WHERE meetings.c = COALESCE(session, challenges.c) \
     ORDER BY number DESC LIMIT 1), \
     (SELECT reason FROM meetings WHERE meetings.c = COALESCE(session, challenges.c) \
     ORDER BY number DESC LIMIT 1)";

/// The challenge's session was rejected.
const OF_REJECTED: &str = "EXISTS (SELECT 1 FROM meetings \
     WHERE meetings.c = COALESCE(session, challenges.c) AND meetings.outcome = 'rejected')";

fn entry(row: &Row) -> Result<Entry, DbError> {
    let round = match row.digest_or_null(14)? {
        Some(session) => Some(RoundOf { session, number: row.small(15)? }),
        None => None,
    };
    Ok(Entry {
        session: row.session_end(16)?,
        round,
        challenge: row.digest(0)?,
        nonce: row.digest(1)?,
        token: row.text(2)?,
        issued_unix_ms: row.count(3)?,
        expires_unix_ms: row.count(4)?,
        miner: row.key_or_null(5)?,
        commitment: row.commitment_or_null(6)?,
        arrived_unix_ms: row.count_or_null(7)?,
        coin: row.coin_or_null(8)?,
        outcome: row.text_or_null(9)?,
        code: row.text_or_null(10)?,
        verdict_json: row.text_or_null(11)?,
        settled_unix_ms: row.count_or_null(12)?,
        claimed_until_unix_ms: row.count_or_null(13)?,
    })
}

/// Conditions with their values, numbered as they come.
#[derive(Default)]
struct Where {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    /// Adds a condition; each `?` in it becomes the number of one of `values`.
    fn and<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        let mut text = condition.to_owned();
        for value in values {
            self.values.push(value);
            text = text.replacen('?', &format!("${}", self.values.len()), 1);
        }
        self.conditions.push(text);
    }

    fn clause(&self) -> String {
        match self.conditions.len() {
            0 => String::new(),
            _ => format!("WHERE {}", self.conditions.join(" AND ")),
        }
    }
}

pub(super) fn list(sql: &mut dyn Sql, filter: &Filter) -> Result<Vec<Entry>, DbError> {
    let mut wanted = Where::default();
    match filter.standing {
        None => {}
        Some(Standing::Unsettled) => wanted.and("settled IS NULL", []),
        Some(Standing::Verified) => {
            let condition = format!("challenges.outcome = ? AND NOT {OF_REJECTED}");
            wanted.and(&condition, ["verified".into()]);
        }
        Some(Standing::Rejected) => {
            let condition = format!(
                "(challenges.outcome = ? OR (challenges.outcome IS NOT NULL AND {OF_REJECTED}))"
            );
            wanted.and(&condition, ["rejected".into()]);
        }
    }
    if let Some(miner) = filter.miner {
        wanted.and("miner = ?", [miner.into()]);
    }
    if let Some(device) = filter.device {
        let named = "challenges.c IN (SELECT c FROM sightings WHERE uuid = ?)";
        wanted.and(named, [device.into()]);
    }
    if let Some(session) = filter.session {
        wanted.and("(challenges.c = ? OR session = ?)", [session.into(), session.into()]);
    }
    let (beyond, direction) = match filter.order {
        Order::NewestFirst => ("<", "DESC"),
        Order::OldestFirst => (">", "ASC"),
    };
    if let Some((issued_unix_ms, c)) = filter.after {
        let condition = format!("(issued, challenges.c) {beyond} (?, ?)");
        wanted.and(&condition, [ms(issued_unix_ms), c.into()]);
    }
    let limit = filter.limit.min(Filter::LIMIT_MAX);
    let statement = format!(
        "SELECT {COLUMNS} FROM challenges JOIN nonces ON nonces.c = challenges.c {} \
         ORDER BY issued {direction}, challenges.c {direction} LIMIT {limit}",
        wanted.clause()
    );
    sql.query(&statement, &wanted.values)?.iter().map(entry).collect()
}

pub(super) fn show(sql: &mut dyn Sql, c: &Digest) -> Result<Option<(Entry, Vec<Seen>)>, DbError> {
    let statement = format!(
        "SELECT {COLUMNS} FROM challenges JOIN nonces ON nonces.c = challenges.c \
         WHERE challenges.c = $1"
    );
    let rows = sql.query(&statement, &[(*c).into()])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen = |row: &Row| {
        Ok(Seen {
            device: Sighting {
                uuid: row.uuid(0)?,
                serial: row.text_or_null(1)?,
                pci: row.text_or_null(2)?,
                miner: row.key_or_null(3)?,
                host: row.text_or_null(4)?,
                die: row.digest_or_null(5)?,
                die_serial: row.text_or_null(6)?,
            },
            seen_unix_ms: row.count(7)?,
        })
    };
    let devices = sql.query(
        "SELECT uuid, serial, pci, miner, host, die, die_serial, seen FROM sightings \
         WHERE c = $1 ORDER BY uuid",
        &[(*c).into()],
    )?;
    let devices = devices.iter().map(seen).collect::<Result<_, DbError>>()?;
    Ok(Some((entry(row)?, devices)))
}

pub(super) fn count_old(sql: &mut dyn Sql, bounds: &Bounds) -> Result<u64, DbError> {
    let rows = sql.query(&format!("SELECT COUNT(*) FROM challenges WHERE {OLD}"), bounds)?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}

/// Forgets some old challenges, with their sightings and claims, and says how many.
/// Their rows in nonces stay.
pub(super) fn forget_some(sql: &mut dyn Sql, bounds: &Bounds) -> Result<u64, DbError> {
    // Asked twice: one may have been settled since the inner query.
    let statement = format!(
        "DELETE FROM challenges WHERE {OLD} AND c IN \
         (SELECT c FROM challenges WHERE {OLD} LIMIT {FORGET_AT_ONCE})"
    );
    sql.execute(&statement, bounds)
}
