//! The table of a policy: every field of the file, and every rule that judges.
//!
//! Guarantees: reading, defaults, bounds, template, codes, the schema of verdicts and
//! the judgement derive from these rows; a new field or rule is a row here, a function
//! in `rules/` with its case beside it, and its row in docs/policy.md (which a test
//! compares).
//! Deliberately lacks: code. What rows mean is in `field.rs` and `rule.rs`.

use super::codes::Action;
use super::field::Bounds::{
    Above0UpTo, Any, Between0And, Names, Number, OneOf, Priced, Text, Version,
};
use super::field::Bounds::{Whole, WholeFrom};
use super::field::{Field, Got, fields};
use super::rule::{Rule, Standing, rules};
use super::rules::device_reports::{IF_PRESENT, IGNORE, REQUIRED};
use super::rules::{
    device_reports, devices, figures, machine_report, models, prices, rounds, session, soundness,
    telemetry, time,
};
use crate::protocol::challenge::{INTEGER_MAX, LANES_MAX};
use crate::protocol::work::memory_residency::shown::{OUTSIDE_GB_S_DEFAULT, REFILL_GB_S_DEFAULT};
use std::collections::BTreeMap;

/// Most bytes each way of a session's network part: 16 GiB.
pub const NETWORK_BYTES_MAX: u64 = 1 << 34;

