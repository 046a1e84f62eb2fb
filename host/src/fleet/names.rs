//! Subjects, buckets and streams: the one place that spells them.

use crate::protocol::signature::EncodedKey;

/// The bucket of announcements.
pub const AGENTS: &str = "attest_agents";
/// The bucket of tasks.
pub const TASKS: &str = "attest_tasks";
/// The stream of jobs.
pub const JOBS: &str = "attest_jobs";
/// Its consumer, which all validators share.
pub const VALIDATORS: &str = "validators";
/// All subjects of jobs.
pub const ALL_JOBS: &str = "attest.fleet.jobs.*";

/// Invitations for agents of this key.
pub fn ask(key: EncodedKey) -> String {
    format!("attest.fleet.m.{key}.ask")
}

/// Frames to an agent.
pub fn to(key: EncodedKey, session: &str) -> String {
    format!("attest.fleet.m.{key}.to.{session}")
}

/// Frames from an agent.
pub fn from(key: EncodedKey, session: &str) -> String {
    format!("attest.fleet.m.{key}.from.{session}")
}

/// Where an agent announces itself.
pub fn announcement(key: EncodedKey) -> String {
    format!("$KV.{AGENTS}.{key}")
}

/// Jobs of a campaign.
pub fn jobs(campaign: &str) -> String {
    format!("attest.fleet.jobs.{campaign}")
}

/// A task's key in its bucket.
pub fn task(campaign: &str, slot: &str, key: EncodedKey) -> String {
    format!("{campaign}.{slot}.{key}")
}

/// Whether `text` can be one token of a subject that this program makes.
pub fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// A new name that nobody can guess: 32 hex digits.
///
/// # Errors
/// The system gives no random bytes.
pub fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}
