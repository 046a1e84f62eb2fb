//! What is known of a device from earlier challenges, and what does not fit it.
//!
//! Guarantees: of two sessions that name one device at the same moment the later
//! one sees the earlier; only the newest earlier sighting of each kind is read, so a
//! long history costs no more than a short one.
//! Deliberately lacks: judgement. GPUs are sold, moved and repaired; a policy
//! decides what a finding is worth.

use super::record::{HistoryCode, HistoryFinding, Sighting};
use super::sql::{DbError, Row, Sql, Value, bounded, ms};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// In what a device is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The commitment of a live session, whose coin is not drawn yet.
    InSession,
    /// Anything else: what is on record says whether there was a session.
    AsRecorded,
}

/// Devices that are named for a challenge.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a> {
    /// The challenge's digest.
    pub c: &'a Digest,
    /// Each once, or the last of a UUID counts.
    pub devices: &'a [Sighting],
    /// When, ms since 1970.
    pub now_unix_ms: u64,
    /// How far back the history counts.
    pub window: Duration,
    /// Within what time a change of host does not fit.
    pub host_window: Duration,
    /// What the evidence names.
    pub named: Named,
}

/// Looks up the devices in the history, adds them to it, and says what did not fit,
/// in the order of the devices' UUIDs.
pub(super) fn see(sql: &mut dyn Sql, naming: Naming<'_>) -> Result<Vec<HistoryFinding>, DbError> {
    let Naming { c, devices, now_unix_ms, .. } = naming;
    for device in sorted(devices) {
        take(sql, &device.uuid, now_unix_ms)?;
    }
    take_dies(sql, naming)?;
    let found = look(sql, naming)?;
    for device in sorted(devices) {
        add(sql, c, device, now_unix_ms)?;
    }
    Ok(found)
}

/// What [`see`] would find; nothing is added.
pub(super) fn look(sql: &mut dyn Sql, naming: Naming<'_>) -> Result<Vec<HistoryFinding>, DbError> {
    let Naming { c, devices, now_unix_ms, window, host_window, .. } = naming;
    let open = Open::of(sql, naming)?;
    let since_ms = since(now_unix_ms, window);
    let host_since_ms = since(now_unix_ms, window.min(host_window));
    let mut found = Vec::new();
    for device in sorted(devices) {
        let mut earlier = Earlier { sql, c, device, open, since_ms };
        found.extend(earlier.findings(now_unix_ms, host_since_ms)?);
        found.extend(earlier.of_die(now_unix_ms)?);
    }
    Ok(found)
}

/// Adds to the sightings of `naming` the dies that signed, and says what does not fit their
/// history.
pub(super) fn sign(sql: &mut dyn Sql, naming: Naming<'_>) -> Result<Vec<HistoryFinding>, DbError> {
    let Naming { c, devices, now_unix_ms, window, .. } = naming;
    take_dies(sql, naming)?;
    let since_ms = since(now_unix_ms, window);
    let mut found = Vec::new();
    for device in sorted(devices) {
        let mut earlier = Earlier { sql, c, device, open: None, since_ms };
        found.extend(earlier.of_die(now_unix_ms)?);
    }
    for device in sorted(devices).filter(|device| device.die.is_some()) {
        sql.execute(
            "UPDATE sightings SET die = $3, die_serial = $4 WHERE uuid = $1 AND c = $2",
            &[device.uuid.into(), (*c).into(), device.die.into(), text(&device.die_serial)],
        )?;
    }
    Ok(found)
}

/// The beginning of a window that ends now, ms since 1970.
fn since(now_unix_ms: u64, window: Duration) -> u64 {
    now_unix_ms.saturating_sub(u64::try_from(window.as_millis()).unwrap_or(u64::MAX))
}

/// In one order for everybody, so that no two callers wait for each other.
fn sorted(devices: &[Sighting]) -> impl Iterator<Item = &Sighting> {
    let by_uuid: BTreeMap<Uuid, &Sighting> = devices.iter().map(|d| (d.uuid, d)).collect();
    by_uuid.into_values()
}

fn text(reported: &Option<String>) -> Value {
    reported.as_deref().map(bounded).as_deref().into()
}

