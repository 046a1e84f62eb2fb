//! Who is there: announcements of agents, and what a validator knows of them.
//!
//! Guarantees: an announcement is bounded before it is parsed; whether an agent is there is
//! decided by when this side last heard of it, and by no other machine's clock.
//! Deliberately lacks: trust. All of an announcement is the agent's own word.

use crate::protocol::signature::EncodedKey;
use crate::session::message::Device;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// How often an agent announces itself, unless told otherwise.
pub const BEAT: Duration = Duration::from_secs(5);
/// Beats without which an agent is gone.
pub const BEATS_MISSED: u32 = 4;
/// Longest announcement that is read, bytes.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 32 * 1024;
/// Instances of one key that are kept apart.
const INSTANCES_MAX: usize = 8;

/// An agent's own description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Version of this form: 1.
    pub version: u32,
    /// Drawn at the agent's start.
    pub instance: String,
    /// What it does.
    pub state: AgentState,
    /// The session that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Its program.
    pub software: String,
    /// The name of its host, as evidence has it: a digest of the machine's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Its address as the server told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What it would list in a hello.
    pub devices: Vec<Device>,
}

/// What an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It takes sessions.
    Online,
    /// It holds one, or ends.
    Busy,
    /// It is not there. No agent says so.
    Offline,
}

impl AgentState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }
}

impl Announcement {
    /// Reads one; `None` if it is none, or too long.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > ANNOUNCEMENT_BYTES_MAX {
            return None;
        }
        let read: Self = serde_json::from_slice(bytes).ok()?;
        let is_fit = read.version == 1
            && super::names::is_token(&read.instance)
            && read.session.as_deref().is_none_or(super::names::is_token)
            && read.state != AgentState::Offline;
        is_fit.then_some(read)
    }
}

/// An agent that is there.
#[derive(Clone, Debug)]
pub struct Present {
    /// The last announcement.
    pub announcement: Announcement,
    /// When it came.
    pub heard: Instant,
    /// Instances of this key that were heard lately, the last one at the end.
    instances: VecDeque<(String, Instant)>,
}

impl Present {
    /// Instances of the key that were heard within `within` before `now`.
    pub fn instances(&self, now: Instant, within: Duration) -> usize {
        let is_there = |heard: &Instant| now.saturating_duration_since(*heard) <= within;
        self.instances.iter().filter(|(_, heard)| is_there(heard)).count()
    }
}

/// All agents that were heard of.
#[derive(Debug, Default)]
pub struct Presence {
    agents: HashMap<EncodedKey, Present>,
}

impl Presence {
    /// An announcement came, or the removal of one.
    pub fn heard(&mut self, key: EncodedKey, announcement: Option<Announcement>, now: Instant) {
        let Some(announcement) = announcement else {
            self.agents.remove(&key);
            return;
        };
        let instance = announcement.instance.clone();
        let mut instances =
            self.agents.remove(&key).map(|present| present.instances).unwrap_or_default();
        instances.retain(|(other, _)| *other != instance);
        instances.push_back((instance, now));
        while instances.len() > INSTANCES_MAX {
            instances.pop_front();
        }
        self.agents.insert(key, Present { announcement, heard: now, instances });
    }

    /// Forgets agents that were not heard within `within`.
    pub fn forget(&mut self, now: Instant, within: Duration) {
        self.agents.retain(|_, present| now.saturating_duration_since(present.heard) <= within);
    }

    /// The agent of this key.
    pub fn get(&self, key: EncodedKey) -> Option<&Present> {
        self.agents.get(&key)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = (EncodedKey, &Present)> {
        self.agents.iter().map(|(key, present)| (*key, present))
    }

    /// Whether the agent `instance` of `key` still is with the session: it was heard within
    /// `within`, and not as one that has left it.
    pub fn is_with(
        &self,
        key: EncodedKey,
        instance: &str,
        session: &str,
        since: Instant,
        now: Instant,
        within: Duration,
    ) -> bool {
        let Some(present) = self.agents.get(&key) else { return false };
        let heard = present.instances.iter().find(|(other, _)| other == instance);
        let is_heard =
            heard.is_some_and(|(_, heard)| now.saturating_duration_since(*heard) <= within);
        let last = &present.announcement;
        let has_left = last.instance == instance
            && present.heard > since
            && last.session.as_deref() != Some(session);
        is_heard && !has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: EncodedKey = EncodedKey([1; 32]);

    fn announcement(instance: &str, session: Option<&str>) -> Announcement {
        Announcement {
            version: 1,
            instance: instance.to_owned(),
            state: if session.is_some() { AgentState::Busy } else { AgentState::Online },
            session: session.map(str::to_owned),
            software: "attest".to_owned(),
            host: None,
            address: None,
            devices: Vec::new(),
        }
    }

    #[test]
    fn an_announcement_is_read_as_it_is_written_and_bounded() {
        let said = announcement("a1", Some("b2"));
        let text = serde_json::to_vec(&said).unwrap();
        assert_eq!(Announcement::read(&text), Some(said));
        assert_eq!(Announcement::read(&vec![b' '; ANNOUNCEMENT_BYTES_MAX + 1]), None);
        let wild = serde_json::to_vec(&announcement("a.>", None)).unwrap();
        assert_eq!(Announcement::read(&wild), None);
        let offline = String::from_utf8(text).unwrap().replace("busy", "offline");
        assert_eq!(Announcement::read(offline.as_bytes()), None);
    }

    #[test]
    fn who_is_silent_or_leaves_the_session_is_not_with_it() {
        let (start, within) = (Instant::now(), Duration::from_secs(20));
        let at = |s| start + Duration::from_secs(s);
        let mut presence = Presence::default();
        presence.heard(KEY, Some(announcement("a", None)), at(0));
        let is_with =
            |presence: &Presence, s| presence.is_with(KEY, "a", "s", at(1), at(s), within);
        assert!(is_with(&presence, 2), "what it said before the session says nothing of it");
        assert!(!is_with(&presence, 21));
        presence.heard(KEY, Some(announcement("a", Some("s"))), at(5));
        assert!(is_with(&presence, 25));
        // Another agent with the same key takes nothing from it.
        presence.heard(KEY, Some(announcement("b", None)), at(6));
        assert!(is_with(&presence, 7));
        assert_eq!(presence.get(KEY).unwrap().instances(at(7), within), 2);
        presence.heard(KEY, Some(announcement("a", None)), at(8));
        assert!(!is_with(&presence, 9));
        presence.heard(KEY, None, at(10));
        assert!(presence.get(KEY).is_none());
    }
}