fields! {
    {
        /// What verdicts call this policy.
        name: String = String::from("default"), Text(100);
    }

    /// `[session]`: who must answer, and how.
    session: Session {
        /// Accept only results of live sessions: the coin must be on the validator's own
        /// record or in a valid receipt. Challenges are sized for that: without a coin a
        /// miner may try 2^80 commitments, which takes about four times the samples.
        live_required: bool = true, Any;
        /// Seconds that a challenge can wait before it is taken up, beside the run's limit.
        valid_for_s: u64 = 600, Whole(1, 604_800);
        /// Whether the challenge must name the miner's key: without one anyone may have answered.
        miner_key_required: bool = false, Any;
        /// A peer that ended more meetings than this before its challenge (busy, stalled, closed
        /// early) within the window is refused. 0: nobody is.
        dodges_max: u64 = 3, Whole(0, 1000);
        /// Seconds that such a meeting counts.
        dodge_window_s: u64 = 3600, Whole(1, 2_592_000);
    }

    /// `[soundness]`: how likely omitted work may escape.
    soundness: Soundness {
        /// A miner that leaves out this share of the work (0.01: one per cent) ...
        omitted_share: f64 = 0.01, Between0And(1.0);
        /// ... may escape with this probability at most. Sample rate and samples per
        /// iteration follow from the two.
        escape_probability_max: f64 = 1e-9, Between0And(1.0);
    }

    /// `[devices]`: which devices may answer. All of it is the miner's claim; what is
    /// proven is the work.
    devices: Devices {
        /// Models that every lane must have one of, as `attest detect` names them. Empty: any.
        models: Vec<String> = Vec::new(), Names(64, 256);
        /// Whether a GPU that is not in the table of docs/policy.md may answer. Nothing
        /// bounds the time of one.
        unknown_models_allowed: bool = false, Any;
        /// Whether a CPU may answer.
        cpu_allowed: bool = false, Any;
        /// Whether MIG instances may answer.
        mig_allowed: bool = false, Any;
        /// Fewest and most lanes (GPUs); exactly that many if they are equal.
        gpu_count_min: u64 = 1, Whole(1, LANES_MAX as u64);
        gpu_count_max: u64 = 64, WholeFrom(|policy| policy.devices.gpu_count_min, LANES_MAX as u64);
        /// Bytes of memory that every lane must report. 0: no demand.
        memory_min_bytes: u64 = 0, Whole(0, INTEGER_MAX);
        /// Share of a lane's SMs that must have counted work, 0 to 1.
        sm_share_min: f64 = 0.85, Number(0.0, 1.0);
        /// Oldest and newest kernel driver, such as "535.104" and "580". Empty: any.
        driver_version_min: String = String::new(), Version;
        driver_version_max: String = String::new(), Version;
        /// Whether every lane must report its board's serial number, and the machine its id: what
        /// the ledger compares with earlier results.
        serial_required: bool = false, Any;
        host_required: bool = false, Any;
        /// What becomes of reports that devices sign: "required" of every lane, checked
        /// "if-present", or "ignore". docs/device-reports.md says what they show.
        device_report: String = String::from(IF_PRESENT), OneOf(&[REQUIRED, IF_PRESENT, IGNORE]);
        /// Driver and VBIOS versions that a device may sign, such as "580.95.05" and
        /// "96.00.9F.00.01". Empty: any.
        report_driver_versions: Vec<String> = Vec::new(), Names(64, 64);
        report_vbios_versions: Vec<String> = Vec::new(), Names(64, 64);
        /// Whether the measurements in a report must be compared with manifests (--rim). Those
        /// that are compared and differ reject in any case.
        report_measured: bool = false, Any;
        /// Whether a report's certificates must be known to be good by their issuers' word
        /// (--ocsp). Those that are revoked reject in any case.
        report_not_revoked: bool = false, Any;
    }

    /// `[machine]`: what the processor must sign of the virtual machine that the miner runs in.
    machine: Machine {
        /// What becomes of a quote of SEV-SNP or TDX: "required", checked "if-present", or
        /// "ignore". docs/machine-reports.md says what it shows.
        report: String = String::from(IF_PRESENT), OneOf(&[REQUIRED, IF_PRESENT, IGNORE]);
        /// Measurements that may be signed, 96 hex digits each: MEASUREMENT of SEV-SNP, MRTD of
        /// TDX. Empty: any.
        measurements: Vec<String> = Vec::new(), Names(64, 96);
        /// Whether a virtual machine in debug mode may answer: its host reads and changes it.
        debug_allowed: bool = false, Any;
    }

    /// `[time]`: how long a run lasts and may last.
    time: Time {
        /// Seconds that a run should last on the model that a challenge is sized for.
        duration_target_s: f64 = 10.0, Above0UpTo(86_400.0);
        /// A run may take this many times the model's floor, beside the allowances.
        slack: f64 = 1.45, Number(1.0, 100.0);
        /// Milliseconds for starting up. A miner in a live session has opened its devices, and
        /// loaded and checked its kernels, before its hello.
        startup_allowance_ms: u64 = 300, Whole(0, 600_000);
        /// Milliseconds for the way there and back where no round trip was measured.
        round_trip_allowance_ms: u64 = 500, Whole(0, 600_000);
    }

    /// `[telemetry]`: what the devices must report of the run.
    telemetry: Telemetry {
        /// Least median SM clock during the run, as a share of the model's highest. 0: no demand.
        clock_share_min: f64 = 0.0, Number(0.0, 1.0);
        /// Least median power of each GPU during the run, watts. 0: no demand.
        power_median_min_w: f64 = 0.0, Number(0.0, 10_000.0);
    }

    /// `[memory]`: what a session must show of memory and links; only rounds of memory
    /// residency show any.
    memory: Memory {
        /// GB/s that may reach a lane from outside its memory: over the host's link, both
        /// directions summed. Memory behind faster links counts as the lane's own.
        outside_gb_s: f64 = OUTSIDE_GB_S_DEFAULT, Number(0.0, 1e6);
        /// GB/s at which no memory can be filled anew: lanes that go faster than this would
        /// allow are not one device in turn.
        refill_gb_s: f64 = REFILL_GB_S_DEFAULT, Above0UpTo(1e6);
        /// Bytes that each lane must be shown to hold. 0: no demand.
        resident_bytes_min: u64 = 0, Whole(0, INTEGER_MAX);
        /// GB/s at which each lane must be shown to read them. 0: no demand.
        memory_gb_s_min: f64 = 0.0, Number(0.0, 1e6);
        /// GB/s that must be shown to reach each lane from others; only challenges with
        /// peer_blocks show it, and they show no bytes held. 0: no demand.
        link_gb_s_min: f64 = 0.0, Number(0.0, 1e6);
        /// The same of all lanes together. 0: no demand.
        resident_bytes_sum_min: u64 = 0, Whole(0, INTEGER_MAX);
        memory_gb_s_sum_min: f64 = 0.0, Number(0.0, 1e6);
        link_gb_s_sum_min: f64 = 0.0, Number(0.0, 1e6);
    }

    /// `[integer]`: what a session must show of int8 products; only rounds of integer products
    /// show any.
    integer: Integer {
        /// 10^12 int8 operations a second that each lane must be shown to do, in the mean of the
        /// lanes. 0: no demand.
        int8_tops_min: f64 = 0.0, Number(0.0, 1e6);
        /// The same of all lanes together. 0: no demand.
        int8_tops_sum_min: f64 = 0.0, Number(0.0, 1e6);
    }

    /// `[fp64]`: what a round of FP64 products must show.
    fp64: Fp64 {
        /// 10^12 binary64 operations a second that each lane must be shown to do, in the mean of
        /// the lanes. 0: no demand.
        fp64_tflops_min: f64 = 0.0, Number(0.0, 1e6);
        /// The same of all lanes together. 0: no demand.
        fp64_tflops_sum_min: f64 = 0.0, Number(0.0, 1e6);
    }

    /// `[host]`: what the rounds with `on = "host"` must show of the machine's CPUs and their
    /// memory; no other round shows any.
    host: Host {
        /// 10^12 binary64 operations a second of FP64 products. 0: no demand.
        fp64_tflops_min: f64 = 0.0, Number(0.0, 1e6);
        /// 10^12 int8 operations a second of integer products. 0: no demand.
        int8_tops_min: f64 = 0.0, Number(0.0, 1e6);
        /// Bytes held, beyond what `memory.outside_gb_s` may have brought: that has to be below
        /// what the CPUs read a second. 0: no demand.
        resident_bytes_min: u64 = 0, Whole(0, INTEGER_MAX);
    }

    /// `[network]`: random bytes from the validator and as many back, beside the rounds.
    network: Network {
        /// Bytes each way. 0: none, unless network_mbit_min is a demand; then 64 MiB.
        bytes_each_way: u64 = 0, Whole(0, NETWORK_BYTES_MAX);
        /// 10^6 bits a second that must arrive, in the slower direction. 0: no demand.
        network_mbit_min: f64 = 0.0, Number(0.0, 1e7);
    }

    /// `[prices]`: what faking a claim would have cost. The prices are the user's own, one a
    /// device and hour, in `[prices.per_hour]` by model: "NVIDIA H200" = 3.50.
    prices: Prices {
        /// The currency of the prices.
        currency: String = String::from("USD"), Text(16);
        /// A claim is rejected that could have been faked for less than this share of its
        /// price, 0 to 1. 0: no demand.
        fake_discount_max: f64 = 0.0, Number(0.0, 1.0);
        /// Price of a device of each model; models without one take no part.
        per_hour: BTreeMap<String, f64> = BTreeMap::new(), Priced(1e6);
    }

    /// `[history]`: how far back devices are looked up.
    history: History {
        /// Days that what the ledger knows of a device speaks against it.
        window_days: u64 = 30, Whole(1, 3650);
    }
}