/// Makes the device's row and takes it: whoever else names it waits.
fn take(sql: &mut dyn Sql, uuid: &Uuid, now_unix_ms: u64) -> Result<(), DbError> {
    sql.execute(
        "INSERT INTO devices (uuid, first_seen) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        &[(*uuid).into(), ms(now_unix_ms)],
    )?;
    let lock = format!("SELECT first_seen FROM devices WHERE uuid = $1{}", sql.row_lock());
    sql.query(&lock, &[(*uuid).into()])?;
    Ok(())
}

/// As [`take`], of all dies, in one order for everybody.
fn take_dies(sql: &mut dyn Sql, naming: Naming<'_>) -> Result<(), DbError> {
    let dies: BTreeSet<Digest> = sorted(naming.devices).filter_map(|device| device.die).collect();
    for die in dies {
        sql.execute(
            "INSERT INTO dies (die, first_seen) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[die.into(), ms(naming.now_unix_ms)],
        )?;
        let lock = format!("SELECT first_seen FROM dies WHERE die = $1{}", sql.row_lock());
        sql.query(&lock, &[die.into()])?;
    }
    Ok(())
}

/// Adds a sighting, or exchanges that of the same challenge.
fn add(sql: &mut dyn Sql, c: &Digest, device: &Sighting, now_unix_ms: u64) -> Result<(), DbError> {
    sql.execute(
        "INSERT INTO sightings (uuid, c, seen, serial, pci, miner, host, die, die_serial) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (uuid, c) DO UPDATE SET \
         seen = excluded.seen, serial = excluded.serial, pci = excluded.pci, \
         miner = excluded.miner, host = excluded.host, die = excluded.die, \
         die_serial = excluded.die_serial",
        &[
            device.uuid.into(),
            (*c).into(),
            ms(now_unix_ms),
            text(&device.serial),
            text(&device.pci),
            device.miner.into(),
            text(&device.host),
            device.die.into(),
            text(&device.die_serial),
        ],
    )?;
    Ok(())
}

/// From the issue of a live session's challenge to its commitment, ms since 1970.
#[derive(Clone, Copy, Debug)]
struct Open {
    issued: u64,
    arrived: u64,
}

impl Open {
    /// That of the challenge; `None` if it has no live session. A miner that answers without one may
    /// have had the token lie there for hours.
    fn of(sql: &mut dyn Sql, naming: Naming<'_>) -> Result<Option<Self>, DbError> {
        let Naming { c, now_unix_ms, named, .. } = naming;
        let statement = "SELECT issued, arrived, coin FROM challenges WHERE c = $1";
        let rows = sql.query(statement, &[(*c).into()])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let is_live = named == Named::InSession || row.digest_or_null(2)?.is_some();
        let arrived = row.count_or_null(1)?.unwrap_or(now_unix_ms);
        Ok(is_live.then_some(Self { issued: row.count(0)?, arrived }))
    }
}

/// Miners that were verified under a device's name in other challenges.
const VERIFIED_MINERS: &str = "SELECT miner FROM sightings WHERE uuid = $1 AND c <> $2 \
     AND EXISTS (SELECT 1 FROM challenges \
     WHERE challenges.c = sightings.c AND challenges.outcome = 'verified')";

/// The claim was made by whoever meets what is asked of `named`.
const CLAIMED_BY: &str = "EXISTS (SELECT 1 FROM sightings AS named \
     WHERE named.uuid = claims.uuid AND named.c = claims.c";

/// The challenge `other` belongs to another session than $2: rounds of one session follow
/// each other, and the last one may be judged while the next is under way.
fn of_another_session(other: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM challenges AS own \
         JOIN challenges AS theirs ON COALESCE(theirs.session, theirs.c) = \
         COALESCE(own.session, own.c) WHERE own.c = $2 AND theirs.c = {other})"
    )
}

/// The other challenges' sightings of one device.
struct Earlier<'a> {
    sql: &'a mut dyn Sql,
    c: &'a Digest,
    device: &'a Sighting,
    /// Of the session in which the device is named now.
    open: Option<Open>,
    /// Older ones don't count, ms since 1970.
    since_ms: u64,
}

