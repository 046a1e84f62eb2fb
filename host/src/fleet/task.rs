//! What became of every session of a campaign, once.
//!
//! Guarantees: a record changes only from the revision that was read, so of several validators
//! one changes it; one that is done stays.
//! Deliberately lacks: the sessions themselves.

use super::names;
use super::store::last;
use crate::protocol::digest::Digest;
use crate::protocol::signature::EncodedKey;
use async_nats::Client;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};
use serde::{Deserialize, Serialize};

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// A validator is at it.
    Running,
    /// It is to be tried again.
    Waiting,
    /// It is over.
    Done,
}

/// The record of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// How far it is.
    pub state: TaskState,
    /// The validator that wrote this.
    pub validator: String,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// When the attempt began by that validator's clock, ms since 1970.
    pub since_unix_ms: u64,
    /// `verified`, `rejected` or `could-not-run`, of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why, if it is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The session's first challenge, if one was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<Digest>,
    /// When the challenge went out after the first one of its group, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread_ms: Option<u64>,
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// What it says.
    pub record: Record,
    /// Its revision.
    pub revision: u64,
}

/// The bucket does not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
#[error("no task record: {0}\nCheck that nats-server runs, with JetStream on.")]
pub struct TaskError(String);

fn failed(error: impl std::fmt::Display) -> TaskError {
    TaskError(error.to_string())
}

/// The records of all tasks.
#[derive(Clone)]
pub struct Tasks {
    client: Client,
    bucket: Store,
}

impl Tasks {
    /// In this bucket.
    pub fn new(client: Client, bucket: Store) -> Self {
        Self { client, bucket }
    }

    /// The record of a task, if there is one.
    ///
    /// # Errors
    /// [`TaskError`].
    pub async fn read(&self, name: &str) -> Result<Option<Read>, TaskError> {
        let entry = self.bucket.entry(name.to_owned()).await.map_err(failed)?;
        let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&entry.value).map_err(failed)?;
        Ok(Some(Read { record, revision: entry.revision }))
    }

    /// Writes a record in place of revision `before`, or where there is none. The new
    /// revision; `None` if somebody else was there first.
    ///
    /// # Errors
    /// [`TaskError`]: it may be written or not.
    pub async fn write(
        &self,
        name: &str,
        record: &Record,
        before: Option<u64>,
    ) -> Result<Option<u64>, TaskError> {
        let bytes = serde_json::to_vec(record).map_err(failed)?.into();
        match before {
            None => match self.bucket.create(name, bytes).await {
                Ok(revision) => Ok(Some(revision)),
                Err(error) if error.kind() == CreateErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(failed(error)),
            },
            Some(before) => match self.bucket.update(name, bytes, before).await {
                Ok(revision) => Ok(Some(revision)),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
                Err(error) => Err(failed(error)),
            },
        }
    }

    /// The secret that validators share; the first one that asks makes it.
    ///
    /// # Errors
    /// [`TaskError`].
    pub async fn secret(&self) -> Result<[u8; 32], TaskError> {
        const SECRET: &str = "secret";
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(failed)?;
        match self.bucket.create(SECRET, fresh.to_vec().into()).await {
            Ok(_) => return Ok(fresh),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let found = self.bucket.get(SECRET).await.map_err(failed)?;
        found.and_then(|bytes| bytes[..].try_into().ok()).ok_or_else(|| failed("no secret"))
    }

    /// All records whose names fit `filter`, in which `*` stands for a token.
    ///
    /// # Errors
    /// [`TaskError`].
    pub async fn all(&self, filter: &str) -> Result<Vec<(TaskName, Record)>, TaskError> {
        let found = last(&self.client, names::TASKS, filter).await.map_err(failed)?;
        let mut all = Vec::new();
        for (key, value) in found {
            if let Some(name) = TaskName::read(&key)
                && let Ok(record) = serde_json::from_slice(&value)
            {
                all.push((name, record));
            }
        }
        Ok(all)
    }
}

/// Which task a record is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName {
    /// The campaign.
    pub campaign: String,
    /// The slot in it.
    pub slot: String,
    /// The miner.
    pub miner: EncodedKey,
}

impl TaskName {
    fn read(key: &str) -> Option<Self> {
        let [campaign, slot, miner] = key.split('.').collect::<Vec<_>>()[..] else { return None };
        let miner = serde_json::from_value(miner.into()).ok()?;
        Some(Self { campaign: campaign.to_owned(), slot: slot.to_owned(), miner })
    }

    /// The key in the bucket.
    pub fn text(&self) -> String {
        names::task(&self.campaign, &self.slot, self.miner)
    }
}