rules! {
    "session-required" demand "there was no live session that counts, and `session.live_required` is true",
        result session::live_required;
    "miner-key-missing" demand "the challenge names no miner's key, and `session.miner_key_required` is true",
        result session::miner_key_missing;
    "not-bound-to-miner" warn "the challenge names no miner's key: anyone may have answered",
        result session::not_bound_to_miner;
    "soundness-too-weak" demand "omitted work escapes more likely than `soundness.escape_probability_max`",
        result soundness::too_weak;
    "gpu-count" demand "the number of lanes is outside `devices.gpu_count_min` … `gpu_count_max`",
        result devices::gpu_count;
    "host-round" demand "a round for the machine's CPUs was not answered by them, as one lane",
        result rounds::not_of_host;
    "cpu-executor" demand "a CPU did the work, and `devices.cpu_allowed` is false",
        result devices::cpu_executor, lane devices::cpu_among_gpus;
    "host-missing" demand "the machine reports no id, and `devices.host_required` is true",
        result devices::host_missing;
    "driver-version" demand "the driver's version is not reported or outside `devices.driver_version_min` … `driver_version_max`",
        result devices::driver_version;
    "elapsed-unknown" warn "no clock of the validator ran: the time cannot be judged",
        result time::elapsed_unknown;
    "floor-unknown" warn "a lane's model has no floor: its time cannot be judged",
        result time::floor_unknown;
    "too-slow" demand "it took longer than `time.slack` times the model's floor and the allowances",
        result time::too_slow;
    "fp64-rate-low" demand "it is not shown that the lanes did FP64 products at `fp64.fp64_tflops_min` each, in the mean, or all together at `fp64.fp64_tflops_sum_min`",
        session figures::fp64_rate_low;
    "residency-low" demand "it is not shown that each lane held `memory.resident_bytes_min`, all of them at once, or all together `memory.resident_bytes_sum_min`",
        session figures::residency_low;
    "memory-rate-low" demand "it is not shown that each lane read its memory at `memory.memory_gb_s_min`, or all together at `memory.memory_gb_s_sum_min`",
        session figures::memory_rate_low;
    "link-rate-low" demand "it is not shown that `memory.link_gb_s_min` reached each lane from others, or all together `memory.link_gb_s_sum_min`",
        session figures::link_rate_low;
    "integer-rate-low" demand "it is not shown that the lanes did int8 products at `integer.int8_tops_min` each, in the mean, or all together at `integer.int8_tops_sum_min`",
        session figures::integer_rate_low;
    "host-rate-low" demand "it is not shown that the machine's CPUs did what `host.fp64_tflops_min` and `host.int8_tops_min` ask for, or that they held `host.resident_bytes_min`",
        session figures::host_rate_low;
    "network-rate-low" demand "it is not shown that `network.network_mbit_min` came in both directions",
        session figures::network_rate_low;
    "round-missing" demand "a round that is `required` was not asked for, or not answered",
        session rounds::missing;
    "devices-changed" demand "a round's lanes are not the devices of the rounds before it",
        session rounds::devices_changed;
    "fp64-alone" reject "FP64 products are all that was shown of a model with at most 2 FP64 multiply-adds an SM and clock",
        session rounds::fp64_alone;
    "fake-discount" demand "cheaper devices could have done what was shown, for less than `prices.fake_discount_max` of the claimed ones' price, or that price is not known",
        session prices::fake_discount;
    "model-not-allowed" demand "a lane's model is not one of `devices.models`",
        lane devices::model_not_allowed;
    "model-refuted" reject "one device of a lane's claimed model can't have done the lane's work: it is too slow, or has too little memory",
        lane models::refuted;
    "mig-instance" demand "a lane is a MIG instance, and `devices.mig_allowed` is false",
        lane devices::mig_instance;
    "model-unknown" demand "a GPU's model is not in the table, and `devices.unknown_models_allowed` is false",
        lane devices::model_unknown;
    "serial-missing" demand "a lane reports no serial number, and `devices.serial_required` is true",
        lane devices::serial_missing;
    "device-report-missing" demand "a lane has no report that its device signed, and `devices.device_report` is \"required\"",
        lane device_reports::missing;
    "device-report-invalid" demand "a lane's report does not hold: signature, certificates or nonce, and `devices.device_report` is not \"ignore\"",
        lane device_reports::invalid;
    "device-driver-not-allowed" demand "a device signed a driver version that is not one of `devices.report_driver_versions`",
        lane device_reports::driver_not_allowed;
    "device-vbios-not-allowed" demand "a device signed a VBIOS version that is not one of `devices.report_vbios_versions`",
        lane device_reports::vbios_not_allowed;
    "device-measurements" demand "a device's measurements differ from the golden values, or could not be compared and `devices.report_measured` is true",
        lane device_reports::measurements;
    "device-revocation" demand "it is not known that a device's certificates are good, and `devices.report_not_revoked` is true",
        lane device_reports::revocation;
    "device-dev-tools" demand "a lane's driver says that developers' tools see into confidential computing, and `devices.device_report` is not \"ignore\"",
        lane device_reports::dev_tools;
    "device-differs" reject "a device signed another family of chips, driver or VBIOS than the evidence claims, or is a switch",
        lane device_reports::differs;
    "device-die-twice" reject "two lanes' reports are signed by one die",
        result device_reports::die_twice;
    "machine-report-missing" demand "there is no quote that the machine's processor signed, and `machine.report` is \"required\"",
        result machine_report::missing;
    "machine-report-invalid" demand "the machine's quote does not hold: signature, certificates or nonce, and `machine.report` is not \"ignore\"",
        result machine_report::invalid;
    "machine-measurement-not-allowed" demand "the processor signed a measurement that is not one of `machine.measurements`",
        result machine_report::measurement_not_allowed;
    "machine-debug" demand "the processor signed that its host can look into the virtual machine, and `machine.debug_allowed` is false",
        result machine_report::debug;
    "memory-too-small" demand "a lane reports less memory than `devices.memory_min_bytes`",
        lane devices::memory_too_small;
    "sm-counters-missing" warn "a GPU's lane has no SM counters",
        lane devices::sm_counters_missing;
    "sm-share-low" demand "a smaller share of a lane's SMs counted work than `devices.sm_share_min`",
        lane devices::sm_share_low;
    "telemetry-missing" warn "a GPU's lane reports no clocks and power over the run",
        lane telemetry::missing;
    "throttled" warn "a lane reports that heat or hardware slowed it down",
        lane telemetry::throttled;
    "clock-low" demand "the median SM clock is below `telemetry.clock_share_min` of the model's highest, or not reported",
        lane telemetry::clock_low;
    "power-low" demand "the median power is below `telemetry.power_median_min_w`, or not reported",
        lane telemetry::power_low;
    "ecc-uncorrected-changed" reject "uncorrected ECC errors were counted during the run",
        lane telemetry::ecc_uncorrected_changed;
    "remapped-rows-changed" reject "memory rows were remapped during the run",
        lane telemetry::remapped_rows_changed;
    "duration-contradicted" reject "the evidence reports a longer run than the validator's clock saw",
        lane time::duration_contradicted;
    "findings-malformed" reject "the evidence's findings are no list of codes and texts";
    "finding-unknown" warn "the evidence has a finding of a code that this program does not know";
}
