//! The streams and buckets of a fleet, made if they are missing.

use super::names;
use super::presence::{ANNOUNCEMENT_BYTES_MAX, Announcement};
use super::task::Tasks;
use crate::protocol::signature::EncodedKey;
use async_nats::Client;
use async_nats::jetstream::consumer::{
    AckPolicy, Consumer, DeliverPolicy, ReplayPolicy, pull, push,
};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long records of tasks are kept.
const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How long a job may be without a sign of the validator that has it.
pub const JOB_WAIT: Duration = Duration::from_secs(30);

/// How long a server may be silent while it sends the entries of a bucket.
const SILENCE: Duration = Duration::from_secs(2);
/// How often they are asked for until it was not.
const READS: u32 = 3;

/// No streams.
#[derive(Debug, thiserror::Error)]
#[error(
    "no {what}: {cause}\nStart nats-server with JetStream (-js), and give this key the right to use it (`attest fleet authorize`)."
)]
pub struct StoreError {
    what: &'static str,
    cause: String,
}

fn failed<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> StoreError {
    move |cause| StoreError { what, cause: cause.to_string() }
}

/// What a validator uses of JetStream.
#[derive(Clone)]
pub struct Stores {
    client: Client,
    /// To publish with.
    pub context: Context,
    /// Announcements.
    pub agents: Store,
    /// Records of tasks.
    pub tasks: Tasks,
}

impl Stores {
    /// The ones that are there, made if they are missing. Announcements are kept for
    /// `gone_after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_or_make(client: &Client, gone_after: Duration) -> Result<Self, StoreError> {
        let context = jetstream::new(client.clone());
        let bucket = |name: &str| Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            allow_direct: true,
            num_replicas: 1,
            ..Config::default()
        };
        let agents = Config {
            max_age: gone_after,
            duplicate_window: gone_after.min(Duration::from_secs(2)),
            max_message_size: ANNOUNCEMENT_BYTES_MAX as i32,
            // A publisher chooses where its acknowledgement goes, and what a rollup removes.
            no_ack: true,
            allow_rollup: false,
            deny_delete: true,
            ..bucket(names::AGENTS)
        };
        let tasks = Config { max_age: KEPT, ..bucket(names::TASKS) };
        let jobs = Config {
            name: names::JOBS.to_owned(),
            subjects: vec![names::ALL_JOBS.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            max_age: KEPT,
            ..Config::default()
        };
        for config in [agents, tasks, jobs] {
            let made = context.get_or_create_stream(config).await;
            made.map_err(failed("stream"))?;
        }
        Self::open(client).await
    }

    /// The ones that are there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open(client: &Client) -> Result<Self, StoreError> {
        let context = jetstream::new(client.clone());
        let agents = context.get_key_value(names::AGENTS).await;
        let agents = agents.map_err(failed("bucket of announcements"))?;
        let tasks = context.get_key_value(names::TASKS).await;
        let tasks = Tasks::new(client.clone(), tasks.map_err(failed("bucket of tasks"))?);
        Ok(Self { client: client.clone(), context, agents, tasks })
    }

    /// The queue of jobs.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn jobs(&self) -> Result<Consumer<pull::Config>, StoreError> {
        let stream =
            self.context.get_stream(names::JOBS).await.map_err(failed("stream of jobs"))?;
        let config = pull::Config {
            durable_name: Some(names::VALIDATORS.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: JOB_WAIT,
            max_ack_pending: 100_000,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let queue = stream.get_or_create_consumer(names::VALIDATORS, config).await;
        queue.map_err(failed("queue of jobs"))
    }

    /// The announcements of all agents that are there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announced(&self) -> Result<BTreeMap<EncodedKey, Announcement>, StoreError> {
        let mut all = BTreeMap::new();
        let found = last(&self.client, names::AGENTS, "*").await;
        for (key, value) in found.map_err(failed("announcements"))? {
            if let Ok(key) = serde_json::from_value(key.into())
                && let Some(said) = Announcement::read(&value)
            {
                all.insert(key, said);
            }
        }
        Ok(all)
    }

    /// Jobs that are in the queue, or with a validator. They are counted by the consumer: a
    /// server that was killed may keep messages in the stream that are acknowledged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        let queue = self.jobs().await?;
        let info = queue.cached_info();
        Ok(info.num_pending + info.num_ack_pending as u64)
    }
}

/// Keys and values of a bucket whose keys fit `filter`, in which `*` stands for a token.
pub(super) async fn last(
    client: &Client,
    bucket: &str,
    filter: &str,
) -> Result<Vec<(String, Bytes)>, async_nats::Error> {
    for _ in 0..READS {
        if let Some(all) = last_once(client, bucket, filter).await? {
            return Ok(all.into_iter().collect());
        }
    }
    Err("entries change faster than they can be read".into())
}

/// The same; `None` if the server falls silent before all have come.
async fn last_once(
    client: &Client,
    bucket: &str,
    filter: &str,
) -> Result<Option<BTreeMap<String, Bytes>>, async_nats::Error> {
    let context = jetstream::new(client.clone());
    let mut stream = context.get_stream(format!("KV_{bucket}")).await?;
    let prefix = format!("$KV.{bucket}.");
    let config = push::OrderedConfig {
        deliver_subject: client.new_inbox(),
        filter_subject: format!("{prefix}{filter}"),
        deliver_policy: DeliverPolicy::LastPerSubject,
        replay_policy: ReplayPolicy::Instant,
        ..push::OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut all = BTreeMap::new();
    if consumer.cached_info().num_pending == 0 {
        return Ok(Some(all));
    }
    // After the consumer: what is to come is not newer than this.
    let newest = stream.info().await?.state.last_sequence;
    let mut messages = consumer.messages().await?;
    loop {
        let Ok(message) = timeout(SILENCE, messages.next()).await else { return Ok(None) };
        let Some(message) = message.transpose()? else { return Ok(Some(all)) };
        let key = message.subject.strip_prefix(&*prefix).unwrap_or_default();
        // What was removed has no value.
        match message.payload.is_empty() {
            true => all.remove(key),
            false => all.insert(key.to_owned(), message.payload.clone()),
        };
        let info = message.info()?;
        // A server counts an entry as pending for ever that is replaced before it is sent.
        if info.pending == 0 || info.stream_sequence >= newest {
            return Ok(Some(all));
        }
    }
}
