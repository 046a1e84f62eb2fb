//! The evidence document of docs/evidence.md, whole.
//!
//! Guarantees: what is written is made of these types and nothing else.
//! Deliberately lacks: what a kind of work or an executor calls a device; it is
//! told in these fields, or not at all.

use super::EvidenceExecutor;
use super::described::{Described, Digits, Numbers, described, words};
use super::machine::Machine;
use super::telemetry::LaneTelemetry;
use crate::digest::{Digest, Uuid};
use serde::Serialize;
use serde_json::Value;

described! {
    /// An evidence document.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Document => ClaimedDocument {
        flat "What else there is to say about the run as a whole." notes: RunNotes => ClaimedRunNotes,
        /// The document's form: [`super::SCHEMA`].
        pub schema: u64,
        /// What computed.
        pub executor: EvidenceExecutor,
        /// Name and version of what wrote this.
        pub program: &'static str,
        /// From the common start of the lanes to the last root, with the time that
        /// earlier processes spent, ns.
        pub elapsed_ns: Digits,
        /// In lane order.
        pub lanes: Vec<Lane>,
        /// What each source says about the machine.
        pub machine: Machine,
        /// What does not fit.
        pub findings: Findings,
        /// How the lanes met; `None` where they never did.
        pub sync: Option<SyncSummary>,
        /// The last iteration of earlier processes, where there were any.
        pub resumed_after_iteration: Option<u32>,
    }
}

described! {
    /// What there is to say about a run as a whole, beside its lanes and its machine.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct RunNotes => ClaimedRunNotes {
        /// Why a CPU executed.
        pub executor_chosen: Option<String>,
        /// GPUs that are there and that the driver does not list.
        pub devices_missing: Option<String>,
        /// GPUs that took no part while others did.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub devices_left_out: Vec<LeftOut>,
    }
}

described! {
    /// A GPU that took no part.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct LeftOut => ClaimedLeftOut {
        /// Its number for --devices.
        pub index: u32,
        /// Why.
        pub reason: String,
    }
}

/// What does not fit together, in the miner's own eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);

described! {
    /// One thing that does not fit.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct Finding => ClaimedFinding {
        /// Which kind.
        pub code: &'static str,
        /// What was compared, and what each side said.
        pub text: String,
    }
}

/// What a document says in the place of its findings.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimedFindings {
    /// Something else than a list.
    NoList,
    /// All of them; without code and text where an entry is no object.
    List(Vec<ClaimedFinding>),
}

impl Described for Findings {
    type Claimed = ClaimedFindings;
    fn claimed(value: &Value) -> Option<ClaimedFindings> {
        let finding = |value| Finding::claimed(value).unwrap_or_default();
        Some(match value.as_array() {
            Some(findings) => ClaimedFindings::List(findings.iter().map(finding).collect()),
            None => ClaimedFindings::NoList,
        })
    }
    fn bound(&mut self, text_chars_max: usize) {
        self.0.bound(text_chars_max);
    }
}

described! {
    /// A lane, with the fields that every document has first.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    pub struct Lane => ClaimedLane {
        flat "What its executor adds." details: LaneDetails => ClaimedLaneDetails,
        /// Binds the lane's chain.
        pub uuid: Uuid,
        /// Device name.
        pub model: String,
        /// Device memory, bytes; 0: not known.
        pub memory_bytes: u64,
        /// SMs; 0 on a CPU.
        pub sm_count: u32,
        /// Tiles per SM, or empty.
        pub sm_tiles: Numbers<Digits>,
        /// Why tiles were not counted.
        pub sm_monitoring: Option<String>,
        /// How the SMs shared the work.
        pub sm_activity: Option<SmActivity>,
        /// From the common start to this lane's last root, ns.
        pub elapsed_ns: Digits,
        /// Floating-point operations a second.
        pub achieved_flops: Option<Digits>,
        /// Bytes of work a second, of a kind of work that is counted in bytes.
        pub achieved_bytes_per_s: Option<Digits>,
        /// Operations on integers a second, of a kind of work that is counted in them.
        pub achieved_ops_per_s: Option<Digits>,
        /// Bytes of operands written and read a second.
        pub operand_bytes_per_s: Option<Digits>,
        /// Where this process's time went.
        pub timing: Option<LaneTime>,
        /// Arrival and release before the first iteration, ns since the common start.
        pub start_barrier: Option<[u64; 2]>,
        /// Arrival and release after the last iteration, ns since the common start.
        pub end_barrier: Option<[u64; 2]>,
        /// Sync points: iteration, arrival, release, and the device's idle time.
        #[serde(skip_serializing_if = "Numbers::is_empty")]
        pub sync_times: Numbers<Vec<u64>>,
        /// Its device during the run.
        pub telemetry: Option<LaneTelemetry>,
        /// NVML's limit of its power, mW.
        pub power_limit_mw: Option<u32>,
        /// NVML's highest SM clock, MHz.
        pub sm_clock_max_mhz: Option<u32>,
        /// NVML's serial number of its board.
        pub serial: Option<String>,
        /// Whether its device signs reports: [`super::AVAILABLE`], or
        /// [`super::UNAVAILABLE`] and why not.
        pub device_report: Option<String>,
        /// Whether confidential computing is on with developers' tools.
        pub confidential_dev_tools: Option<bool>,
    }
}

