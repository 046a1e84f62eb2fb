//! Sizing memory residency: how large an arena, and how many sweeps.
//!
//! The expected speeds are shares of the model's printed bandwidth, as measured on one
//! H200 (4.8 TB/s printed): every other model is assumed to reach the same shares. The
//! speed of links between lanes is assumed for the length of a run only: with `peer_blocks`
//! its challenge has no limit but its expiry.

use super::{ITERATIONS_MAX, Policy, SizeError, SizedWork, Target, Times, hundredth_up};
use crate::appraisal::floors;
use crate::appraisal::models::Model;
use crate::mining::issue::{ITERATIONS_DEFAULT, Request};
use crate::mining::kind::ArenaSize;
use crate::protocol::challenge::ROOTS_MAX;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::{
    ARENA_BLOCKS_MAX, BLOCK_BYTES, HALF_PASSES_DEFAULT, MemoryResidency,
};

/// The arena, unless one was typed: one process gets more of a card than that.
const ARENA: ArenaSize = ArenaSize::SharePpm(900_000);

/// Of the printed bandwidth, what sweeps read: 4.3 to 4.5 TB/s on the H200.
const SWEEP_SHARE: f64 = 0.88;
/// What half-passes move: 4.14 TB/s.
const HALF_PASS_SHARE: f64 = 0.85;
/// What the first words write: 4.39 TB/s.
const START_SHARE: f64 = 0.90;
/// What a sweep takes beside its bytes, s: lanes meet after each. Assumed, and of weight
/// for small arenas only.
const BETWEEN_SWEEPS_S: f64 = 1e-4;

/// GB/s that reach a lane from others by way of the host's memory while all lanes read.
const HOST_LINK_GB_S: f64 = 16.0;
/// Of the time in which an arena could be filled anew, what an iteration of a round of links
/// should take at that speed.
const REFILL_SHARE: f64 = 0.75;

/// What an honest run of one model is expected to do.
#[derive(Clone, Copy)]
struct Speed {
    model: &'static Model,
    work: MemoryResidency,
}

impl Speed {
    /// The time for `bytes` at a share of the printed bandwidth, s.
    fn seconds(self, bytes: u64, share: f64) -> f64 {
        bytes as f64 / (share * 1e9 * f64::from(self.model.bandwidth_gb_s))
    }
    /// First words and half-passes, s.
    fn fill_s(self) -> f64 {
        let passes = u64::from(self.work.half_passes) * self.work.half_pass_bytes();
        self.seconds(self.work.arena_bytes(), START_SHARE) + self.seconds(passes, HALF_PASS_SHARE)
    }
    /// One sweep, s.
    fn sweep_s(self) -> f64 {
        let read_s = match self.work.link_bytes() {
            0 => self.seconds(self.work.sweep_bytes(), SWEEP_SHARE),
            across => across as f64 / (1e9 * link_gb_s(self.model)),
        };
        read_s + BETWEEN_SWEEPS_S
    }
    /// What a run is expected to take, and may take; `None` if it reads over links.
    fn times(self, iterations: u64) -> Option<Times> {
        let sweeps = u32::try_from(iterations).unwrap_or(u32::MAX);
        let floor_s = floors::native_seconds(Work::from(self.work), sweeps, self.model)?;
        let honest_s = self.fill_s() + self.sweep_s() * iterations as f64;
        Some(Times { honest_s, floor_s })
    }
}

impl Policy {
    /// Arenas, and sweeps of them that take about as long as asked.
    pub(super) fn arenas(
        &self,
        model: &'static Model,
        target: &Target<'_>,
        seconds: f64,
        lanes: u64,
        base: &Request,
    ) -> Result<SizedWork, SizeError> {
        let typed = base.arena_size.map(|size| size.blocks(model.memory_bytes()));
        let arena_blocks = typed
            .or(base.arena_blocks)
            .unwrap_or(ARENA.blocks(model.memory_bytes()).min(ARENA_BLOCKS_MAX));
        let half_passes = base.half_passes.unwrap_or(HALF_PASSES_DEFAULT.into());
        let peer_blocks = base.peer_blocks.unwrap_or(0);
        if peer_blocks > 0 && lanes < 2 {
            return Err(SizeError::Peers { got: lanes });
        }
        let work = MemoryResidency::new(arena_blocks, half_passes, peer_blocks, Some(lanes))?;
        if work.arena_bytes() > u64::from(model.memory_gb) << 30 {
            let (got_gb, expected_bytes) = (model.memory_gb, work.arena_bytes());
            return Err(SizeError::Arena { model: &model.name, got_gb, expected_bytes });
        }
        let speed = Speed { model, work };
        let iterations = match base.num_iterations {
            Some(iterations) => iterations,
            // Nobody named a time for them.
            None if work.reads_peers() && target.seconds.is_none() => ITERATIONS_DEFAULT,
            None => sweeps(speed, seconds, lanes)?,
        };
        let times = speed.times(iterations);
        if let Some(times) = times {
            let needed = times.slack_needed(1.0, self.limit_s(0.0, target.round_trip));
            if needed > self.time.slack {
                let (slack, needed) = (self.time.slack, hundredth_up(needed));
                return Err(SizeError::Slack { slack, model: &model.name, needed });
            }
        }
        let request = Request {
            arena_blocks: Some(arena_blocks),
            half_passes: Some(half_passes),
            peer_blocks: Some(peer_blocks),
            ..Request::default()
        };
        Ok(SizedWork { request, work: work.into(), iterations, times })
    }
}

