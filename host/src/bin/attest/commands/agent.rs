//! `attest agent`: a miner's daemon on NATS.

use crate::args;
use crate::commands::respond::warm;
use crate::commands::run::choice;
use crate::outcome::{Done, Result, note};
use crate::paint::duration;
use crate::signals::Stop;
use attest::evidence;
use attest::fleet::agent::{Agent, Doing};
use attest::fleet::connect::{Server, connect};
use attest::identity::SigningIdentity;
use attest::session::miner::{End, SESSION_DEFAULT};
use attest::session::respond::Miner;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the session under way may take to end after SIGTERM.
const DRAINING: Duration = Duration::from_secs(3600);

/// Answers until a signal comes.
///
/// # Errors
/// No key, no device, no connection.
pub fn run(args: &args::Agent) -> Result {
    let stop = Stop::listen()?;
    let choice = choice(args.answering.executor, args.answering.devices.as_ref())?;
    let identity = Arc::new(SigningIdentity::read(&args.key)?);
    let begun = Instant::now();
    let pool = warm(&choice, args.answering.gpus)?;
    note(&format!("ready after {}", duration(begun.elapsed())));
    let miner = Miner {
        identity: Some(Arc::clone(&identity)),
        session_max: args.max_session.unwrap_or(SESSION_DEFAULT),
        ..Miner::new(Arc::new(pool))
    };
    stop.settle_within(DRAINING);
    let runtime = super::runtime()?;
    let ended = runtime.block_on(async {
        let server = server(&args.nats);
        let name = format!("attest agent {}", identity.public());
        let connection = connect(&server, Some(&identity), &name, true).await?;
        let mut agent = Agent::new(connection, Arc::new(miner))?;
        agent.host = evidence::own_machine_id();
        let (told, ending) = watch::channel(false);
        let signal = async {
            super::stopped(&stop).await;
            note("ending: no more sessions are taken");
            told.send_replace(true);
            std::future::pending::<()>().await;
        };
        let key = identity.public();
        note(&format!("miner {key}"));
        tokio::select! {
            ended = agent.run(ending, &tell) => anyhow::Ok(ended?),
            () = signal => unreachable!("it has no end"),
        }
    });
    runtime.shutdown_background();
    ended.map(|()| Done::Ok)
}

/// Where a fleet is, as typed.
pub(super) fn server(typed: &args::Nats) -> Server {
    Server { url: typed.nats.clone(), ca: typed.tls_ca.clone() }
}

fn tell(doing: Doing) {
    match doing {
        Doing::Listening => note("waiting for validators"),
        Doing::Began(session) => note(&format!("session {session}")),
        Doing::Ended(session, end) => {
            let end = match end {
                End::Verdict(verdict) => {
                    let code = verdict.code.as_deref().unwrap_or_default().escape_debug();
                    format!("the validator says: {:?} {code}", verdict.outcome).to_lowercase()
                }
                End::Fault(fault) => fault.to_string(),
                End::Refused(refusal) => refusal.to_string(),
                End::Own(own) => own.to_string(),
            };
            note(&format!("session {session}: {}", end.lines().next().unwrap_or_default()));
        }
    }
}
