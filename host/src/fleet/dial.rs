//! A validator's session with an agent: invited, held, and judged for whose fault it was if
//! it came to nothing.
//!
//! Guarantees: what is lost before a commitment was accepted, or while this side had no
//! connection, is nobody's fault: could-not-run; after a coin is out a miner that is gone is
//! rejected.
//! Deliberately lacks: second attempts.

use super::agent::Invitation;
use super::connect::Connection;
use super::frame::{Got, Incoming, Outgoing};
use super::link::{self, Streams};
use super::measured::{Measured, Stopwatch};
use super::names;
use super::presence::Presence;
use crate::protocol::digest::Digest;
use crate::protocol::json::printable;
use crate::protocol::signature::PublicKey;
use crate::protocol::verdict::Outcome;
use crate::session::drive::{Extras, Peering, Stage, Start, Validator};
use crate::session::validator::Ended;
use async_nats::Subscriber;
use futures_util::StreamExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long an agent may take to answer an invitation.
const ANSWER: Duration = Duration::from_secs(5);
/// How long until an invitation is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether the agent is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Looks in a row that must find it gone: frames and announcements take different ways.
const LOOKS: u32 = 3;

/// Codes of this module, besides those of verdicts.
pub(super) const CODES: [&str; 8] = [
    "offline",
    "no-answer",
    "busy",
    "lost",
    "no-key",
    "no-random-bytes",
    "not-together",
    "could-not-run",
];

/// What a session came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    /// `could-not-run` if nobody is to blame.
    pub outcome: Outcome,
    /// Why, if it is not verified.
    pub code: Option<String>,
    /// The first challenge, if one was sent.
    pub challenge: Option<Digest>,
    /// When it was sent.
    pub challenged: Option<Instant>,
    /// How long what took, and what was proven.
    pub measured: Measured,
}

impl Came {
    /// To nothing.
    pub fn to_nothing(code: &str) -> Self {
        let code = Some(code.to_owned());
        let measured = Measured::default();
        Self { outcome: Outcome::CouldNotRun, code, challenge: None, challenged: None, measured }
    }

    /// Whether there is no verdict since the miner was not there, or not all the time, as far
    /// as this validator can tell.
    pub(super) fn is_absence(&self) -> bool {
        const OURS: [&str; 3] = ["no-key", "no-random-bytes", "could-not-run"];
        let code = self.code.as_deref().unwrap_or_default();
        self.outcome == Outcome::CouldNotRun && !OURS.contains(&code)
    }
}

/// What a validator reaches agents with.
#[derive(Clone)]
pub struct Dialler {
    /// To the server.
    pub connection: Connection,
    /// Holds the sessions.
    pub validator: Arc<Validator>,
    /// Who is there.
    pub presence: Arc<Mutex<Presence>>,
    /// How long after its last announcement an agent is gone.
    pub gone_after: Duration,
}

/// An agent that takes a session.
pub struct Invited {
    key: PublicKey,
    instance: String,
    session: String,
    frames: Subscriber,
    /// When it was asked first.
    asked: std::time::Instant,
}

impl Dialler {
    /// Invites the agent of `key`.
    ///
    /// # Errors
    /// What came instead: it is not there, does not answer, or is busy.
    pub async fn invite(&self, key: PublicKey) -> Result<Invited, Came> {
        let offline = || Came::to_nothing("offline");
        let (client, encoded) = (&self.connection.client, key.encoded());
        let instance = {
            let presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
            let present = presence.get(encoded).ok_or_else(offline)?;
            present.announcement.instance.clone()
        };
        let lost = |_| Came::to_nothing("lost");
        let session = names::random().map_err(|_| Came::to_nothing("no-random-bytes"))?;
        let mut frames =
            client.subscribe(names::from(encoded, &session)).await.map_err(|_| lost(()))?;
        let invitation = Invitation { session: session.clone(), instance: instance.clone() };
        let invitation = serde_json::to_vec(&invitation).expect("strings");
        let (until, asked) = (Instant::now() + ANSWER, std::time::Instant::now());
        while Instant::now() < until {
            let sent = client.publish(names::ask(encoded), invitation.clone().into()).await;
            sent.map_err(|_| lost(()))?;
            if let Ok(Some(message)) = timeout(AGAIN, frames.next()).await {
                let got =
                    Incoming::<()>::default().take(&message.payload, (), &mut Outgoing::default());
                match got {
                    Ok(Got::Accept) => {
                        return Ok(Invited { key, instance, session, frames, asked });
                    }
                    Ok(Got::Busy) => return Err(Came::to_nothing("busy")),
                    _ => {}
                }
            }
        }
        Err(Came::to_nothing("no-answer"))
    }

