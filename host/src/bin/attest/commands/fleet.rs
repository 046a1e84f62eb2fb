//! `attest fleet`: a validator's daemon, and looks at the fleet.

mod look;

use super::agent::server;
use super::makers::Makers;
use crate::args::{self, FleetAction, LedgerPlace};
use crate::commands::validate;
use crate::outcome::{Done, Result, note};
use crate::service;
use crate::signals::Stop;
use crate::systemd;
use anyhow::{Context as _, bail};
use attest::files::Source;
use attest::fleet::authorize::configuration;
use attest::fleet::connect::{Connection, connect};
use attest::fleet::dial::Dialler;
use attest::fleet::metrics::FleetMetrics;
use attest::fleet::plan::Job;
use attest::fleet::presence::{BEAT, BEATS_MISSED};
use attest::fleet::run::{Daemon, Doing, outcome_name, queue};
use attest::fleet::schedule::{SCHEDULE_BYTES_MAX, Schedule};
use attest::fleet::store::Stores;
use attest::fleet::task::{TaskName, TaskState};
use attest::identity::SigningIdentity;
use attest::monitor::Health;
use attest::session::clock::unix_ms;
use attest::session::drive::Validator;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long sessions under way may take to end after a signal.
const DRAINING: Duration = Duration::from_secs(600);

/// Does what was asked.
///
/// # Errors
/// No connection, no streams, no ledger.
pub fn run(args: &args::Fleet, ledger: Option<&LedgerPlace>) -> Result {
    match &args.action {
        FleetAction::Run(args) => daemon(args, ledger),
        FleetAction::Status(args) => look::status(args),
        FleetAction::Miners(args) => look::miners(args),
        FleetAction::Campaigns(args) => look::campaigns(args),
        FleetAction::Show(args) => look::show(args),
        FleetAction::Challenge(args) => challenge(args),
        FleetAction::Authorize(args) => {
            crate::outcome::print(&configuration(&args.validators, &args.miners))?;
            Ok(Done::Ok)
        }
    }
}

/// How long an agent is there after its last announcement.
fn gone_after() -> Duration {
    BEAT * BEATS_MISSED
}

async fn reach(
    nats: &args::Nats,
    key: Option<&Path>,
    patiently: bool,
) -> anyhow::Result<Connection> {
    let identity = key.map(SigningIdentity::read).transpose()?.map(Arc::new);
    Ok(connect(&server(nats), identity.as_ref(), "attest fleet", patiently).await?)
}

fn daemon(args: &args::FleetRun, ledger: Option<&LedgerPlace>) -> Result {
    let stop = Stop::listen()?;
    let schedule = match &args.schedule {
        Some(path) => {
            let source = Source::File(path.clone());
            Schedule::from_toml(&source.read_text(SCHEDULE_BYTES_MAX as u64)?, &source.name())?
        }
        None => Schedule::default(),
    };
    let (request, policy) =
        (args.ask.request(), validate::policy(args.policy.as_deref(), args.no_policy)?);
    if request.miner_id.is_some() {
        bail!(
            "a fleet's challenges name the miner that each is for\nLeave --miner-id out; `attest fleet challenge KEY` challenges one miner."
        );
    }
    validate::check(&request, policy.is_some())?;
    let ledger = crate::ledger::chosen(Some(ledger.unwrap_or(&LedgerPlace::Default)))?
        .context("a fleet needs a ledger\nLeave --ledger none out.")?;
    let identity = args.key.as_deref().map(SigningIdentity::read).transpose()?.map(Arc::new);
    let mut validator = Validator::new(ledger, request);
    validator.identity = identity;
    validator.policy = policy;
    Makers::read(&args.makers)?.give(&mut validator);
    // A miner that has accepted the invitation is there.
    validator.patience.pong = Duration::from_secs(10);
    let urgent = stop.drain_within(DRAINING);
    let runtime = super::runtime()?;
    let validator = Arc::new(validator);
    let metrics = Arc::new(FleetMetrics::new(args.sessions));
    let health = Arc::new(Health::needing(&["ledger", "nats"]));
    let ended = runtime.block_on(async {
        let shown = Arc::clone(&metrics);
        service::watch_over(args.metrics.as_deref(), move || shown.text(), &health).await?;
        systemd::status("waiting for the NATS server");
        let beats = tokio::spawn(beat(Arc::clone(&health)));
        let reached = reach(&args.nats, args.key.as_deref(), true);
        let Some(connection) = service::unless_stopped(&stop, reached).await.transpose()? else {
            return Ok(());
        };
        let stores = Stores::open_or_make(&connection.client, gone_after()).await?;
        let dialler = Dialler {
            connection,
            validator: Arc::clone(&validator),
            presence: Arc::default(),
            gone_after: gone_after(),
        };
        let seen = Arc::clone(&metrics);
        let watch = Arc::new(move |doing| {
            seen.saw(&doing);
            tell(doing);
        });
        let daemon = Daemon::new(stores, dialler, Some(schedule), args.sessions, watch)
            .map_err(|error| anyhow::anyhow!("no random bytes: {error}\nCheck the system."))?;
        let (told, ending) = watch::channel(false);
        let status = format!("validating, up to {} sessions at once", args.sessions);
        note(&status);
        systemd::ready(&status);
        beats.abort();
        tokio::spawn(daemon.sampler(metrics, health).run());
        let daemon = Arc::new(daemon);
        let run = daemon.run(ending);
        tokio::pin!(run);
        tokio::select! {
            () = &mut run => return anyhow::Ok(()),
            () = service::drain(&stop, "no more jobs are taken", &told) => unreachable!("it has no end"),
            () = super::is_set(&urgent) => validator.interrupt("the validator was stopped"),
        }
        run.await;
        Ok(())
    });
    runtime.shutdown_background();
    ended?;
    Ok(service::done(&stop, &urgent))
}