/// GB/s that are expected to reach a lane of a model from others while all lanes read: of
/// H200s on NVLink three quarters of what is printed for one direction (BENCHMARKS.md). Models
/// of which the table has no NVLink are taken to read by way of the host's memory. A run gets
/// its length by this, and no limit.
fn link_gb_s(model: &Model) -> f64 {
    model.nvlink_gb_s.map_or(HOST_LINK_GB_S, |gb_s| 0.75 * f64::from(gb_s))
}

impl Policy {
    /// K for a run of about `seconds`: so few blocks that, if they come by way of the host's
    /// memory, an iteration takes less in the mean than filling the arena anew would, and all
    /// lanes are shown to hold theirs at once.
    pub(super) fn peer_blocks(
        &self,
        model: &'static Model,
        arena_blocks: u64,
        base: &Request,
        seconds: f64,
    ) -> u64 {
        let half_passes = base.half_passes.unwrap_or(HALF_PASSES_DEFAULT.into()) as u32;
        let work = MemoryResidency { arena_blocks, half_passes, peer_blocks: 0 };
        let refill_s =
            f64::from(half_passes) * work.arena_bytes() as f64 / (1e9 * self.memory.refill_gb_s);
        let elapsed_s = seconds + 1e-3 * self.time.startup_allowance_ms as f64;
        let iterations = elapsed_s / (REFILL_SHARE * refill_s);
        let fill_s = Speed { model, work }.fill_s();
        let sweep_s = (seconds - fill_s) / iterations - BETWEEN_SWEEPS_S;
        (1e9 * HOST_LINK_GB_S * sweep_s.max(0.0)) as u64 / BLOCK_BYTES
    }
}