    /// Holds the session, which begins as `start` says; `is_late` is set if it let the session
    /// go since its group had begun.
    pub(super) async fn hold(
        &self,
        invited: Invited,
        start: Start,
        is_late: Arc<AtomicBool>,
    ) -> Came {
        let Invited { key, instance, session, frames, asked } = invited;
        let stopwatch = Stopwatch::start(asked);
        let to = names::to(key.encoded(), &session);
        let client = self.connection.client.clone();
        let Streams { reader, stamps, writer } = link::open(client, to, frames, Duration::MAX);
        let (is_committed, first) = (AtomicBool::new(false), OnceLock::new());
        let watch = |stage: Stage<'_>| {
            stopwatch.saw(&stage);
            match stage {
                Stage::Challenged(0, challenge) => {
                    let _ = first.set((challenge.digest(), Instant::now()));
                }
                Stage::CoinSent(_) => is_committed.store(true, Ordering::SeqCst),
                _ => {}
            }
        };
        let peer = Peering { key: Some(key), address: None };
        let extras = Extras { stamps: Some(stamps), start: Some(start) };
        let holding = self.validator.session_over(reader, extras, writer, &peer, &watch);
        let mut losses = self.connection.losses.clone();
        losses.mark_unchanged();
        let (begun, mut missed, mut seen) = (Instant::now(), 0, Seen::default());
        let mut look = tokio::time::interval(LOOK);
        tokio::pin!(holding);
        // Asked when something happens: the session goes on while this waits.
        let is_early = || !is_committed.load(Ordering::SeqCst);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut holding => break Some(ended),
                _ = losses.changed() => {
                    seen.own_loss = true;
                    if is_early() {
                        break None;
                    }
                }
                _ = look.tick() => {
                    let is_with = {
                        let presence = self.presence.lock().unwrap_or_else(PoisonError::into_inner);
                        let now = Instant::now();
                        presence.is_with(
                            key.encoded(), &instance, &session, begun, now, self.gone_after,
                        )
                    };
                    missed = if is_with { 0 } else { missed + 1 };
                    seen.agent_gap |= missed >= LOOKS;
                    if missed >= LOOKS && is_early() {
                        break None;
                    }
                }
            }
        };
        seen.is_committed = is_committed.load(Ordering::SeqCst);
        let (challenge, challenged) = first.get().copied().unzip();
        let measured = stopwatch.end();
        let Some(ended) = ended else {
            // The challenge is settled as abandoned when the future is dropped.
            return Came { challenge, challenged, measured, ..Came::to_nothing("lost") };
        };
        if is_late.load(Ordering::SeqCst) && ended.session.outcome == Outcome::CouldNotRun {
            return Came { measured, ..Came::to_nothing("not-together") };
        }
        if ended.session.outcome == Outcome::CouldNotRun {
            let detail = ended.session.detail.as_deref().unwrap_or_default();
            let why = printable(&detail.lines().next().unwrap_or_default());
            tracing::warn!("a session with {key} could not run: {why}");
        }
        let (outcome, code) = seen.judge(&ended, challenge.is_some());
        Came { outcome, code, challenge, challenged, measured }
    }
}

/// What else is known of a session.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// A coin was sent.
    is_committed: bool,
    /// This side lost its connection.
    own_loss: bool,
    /// The agent was away.
    agent_gap: bool,
}

impl Seen {
    fn judge(self, ended: &Ended, is_challenged: bool) -> (Outcome, Option<String>) {
        let (outcome, code) = (ended.session.outcome, ended.session.code);
        let outcome = match outcome {
            Outcome::Rejected if self.excuses(code.unwrap_or_default(), is_challenged) => {
                return (Outcome::CouldNotRun, Some(code.unwrap_or("lost").to_owned()));
            }
            outcome => outcome,
        };
        let own = (outcome == Outcome::CouldNotRun).then_some("could-not-run");
        (outcome, code.or(own).map(str::to_owned))
    }

    /// Whether what the code says may be the network's doing, or that of a miner that has
    /// nothing to gain by it.
    fn excuses(self, code: &str, is_challenged: bool) -> bool {
        let is_absence = matches!(code, "stalled" | "closed-early");
        let is_of_time = is_absence || matches!(code, "late" | "expired");
        let before = !is_challenged && (is_absence || code == "busy");
        before || is_of_time && (self.own_loss || !self.is_committed && self.agent_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absence_is_excused_and_not_after_the_coin() {
        let none = Seen::default();
        let gap = Seen { agent_gap: true, ..none };
        let after = Seen { is_committed: true, agent_gap: true, ..none };
        let own = Seen { own_loss: true, ..after };
        // Without a challenge a miner can be busy or gone.
        assert!(none.excuses("busy", false) && none.excuses("stalled", false));
        assert!(!none.excuses("wrong-peer", false) && !gap.excuses("malformed-message", false));
        // With one it must answer, unless it was seen to be away.
        assert!(!none.excuses("stalled", true) && !none.excuses("late", true));
        assert!(gap.excuses("stalled", true) && gap.excuses("late", true));
        // It has seen the coin.
        assert!(!after.excuses("stalled", true) && !after.excuses("closed-early", true));
        assert!(own.excuses("stalled", true));
        for seen in [none, gap, after, own] {
            assert!(!seen.excuses("leaf-mismatch", true) && !seen.excuses("miner-failed", true));
        }
    }
}
