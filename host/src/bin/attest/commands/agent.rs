//! `attest agent`: a miner's daemon on NATS.

use crate::args;
use crate::commands::respond::{said, warm};
use crate::commands::run::choice;
use crate::outcome::{Result, note};
use crate::paint::duration;
use crate::service;
use crate::signals::Stop;
use crate::systemd;
use attest::evidence;
use attest::fleet::agent::{Agent, Doing};
use attest::fleet::connect::{Connection, Server, connect};
use attest::fleet::metrics::AgentMetrics;
use attest::identity::SigningIdentity;
use attest::monitor::Health;
use attest::session::miner::{End, SESSION_DEFAULT};
use attest::session::respond::{Equipment as _, Miner};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the session under way may take to end after SIGTERM.
const DRAINING: Duration = Duration::from_secs(3600);

/// How often the connection is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Answers until a signal comes.
///
/// # Errors
/// No key, no device, no connection.
pub fn run(args: &args::Agent) -> Result {
    let stop = Stop::listen()?;
    let choice = choice(args.answering.executor, args.answering.devices.as_ref())?;
    let identity = Arc::new(SigningIdentity::read(&args.key)?);
    let runtime = super::runtime()?;
    let metrics = Arc::new(AgentMetrics::new());
    let health = Arc::new(Health::needing(&["devices", "nats"]));
    let shown = Arc::clone(&metrics);
    let monitored = service::watch_over(args.metrics.as_deref(), move || shown.text(), &health);
    runtime.block_on(monitored)?;
    let (connected, connection) = watch::channel(None);
    runtime.spawn(look(Arc::clone(&metrics), Arc::clone(&health), connection));
    systemd::status("warming up the devices");
    let begun = Instant::now();
    let pool = warm(&choice, args.answering.gpus)?;
    note(&format!("ready after {}", duration(begun.elapsed())));
    metrics.set_devices(pool.devices().map_or(0, |devices| devices.len()));
    health.set("devices", true);
    let urgent = stop.drain_within(DRAINING);
    let miner = Miner {
        identity: Some(Arc::clone(&identity)),
        session_max: args.max_session.unwrap_or(SESSION_DEFAULT),
        stop: Arc::clone(&urgent),
        ..Miner::new(Arc::new(pool))
    };
    systemd::status("waiting for the NATS server");
    let ended = runtime.block_on(async {
        let server = server(&args.nats);
        let name = format!("attest agent {}", identity.public());
        let reached = connect(&server, Some(&identity), &name, true);
        let Some(connection) = service::unless_stopped(&stop, reached).await.transpose()? else {
            return Ok(());
        };
        connected.send_replace(Some(connection.clone()));
        let mut agent = Agent::new(connection, Arc::new(miner))?;
        agent.host = evidence::own_machine_id();
        let (told, ending) = watch::channel(false);
        note(&format!("miner {}", identity.public()));
        let watch = |doing: Doing| {
            metrics.saw(&doing);
            tell(doing);
        };
        tokio::select! {
            ended = agent.run(ending, &watch) => anyhow::Ok(ended?),
            () = service::drain(&stop, "no more sessions are taken", &told) => unreachable!("it has no end"),
        }
    });
    runtime.shutdown_background();
    ended?;
    Ok(service::done(&stop, &urgent))
}

/// Looks at the connection once there is one, and says that the program is alive.
async fn look(
    metrics: Arc<AgentMetrics>,
    health: Arc<Health>,
    connection: watch::Receiver<Option<Connection>>,
) {
    loop {
        health.beat();
        if let Some(connection) = &*connection.borrow() {
            let is_connected = connection.is_connected();
            health.set("nats", is_connected);
            metrics.set_connection(is_connected, *connection.losses.borrow());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Where a fleet is, as typed.
pub(super) fn server(typed: &args::Nats) -> Server {
    Server { url: typed.nats.clone(), ca: typed.tls_ca.clone() }
}

fn tell(doing: Doing) {
    match doing {
        Doing::Listening => {
            note("waiting for validators");
            systemd::ready("online");
        }
        Doing::Began(session) => {
            note(&format!("session {session}"));
            systemd::status("busy with a session");
        }
        Doing::Ended(session, end) => {
            let end = match end {
                End::Verdict(verdict) => said(&verdict),
                End::Fault(fault) => fault.to_string(),
                End::Refused(refusal) => refusal.to_string(),
                End::Own(own) => own.to_string(),
            };
            note(&format!("session {session}: {}", end.lines().next().unwrap_or_default()));
            systemd::status("online");
        }
    }
}