/// T for a run of about `seconds`.
fn sweeps(speed: Speed, seconds: f64, lanes: u64) -> Result<u64, SizeError> {
    let limit = (ROOTS_MAX / lanes).min(ITERATIONS_MAX);
    let sweeps = ((seconds - speed.fill_s()) / speed.sweep_s()).round();
    if sweeps < 1.0 {
        let (model, run_s) = (speed.model.name.as_str(), speed.fill_s() + speed.sweep_s());
        let smaller = "a smaller arena (--arena-bytes)";
        return Err(SizeError::TooShort { seconds, model, run_s, smaller });
    }
    let iterations = sweeps as u64;
    if iterations > limit {
        let larger = "a larger arena (--arena-bytes)";
        return Err(SizeError::TooLong { seconds, lanes, iterations, limit, larger });
    }
    Ok(iterations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appraisal::models;
    use crate::mining::issue::issue;
    use crate::mining::kind::WorkKind;
    use crate::protocol::challenge::Challenge;

    fn base() -> Request {
        let challenge_type = Some(WorkKind::MemoryResidency.challenge_type().to_owned());
        Request { challenge_type, ..Request::default() }
    }

    fn target(model: &str, seconds: f64) -> Target<'_> {
        Target { model, seconds: Some(seconds), round_trip: None }
    }

    fn sized(policy: &Policy, model: &str, seconds: f64, base: Request) -> Challenge {
        issue(&policy.request(&target(model, seconds), base).unwrap()).unwrap()
    }

    fn speed(challenge: &Challenge) -> Speed {
        let name = challenge.spec().gpu_model.clone().unwrap();
        let model = models::all().iter().find(|model| model.name == name).unwrap();
        Speed { model, work: challenge.work().memory_residency().unwrap() }
    }

    #[test]
    fn an_h200_gets_nine_tenths_of_its_memory_and_ten_seconds() {
        let challenge = sized(&Policy::default(), "NVIDIA H200", 10.0, base());
        // 126.9e9 bytes are 60,510.6 times 512 blocks of 4096 bytes.
        let work = MemoryResidency { arena_blocks: 60_510 * 512, half_passes: 12, peer_blocks: 0 };
        assert_eq!(challenge.work(), work.into());
        // First words 29.4 ms, half-passes 559.8 ms, a sweep 30.04 ms and 0.1 ms.
        assert_eq!(challenge.iterations(), 312);
        assert_eq!(challenge.spec().sync_interval, 1);
        assert_eq!((challenge.samples_per_iteration(), challenge.sampled_iterations()), (7, 312));
        // 1.45 · (1 + 12·1.5 + 312) · 126.9e9 / 5.28e12 s, 0.3 s to start, half a second
        // for the way.
        assert_eq!(challenge.limit_ms(), 12_336);
        let expires_in = challenge.expires_at_unix_s() - challenge.issued_at_unix_s();
        assert_eq!(expires_in, 613);
    }

    #[test]
    fn an_honest_h200_keeps_its_limit_with_all_of_the_start_up_used() {
        // As measured, on a card that is 3 % slower, started slowly and far away.
        for seconds in [1.0, 2.0, 10.0, 600.0] {
            let challenge = sized(&Policy::default(), "NVIDIA H200", seconds, base());
            let Speed { work, .. } = speed(&challenge);
            let start_s = work.arena_bytes() as f64 / 4.39e12;
            let passes_s = 12.0 * work.half_pass_bytes() as f64 / 4.14e12;
            let sweep_s = work.sweep_bytes() as f64 / 4.3e12;
            let run_s = start_s + passes_s + sweep_s * f64::from(challenge.iterations());
            assert!(challenge.limit_ms() as f64 > 1e3 * (run_s / 0.97 + 0.3 + 0.5), "{seconds} s");
            // One card with the arenas of two does not.
            if seconds > 2.0 {
                assert!((challenge.limit_ms() as f64) < 2e3 * run_s, "{seconds} s");
            }
        }
    }

    #[test]
    fn every_model_is_sized_close_to_the_seconds() {
        for model in models::all() {
            for seconds in [10.0, 60.0, 3600.0] {
                let policy = Policy::default();
                let challenge = sized(&policy, &model.name, seconds, base());
                let speed = speed(&challenge);
                let times = speed.times(challenge.iterations().into()).unwrap();
                assert!((times.honest_s / seconds - 1.0).abs() < 0.01, "{}", model.name);
                assert!(challenge.limit_ms() as f64 > 1030.0 * times.honest_s, "{}", model.name);
                let arena_bytes = speed.work.arena_bytes();
                let (share, step_bytes) = (model.memory_bytes() / 10 * 9, 512 * 4096);
                assert!((share - step_bytes..=share).contains(&arena_bytes), "{}", model.name);
                assert!(challenge.draws() >= policy.draws_needed());
            }
        }
    }

    #[test]
    fn what_was_typed_stays() {
        let typed = Request {
            arena_size: Some(ArenaSize::Bytes(100_000_000_000)),
            half_passes: Some(10),
            num_iterations: Some(50),
            sync_interval: Some(5),
            max_duration_ms: Some(1),
            ..base()
        };
        let challenge = sized(&Policy::default(), "H200", 10.0, typed);
        let work = MemoryResidency { arena_blocks: 47_683 * 512, half_passes: 10, peer_blocks: 0 };
        assert_eq!((challenge.work(), challenge.iterations()), (work.into(), 50));
        assert_eq!((challenge.spec().sync_interval, challenge.limit_ms()), (5, 1));
        // A share is of the model that is sized for.
        let half = Request { arena_size: Some(ArenaSize::SharePpm(500_000)), ..base() };
        let challenge = sized(&Policy::default(), "Tesla T4", 10.0, half);
        assert_eq!(speed(&challenge).work.arena_bytes(), 3814 * 512 * 4096);
        for (wrong, field) in [
            (Request { arena_blocks: Some(513), ..base() }, "arena_blocks"),
            (Request { arena_size: Some(ArenaSize::Bytes(1)), ..base() }, "arena_blocks"),
            (Request { half_passes: Some(17), ..base() }, "half_passes"),
        ] {
            let refused = Policy::default().request(&target("NVIDIA H200", 0.5), wrong);
            let text = refused.unwrap_err().to_string();
            assert!(text.starts_with(field), "{text}");
        }
    }

    #[test]
    fn links_have_an_expected_time_and_no_limit() {
        let peers = || Request { peer_blocks: Some(1 << 20), gpu_count: Some(2), ..base() };
        let untimed = Target { seconds: None, ..target("NVIDIA H200", 1.0) };
        let policy = Policy::default();
        let challenge = issue(&policy.request(&untimed, peers()).unwrap()).unwrap();
        assert_eq!((challenge.iterations(), challenge.limit_ms()), (100, 600_000));
        assert_eq!(challenge.spec().max_duration_ms, None);
        // 0.75 · 450 GB/s: 4.29 GB across take 12.73 ms and 0.1, and the fill 0.589 s.
        let timed = issue(&policy.request(&target("NVIDIA H200", 5.0), peers()).unwrap()).unwrap();
        assert_eq!((timed.iterations(), timed.spec().max_duration_ms), (344, None));
        let alone = Request { gpu_count: None, ..peers() };
        assert_eq!(policy.request(&untimed, alone).unwrap_err(), SizeError::Peers { got: 1 });
    }

    #[test]
    fn impossible_asks_are_told() {
        let mut policy = Policy::default();
        let refused = |policy: &Policy, seconds, base| {
            policy.request(&target("NVIDIA H200", seconds), base).unwrap_err()
        };
        // The fill alone takes 0.589 s, and a sweep 0.030 s: half of one is rounded up.
        assert!(policy.request(&target("NVIDIA H200", 0.61), base()).is_ok());
        let short = refused(&policy, 0.60, base());
        assert!(matches!(short, SizeError::TooShort { .. }), "{short}");
        assert!(short.to_string().contains("shortest run here lasts 0.619 s"), "{short}");
        let long = refused(&policy, 86_400.0, base());
        assert!(matches!(long, SizeError::TooLong { .. }), "{long}");
        let large = Request { arena_size: Some(ArenaSize::Bytes(152_000_000_000)), ..base() };
        let large = refused(&policy, 10.0, large);
        assert!(matches!(large, SizeError::Arena { got_gb: 141, .. }), "{large}");
        let foreign = refused(&policy, 10.0, Request { matrix_dim: Some(128), ..base() });
        assert!(matches!(foreign, SizeError::Kind(_)), "{foreign}");
        // Where lanes meet more often than they read, slack is no measure.
        let small = Request { arena_blocks: Some(512), ..base() };
        let small = refused(&policy, 10.0, small);
        assert!(matches!(small, SizeError::Slack { .. }), "{small}");
        policy.time.slack = 1.25;
        assert!(policy.request(&target("NVIDIA H200", 10.0), base()).is_ok());
        let tight = refused(&policy, 600.0, base());
        assert!(matches!(tight, SizeError::Slack { needed: 1.26, .. }), "{tight}");
        for error in [short, long, large, foreign, small, tight] {
            assert_eq!(error.to_string().lines().count(), 2, "{error}");
        }
    }

    #[test]
    fn what_the_policy_wants_shown_can_be_shown() {
        let policy = |bytes, memory_gb_s, link_gb_s| {
            let mut policy = Policy::default();
            policy.memory.resident_bytes_min = bytes;
            policy.memory.memory_gb_s_min = memory_gb_s;
            policy.memory.link_gb_s_min = link_gb_s;
            policy
        };
        let ask = |policy: &Policy, model, base| policy.request(&target(model, 10.0), base);
        let demanding = policy(120_000_000_000, 3900.0, 0.0);
        assert!(ask(&demanding, "NVIDIA H200", base()).is_ok());
        // 126.9e9 · 0.99 bytes less 128 GB/s · 10 s / 312 are 121.53e9.
        assert!(ask(&policy(121_500_000_000, 0.0, 0.0), "NVIDIA H200", base()).is_ok());
        assert!(ask(&policy(121_600_000_000, 0.0, 0.0), "NVIDIA H200", base()).is_err());
        let of_model = |refused| match refused {
            Err(SizeError::NotShown { of_model, .. }) => of_model,
            other => panic!("{other:?}"),
        };
        assert!(of_model(ask(&demanding, "NVIDIA H100 80GB HBM3", base())));
        let few = Request { half_passes: Some(9), ..base() };
        assert!(!of_model(ask(&demanding, "NVIDIA H200", few)));
        assert!(!of_model(ask(&demanding, "NVIDIA H200", Request::default())));
        let links = policy(0, 0.0, 100.0);
        assert!(!of_model(ask(&links, "NVIDIA H200", base())));
        let (gpu_count, peer_blocks, num_iterations) = (Some(2), Some(256), Some(10));
        let peers = || Request { gpu_count, peer_blocks, num_iterations, ..base() };
        assert!(ask(&links, "NVIDIA H200", peers()).is_ok());
        assert!(!of_model(ask(&demanding, "NVIDIA H200", peers())));
    }
}
