//! Looks at a fleet, for people and as JSON.

use super::{reach, with_code};
use crate::args::{FleetLook, FleetShow};
use crate::outcome::{Done, Result, print};
use attest::fleet::names;
use attest::fleet::presence::Announcement;
use attest::fleet::store::Stores;
use attest::fleet::task::{Record, TaskName, TaskState};
use attest::protocol::signature::EncodedKey;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a fleet.
struct Seen {
    agents: BTreeMap<EncodedKey, Announcement>,
    tasks: Vec<(TaskName, Record)>,
    jobs: u64,
}

fn seen(args: &FleetLook, filter: &str) -> anyhow::Result<Seen> {
    let runtime = crate::commands::runtime()?;
    runtime.block_on(async {
        let connection = reach(&args.nats, args.key.as_deref(), false).await?;
        let stores = Stores::open(&connection.client).await?;
        let agents = stores.announced().await?;
        let mut tasks = stores.tasks.all(filter).await?;
        tasks.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Seen { agents, tasks, jobs: stores.waiting().await? })
    })
}

/// How many tasks came to what.
#[derive(Default)]
struct Tally {
    verified: u64,
    rejected: u64,
    could_not_run: u64,
    under_way: u64,
}

impl Tally {
    fn of<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut tally = Self::default();
        for record in records {
            *match (record.state, record.outcome.as_deref()) {
                (TaskState::Running | TaskState::Waiting, _) => &mut tally.under_way,
                (TaskState::Done, Some("verified")) => &mut tally.verified,
                (TaskState::Done, Some("rejected")) => &mut tally.rejected,
                (TaskState::Done, _) => &mut tally.could_not_run,
            } += 1;
        }
        tally
    }

    fn json(&self) -> Value {
        json!({
            "verified": self.verified, "rejected": self.rejected,
            "could_not_run": self.could_not_run, "under_way": self.under_way,
        })
    }

    fn text(&self) -> String {
        let Self { verified, rejected, could_not_run, under_way } = self;
        format!(
            "{verified} verified, {rejected} rejected, {could_not_run} could not run, \
             {under_way} under way"
        )
    }
}

/// Prints how the fleet is.
pub(super) fn status(args: &FleetLook) -> Result {
    let seen = seen(args, "*.*.*")?;
    let online = seen.agents.values().filter(|said| said.state.name() == "online").count();
    let busy = seen.agents.len() - online;
    let tally = Tally::of(seen.tasks.iter().map(|(_, record)| record));
    print(&if args.json {
        let value = json!({
            "agents": {"online": online, "busy": busy},
            "jobs": seen.jobs, "sessions": tally.json(),
        });
        format!("{value}\n")
    } else {
        format!(
            "agents    {online} online, {busy} busy\njobs      {} in the queue\nsessions  {}\n",
            seen.jobs,
            tally.text()
        )
    })?;
    Ok(Done::Ok)
}

fn miner_json(key: EncodedKey, said: Option<&Announcement>, tally: &Tally) -> Value {
    let mut value = json!({
        "miner": key,
        "state": said.map_or("offline", |said| said.state.name()),
        "sessions": tally.json(),
    });
    if let Some(said) = said {
        value["software"] = json!(said.software);
        value["devices"] = json!(said.devices);
        value["host"] = json!(said.host);
        value["address"] = json!(said.address);
    }
    value
}

fn miner_text(key: EncodedKey, said: Option<&Announcement>, tally: &Tally) -> String {
    let state = said.map_or("offline", |said| said.state.name());
    let devices: Vec<String> = said
        .into_iter()
        .flat_map(|said| &said.devices)
        .map(|device| device.model.escape_debug().to_string())
        .collect();
    format!("{key}  {state:<7}  {}  {}\n", devices.join(", "), tally.text())
}

/// Prints all miners: those that are there, and those that had sessions.
pub(super) fn miners(args: &FleetLook) -> Result {
    let seen = seen(args, "*.*.*")?;
    let keys: BTreeSet<EncodedKey> =
        seen.agents.keys().copied().chain(seen.tasks.iter().map(|(name, _)| name.miner)).collect();
    let tally = |key| {
        let own = seen.tasks.iter().filter(move |(name, _)| name.miner == key);
        Tally::of(own.map(|(_, record)| record))
    };
    let all = keys.into_iter().map(|key| (key, seen.agents.get(&key), tally(key)));
    print(&if args.json {
        let all: Vec<Value> = all.map(|(key, said, tally)| miner_json(key, said, &tally)).collect();
        format!("{}\n", json!(all))
    } else {
        all.map(|(key, said, tally)| miner_text(key, said, &tally)).collect()
    })?;
    Ok(Done::Ok)
}

/// Prints all campaigns.
pub(super) fn campaigns(args: &FleetLook) -> Result {
    let seen = seen(args, "*.*.*")?;
    let mut campaigns: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for (name, record) in &seen.tasks {
        campaigns.entry(&name.campaign).or_default().push(record);
    }
    let all = campaigns.into_iter().map(|(name, records)| {
        let spread = records.iter().filter_map(|record| record.spread_ms).max();
        (name, Tally::of(records.into_iter()), spread)
    });
    print(&if args.json {
        let of = |(name, tally, spread): (&str, Tally, Option<u64>)| json!({"campaign": name, "sessions": tally.json(), "spread_ms": spread});
        format!("{}\n", json!(all.map(of).collect::<Vec<Value>>()))
    } else {
        let spread = |spread: Option<u64>| {
            spread.map_or(String::new(), |ms| format!(", begun within {ms} ms"))
        };
        all.map(|(name, tally, ms)| format!("{name}  {}{}\n", tally.text(), spread(ms))).collect()
    })?;
    Ok(Done::Ok)
}

/// Prints a miner and its sessions.
pub(super) fn show(args: &FleetShow) -> Result {
    let key = args.miner.encoded();
    let seen = seen(&args.look, &names::task("*", "*", key))?;
    let tally = Tally::of(seen.tasks.iter().map(|(_, record)| record));
    let said = seen.agents.get(&key);
    print(&if args.look.json {
        let mut value = miner_json(key, said, &tally);
        let tasks = seen.tasks.iter().map(|(name, record)| task_json(name, record));
        value["tasks"] = tasks.collect();
        format!("{value}\n")
    } else {
        let lines = seen.tasks.iter().map(|(name, record)| task_line(name, record, false));
        miner_text(key, said, &tally) + &lines.collect::<String>()
    })?;
    Ok(Done::Ok)
}

fn task_json(name: &TaskName, record: &Record) -> Value {
    let mut value = json!(record);
    value["campaign"] = json!(name.campaign);
    value["slot"] = json!(name.slot);
    value["miner"] = json!(name.miner);
    value
}

/// A task in a line.
pub(super) fn task_line(name: &TaskName, record: &Record, json: bool) -> String {
    if json {
        return format!("{}\n", task_json(name, record));
    }
    let outcome = match record.state {
        TaskState::Running => "running",
        TaskState::Waiting => "waiting",
        TaskState::Done => record.outcome.as_deref().unwrap_or_default(),
    };
    let outcome = with_code(outcome, record.code.as_deref());
    let challenge = record.challenge.map(|digest| format!(", {digest}")).unwrap_or_default();
    format!(
        "{} slot {}, miner {}: {outcome}, attempt {}{challenge}\n",
        name.campaign, name.slot, name.miner, record.attempt
    )
}
