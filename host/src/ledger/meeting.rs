//! Meetings on record: who was met, from where, and how it ended.
//!
//! Guarantees: what a stranger makes a validator record is bounded, in each text and
//! in the number of rows; a key that was only claimed is never counted as one that
//! was proven.
//! Deliberately lacks: judgement of how many dodges are too many; a policy decides.

use super::record::{DODGES, Dodges, Ending, Meeting, MeetingFilter, Met, Peer};
use super::sql::{DbError, Row, Sql, Value, bounded, ms};
use std::time::Duration;

/// Only the newest are kept, whatever their age: some 100 MB.
const MEETINGS_MAX: i64 = 1_000_000;

/// How the peer is known, as it is recorded.
const PROVEN: i64 = 1;
const CLAIMED: i64 = 0;

/// Records a meeting.
pub(super) fn record(sql: &mut dyn Sql, meeting: &Meeting) -> Result<(), DbError> {
    let (key, proven): (Value, Value) = match meeting.peer {
        Peer::Proven(key) => (key.into(), PROVEN.into()),
        Peer::Claimed(key) => (key.into(), CLAIMED.into()),
        Peer::Unknown => (Value::Null, Value::Null),
    };
    let (c, code): (Value, Value) = match &meeting.ending {
        Ending::Challenged(c) => ((*c).into(), Value::Null),
        Ending::Before(code) => (Value::Null, (*bounded(code)).into()),
    };
    let address: Value = meeting.address.as_deref().map(bounded).as_deref().into();
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let round_trip: Value = meeting.round_trip.map(micros).into();
    let session = meeting.session.as_ref();
    let outcome: Value = session.map(|session| session.outcome.name()).into();
    let reason = session.and_then(|session| session.code.as_deref());
    let reason: Value = reason.map(bounded).as_deref().into();
    sql.execute(
        "INSERT INTO meetings (met, miner, proven, address, c, code, round_trip_us, outcome, \
         reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[ms(meeting.met_unix_ms), key, proven, address, c, code, round_trip, outcome, reason],
    )?;
    sql.execute(
        "DELETE FROM meetings WHERE number <= (SELECT MAX(number) FROM meetings) - $1",
        &[MEETINGS_MAX.into()],
    )?;
    Ok(())
}

/// Counts meetings since `since_unix_ms` that the miner ended before a challenge.
pub(super) fn dodges(
    sql: &mut dyn Sql,
    peer: Peer,
    address: Option<&str>,
    since_unix_ms: u64,
) -> Result<Dodges, DbError> {
    let codes = DODGES.map(|code| format!("'{code}'")).join(", ");
    let mut count = |condition: &str, value: Value| -> Result<u64, DbError> {
        let statement = format!(
            "SELECT COUNT(*) FROM meetings WHERE {condition} AND met >= $2 AND code IN ({codes})"
        );
        let rows = sql.query(&statement, &[value, ms(since_unix_ms)])?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    };
    let (proven, claimed) = match peer {
        Peer::Unknown => (0, 0),
        // A stranger may claim a key, so that counts for no proven one.
        Peer::Proven(key) => (count("miner = $1 AND proven = 1", key.into())?, 0),
        Peer::Claimed(key) => (0, count("miner = $1 AND proven = 0", key.into())?),
    };
    let from_address = match address {
        Some(address) => {
            count("address = $1 AND (proven IS NULL OR proven = 0)", (*bounded(address)).into())?
        }
        None => 0,
    };
    Ok(Dodges { proven, claimed, from_address })
}

/// The meetings that `filter` asks for, the newest first.
pub(super) fn list(sql: &mut dyn Sql, filter: &MeetingFilter) -> Result<Vec<Met>, DbError> {
    let limit = filter.limit.min(MeetingFilter::LIMIT_MAX);
    let mut values: Vec<Value> = Vec::new();
    let mut conditions = String::new();
    let mut and = |condition: &str, value: Value| {
        values.push(value);
        let word = if conditions.is_empty() { "WHERE" } else { " AND" };
        conditions.push_str(&format!("{word} {condition} ${}", values.len()));
    };
    if let Some(key) = filter.miner {
        and("miner =", key.into());
    }
    if let Some(before) = filter.before {
        and("number <", before.into());
    }
    let statement = format!(
        "SELECT number, met, miner, proven, address, c, code, round_trip_us, outcome, reason \
         FROM meetings {conditions} ORDER BY number DESC LIMIT {limit}"
    );
    sql.query(&statement, &values)?.iter().map(met).collect()
}

fn met(row: &Row) -> Result<Met, DbError> {
    let peer = match (row.key_or_null(2)?, row.count_or_null(3)?) {
        (None, _) => Peer::Unknown,
        (Some(key), Some(1)) => Peer::Proven(key),
        (Some(key), _) => Peer::Claimed(key),
    };
    let ending = match row.digest_or_null(5)? {
        Some(c) => Ending::Challenged(c),
        None => Ending::Before(row.text(6)?),
    };
    let meeting = Meeting {
        met_unix_ms: row.count(1)?,
        peer,
        address: row.text_or_null(4)?,
        ending,
        round_trip: row.count_or_null(7)?.map(Duration::from_micros),
        session: row.session_end(8)?,
    };
    Ok(Met { number: row.count(0)? as i64, meeting })
}

/// Forgets the meetings before a time, some at once, and says how many.
pub(super) fn forget_some(sql: &mut dyn Sql, before_unix_ms: u64) -> Result<u64, DbError> {
    const FORGET_AT_ONCE: u32 = 5000;
    let statement = format!(
        "DELETE FROM meetings WHERE number IN \
         (SELECT number FROM meetings WHERE met < $1 ORDER BY number LIMIT {FORGET_AT_ONCE})"
    );
    sql.execute(&statement, &[ms(before_unix_ms)])
}

/// How many meetings [`forget_some`] would forget in all.
pub(super) fn count_old(sql: &mut dyn Sql, before_unix_ms: u64) -> Result<u64, DbError> {
    let statement = "SELECT COUNT(*) FROM meetings WHERE met < $1";
    let rows = sql.query(statement, &[ms(before_unix_ms)])?;
    rows.first().map_or(Ok(0), |row| row.count(0))
}