impl Earlier<'_> {
    fn findings(
        &mut self,
        now_unix_ms: u64,
        host_since_ms: u64,
    ) -> Result<Vec<HistoryFinding>, DbError> {
        let (uuid, since_ms) = (self.device.uuid, self.since_ms);
        let mut found = Vec::new();
        let mut add = |code, text: String| found.push(HistoryFinding { code, text });
        if let Some(miner) = self.device.miner
            && let Some((other, seen)) = self.newest_other("miner", miner.into(), since_ms)?
        {
            let text = format!("{uuid} is named by {miner} and was by {} {seen}", shown(&other));
            add(HistoryCode::UuidUnderTwoIdentities, text);
        }
        if let Some(host) = self.device.host.as_deref().map(bounded)
            && let Some((other, seen)) = self.newest_other("host", (*host).into(), host_since_ms)?
        {
            let text = format!("{uuid} is on host {host:?} and was on {} {seen}", shown(&other));
            add(HistoryCode::UuidChangedHost, text);
        }
        if let Some(text) = self.other_session(now_unix_ms)? {
            add(HistoryCode::UuidInTwoSessions, text);
        }
        if let Some(serial) = self.device.serial.as_deref().map(bounded)
            && let Some((other, seen)) = self.newest_other("serial", (*serial).into(), since_ms)?
        {
            let text =
                format!("{uuid} has serial number {serial:?} and had {} {seen}", shown(&other));
            add(HistoryCode::UuidChangedSerial, text);
        }
        Ok(found)
    }

    /// What the die's signatures for other challenges say. Unlike a name, no stranger can
    /// have made them: they count with and without a key, and from the moment at which they
    /// are on record in a session that still is under way.
    fn of_die(&mut self, now_unix_ms: u64) -> Result<Vec<HistoryFinding>, DbError> {
        let Some(die) = self.device.die else { return Ok(Vec::new()) };
        let uuid = self.device.uuid;
        let mut found = Vec::new();
        let mut add = |code, text: String| found.push(HistoryFinding { code, text });
        if let Some(miner) = self.device.miner
            && let Some((other, seen)) =
                self.signed_other(die, "miner", miner.into(), now_unix_ms)?
        {
            let text = format!("die {die} signs for {miner} and did for {} {seen}", shown(&other));
            add(HistoryCode::DieUnderTwoIdentities, text);
        }
        if let Some((other, seen)) = self.signed_other(die, "uuid", uuid.into(), now_unix_ms)? {
            let text = format!("die {die} is named {uuid} and was {} {seen}", shown(&other));
            add(HistoryCode::DieChangedUuid, text);
        }
        if let Some((other, seen)) = self.newest_other("die", die.into(), self.since_ms)? {
            let text = format!("{uuid} is die {die} and was {} {seen}", shown(&other));
            add(HistoryCode::UuidChangedDie, text);
        }
        Ok(found)
    }

    /// The newest signature of `die` since the window began beside which `column` was not
    /// `value`: what it was, and when.
    fn signed_other(
        &mut self,
        die: Digest,
        column: &'static str,
        value: Value,
        now_unix_ms: u64,
    ) -> Result<Option<(Value, String)>, DbError> {
        let query = format!(
            "SELECT seen, {column} FROM sightings WHERE die = $1 AND c <> $2 \
             AND {column} IS NOT NULL AND {column} <> $3 AND seen >= $4 \
             AND (EXISTS (SELECT 1 FROM challenges \
             WHERE challenges.c = sightings.c AND challenges.outcome = 'verified') \
             OR EXISTS (SELECT 1 FROM claims WHERE claims.c = sightings.c AND until > $5)) \
             ORDER BY seen DESC LIMIT 1"
        );
        let values = [die.into(), (*self.c).into(), value, ms(self.since_ms), ms(now_unix_ms)];
        newest(self.sql.query(&query, &values)?)
    }

    /// Another live session that claims the device, or that was verified with it while
    /// this one's challenge was out. A miner that was verified under its name is not
    /// hindered by those that were not, within the window: else a stranger could claim
    /// the name, say nothing more, and have its holder rejected.
    fn other_session(&mut self, now_unix_ms: u64) -> Result<Option<String>, DbError> {
        let uuid = self.device.uuid;
        let mut values = vec![uuid.into(), (*self.c).into(), ms(now_unix_ms)];
        let by_whom = if self.is_held()? {
            values.push(ms(self.since_ms));
            format!("AND {CLAIMED_BY} AND named.miner IN ({VERIFIED_MINERS} AND seen >= $4))")
        } else if self.device.miner.is_some() {
            format!("AND {CLAIMED_BY} AND named.miner IS NOT NULL)")
        } else {
            String::new()
        };
        let query = format!(
            "SELECT c FROM claims WHERE uuid = $1 AND c <> $2 AND until > $3 AND {} {by_whom} \
             ORDER BY c LIMIT 1",
            of_another_session("claims.c")
        );
        if let Some(row) = self.sql.query(&query, &values)?.first() {
            let other = row.digest(0)?;
            return Ok(Some(format!("{uuid} is claimed by the live session of {other}, too")));
        }

        // By turns: from challenge to commitment both were at work.
        let Some(Open { issued, arrived }) = self.open else { return Ok(None) };
        let query = format!(
            "SELECT sightings.c FROM sightings \
             JOIN challenges ON challenges.c = sightings.c \
             WHERE sightings.uuid = $1 AND sightings.c <> $2 AND sightings.seen > $3 \
             AND challenges.issued < $4 AND challenges.coin IS NOT NULL \
             AND challenges.outcome = 'verified' AND {} AND {} ORDER BY sightings.seen LIMIT 1",
            of_another_session("sightings.c"),
            self.with_key()
        );
        let [device, own] = [uuid.into(), (*self.c).into()];
        let rows = self.sql.query(&query, &[device, own, ms(issued), ms(arrived)])?;
        let Some(row) = rows.first() else { return Ok(None) };
        let other = row.digest(0)?;
        Ok(Some(format!("{uuid} answered {other} while this live session was open, too")))
    }

    /// Which sightings count at all: what was named without a key is anybody's word,
    /// and does not count against a miner with one.
    fn with_key(&self) -> &'static str {
        if self.device.miner.is_some() { "sightings.miner IS NOT NULL" } else { "TRUE" }
    }

    /// Whether the miner who names the device was verified under its name before.
    fn is_held(&mut self) -> Result<bool, DbError> {
        let Some(miner) = self.device.miner else { return Ok(false) };
        let query = format!("{VERIFIED_MINERS} AND miner = $3 LIMIT 1");
        let values = [self.device.uuid.into(), (*self.c).into(), miner.into()];
        Ok(!self.sql.query(&query, &values)?.is_empty())
    }

    /// The newest sighting since `since_ms` whose `column` is there and is not
    /// `value`: what it was, and when. Only those of verified results count: else
    /// anyone could speak against a device by naming it in junk, and whoever was
    /// rejected for a name would take it from its holder.
    fn newest_other(
        &mut self,
        column: &'static str,
        value: Value,
        since_ms: u64,
    ) -> Result<Option<(Value, String)>, DbError> {
        let rows = self.sql.query(
            &format!(
                "SELECT seen, {column} FROM sightings WHERE uuid = $1 AND c <> $2 \
                 AND {column} IS NOT NULL AND {column} <> $3 AND seen >= $4 AND {} \
                 AND EXISTS (SELECT 1 FROM challenges \
                 WHERE challenges.c = sightings.c AND challenges.outcome = 'verified') \
                 ORDER BY seen DESC LIMIT 1",
                self.with_key()
            ),
            &[self.device.uuid.into(), (*self.c).into(), value, ms(since_ms)],
        )?;
        newest(rows)
    }
}

/// The value in the first row, and when it was seen.
fn newest(rows: Vec<Row>) -> Result<Option<(Value, String)>, DbError> {
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let unix_s = i64::try_from(row.count(0)? / 1000).unwrap_or(i64::MAX);
    let when = time::format(unix_s).map_or_else(String::new, |text| format!("at {text}"));
    Ok(row.0.into_iter().nth(1).map(|other| (other, when)))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Bytes(bytes) => hex::encode(bytes),
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(integer) => integer.to_string(),
        Value::Null => String::new(),
    }
}