described! {
    /// What an executor adds to what every lane says about itself.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
    pub struct LaneDetails => ClaimedLaneDetails {
        /// Which kernels run.
        pub kernel_variant: Option<String>,
        /// Which variants could not be used, and why; absent only where there are no
        /// kernels.
        pub kernel_notes: Option<Vec<String>>,
        /// SHA-256 of the kernels' PTX.
        pub ptx_digest: Option<Digest>,
        /// How tensor cores were compared with the FMA pipe.
        pub exactness_check: Option<String>,
        /// Such as "9.0".
        pub compute_capability: Option<String>,
        /// "domain:bus:device.function".
        pub pci_id: Option<String>,
        /// Highest SM clock, kHz.
        pub clock_khz: Option<u32>,
        /// Highest memory clock, kHz.
        pub memory_clock_khz: Option<u32>,
        /// The kernel driver's version.
        pub driver_version: Option<String>,
        /// 1000·major + 10·minor of the newest CUDA that it supports.
        pub driver_cuda_version: Option<u32>,
        /// Of a MIG instance.
        pub mig: Option<Stated<MigInstanceOf>>,
        /// Bytes of its arena in memory.
        pub arena_bytes: Option<u64>,
        /// How long filling it took, ns.
        pub arena_fill_ns: Option<u64>,
        /// How it reads blocks of other lanes' arenas.
        pub peer_blocks: Option<PeerBlocks>,
        /// Instruction set of a CPU's kernels.
        pub simd: Option<String>,
        /// Threads of a CPU.
        pub threads: Option<usize>,
    }
}

/// How a lane reads blocks of another lane's arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum PeerBlocks {
    /// Its device addresses the other's memory.
    #[serde(rename = "peer access")]
    PeerAccess,
    /// They are copied through the host's memory.
    #[serde(rename = "staged copies")]
    StagedCopies,
}

words! { EvidenceExecutor Uuid Digest PeerBlocks }

described! {
    /// Of what a MIG instance is a part.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct MigInstanceOf => ClaimedMigInstanceOf {
        /// Its name.
        pub name: String,
        /// The device that it is a part of, where the driver tells.
        pub parent_uuid: Option<String>,
    }
}

/// What says something by being there, whatever its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Stated<T>(pub T);

impl<T: Described> Described for Stated<T> {
    type Claimed = Option<T::Claimed>;
    fn claimed(value: &Value) -> Option<Self::Claimed> {
        Some(T::claimed(value))
    }
    fn bound(&mut self, text_chars_max: usize) {
        self.0.bound(text_chars_max);
    }
}

described! {
    /// How the SMs of a lane shared its work.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct SmActivity => ClaimedSmActivity {
        /// SMs that did something.
        pub active: u64,
        /// Fewest tiles of any SM.
        pub tiles_min: Digits,
        /// Most tiles of any SM.
        pub tiles_max: Digits,
        /// How far apart the first tiles were, ns.
        pub first_spread_ns: Option<Digits>,
        /// How far apart the last tiles were, ns.
        pub last_spread_ns: Option<Digits>,
        /// First and last tile of each SM, ns since the first of all; empty for one
        /// without tiles.
        pub spans_ns: Option<Numbers<Vec<u64>>>,
        /// What is out of the ordinary.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub warnings: Vec<String>,
    }
}

described! {
    /// Where a lane's time went, in this process.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct LaneTime => ClaimedLaneTime {
        /// From the common start to the last root, ns.
        pub elapsed_ns: u64,
        /// At sync points, from arrivals to releases, ns.
        pub sync_wait_ns: u64,
        /// 10¹² operations a second over that time, three decimals.
        pub tflops: String,
        /// Of a GPU, by its own clock.
        pub device: Option<DeviceTime>,
    }
}

described! {
    /// Where a device's time went, by its own clock.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct DeviceTime => ClaimedDeviceTime {
        /// Iterations whose phases were timed.
        pub sampled_iterations: u32,
        /// Drawing operands, the mean of those, ns.
        pub fill_ns: u64,
        /// Multiplying and hashing, ns.
        pub product_ns: u64,
        /// Tree and chain step, ns.
        pub tree_and_step_ns: u64,
        /// At work between sync points, ns.
        pub in_segments_ns: u64,
        /// Idle at them, ns.
        pub between_segments_ns: u64,
    }
}

described! {
    /// How the lanes met.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize)]
    pub struct SyncSummary => ClaimedSyncSummary {
        /// How often.
        pub points: usize,
        /// How many of those each lane lists.
        pub points_listed: usize,
        /// What the points cost beside the skew, parts per million of all lanes' time.
        pub overhead_ppm: u64,
        /// Lost to waiting for the last lane, parts per million of all lanes' time.
        pub skew_ppm: u64,
        /// How far apart first and last arrival were, the mean, ns.
        pub skew_mean_ns: u64,
        /// The same where it was worst, ns.
        pub skew_worst_ns: u64,
        /// After which iteration that was.
        pub skew_worst_iteration: u32,
    }
}