/// Says that the program is alive, until something else does.
async fn beat(health: Arc<Health>) {
    loop {
        health.beat();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn tell(doing: Doing) {
    match doing {
        Doing::Queued(job) => {
            note(&format!(
                "queued    {} slot {}: {} miners",
                job.campaign,
                job.slot,
                job.members.len()
            ));
        }
        Doing::Ended(name, came, is_done) => {
            let outcome = with_code(outcome_name(came.outcome), came.code.as_deref());
            let again = if is_done { "" } else { ", to be tried again" };
            let TaskName { campaign, slot, miner } = name;
            note(&format!("session   {campaign} slot {slot}, miner {miner}: {outcome}{again}"));
        }
        Doing::Planned(_) => {}
        Doing::Failed(why) => note(&format!("failed    {why}, to be tried again")),
    }
}

/// An outcome and why, if there is a reason.
fn with_code(outcome: &str, code: Option<&str>) -> String {
    code.map_or_else(|| outcome.to_owned(), |code| format!("{outcome} ({code})"))
}

/// Queues sessions with miners outside of the schedule.
fn challenge(args: &args::FleetChallenge) -> Result {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?;
    let within_ms = args.within.as_millis() as u64;
    let [a, b, c, d, rest @ ..] = random;
    let delay_ms = u64::from_be_bytes(rest) % within_ms.max(1);
    let job = Job {
        campaign: format!("c{}", hex::encode([a, b, c, d])),
        slot: "0".to_owned(),
        members: args.miners.iter().map(|key| key.encoded()).collect(),
        not_before_unix_ms: (!args.now).then(|| unix_ms() + delay_ms),
    };
    let stop = Stop::listen()?;
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let look = &args.look;
        let connection = reach(&look.nats, look.key.as_deref(), false).await?;
        let stores = Stores::open(&connection.client).await?;
        queue(&stores, &job)
            .await
            .map_err(|error| anyhow::anyhow!("the job is not in the queue: {error}\nTry again."))?;
        note(&format!("queued    campaign {}", job.campaign));
        if !args.now {
            return Ok(Done::Ok);
        }
        let mut worst = Done::Ok;
        for miner in &job.members {
            let (campaign, slot) = (job.campaign.clone(), job.slot.clone());
            let name = TaskName { campaign, slot, miner: *miner };
            let record = loop {
                if let Some(code) = stop.exit_code() {
                    return Ok(Done::Stopped(code));
                }
                if let Some(read) = stores.tasks.read(&name.text()).await?
                    && read.record.state == TaskState::Done
                {
                    break read.record;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            crate::outcome::print(&look::task_line(&name, &record, look.json))?;
            worst = match (record.outcome.as_deref(), worst) {
                (Some("verified"), worst) => worst,
                (Some("rejected"), Done::Ok) => Done::Rejected,
                (Some("rejected"), worst) => worst,
                _ => Done::CouldNotRun,
            };
        }
        Ok(worst)
    })
}
