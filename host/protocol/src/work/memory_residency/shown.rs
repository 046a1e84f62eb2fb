//! What a verified run of this kind shows of memory and links: docs/protocol.md, "What a
//! verdict may say".
//!
//! Guarantees: pure arithmetic on what the validator knows or assumes; every figure is
//! rounded to the weaker side, and one that is not shown comes with the reason.
//! Deliberately lacks: whether the run verified and how likely omitted work escaped;
//! figures hold for the omitted share f only if the bound for that f is good enough.
//! And the table of models: M is handed in.

use super::{BLOCK_BYTES, HALF_PASSES_SHOWN_MIN, MemoryResidency};
use crate::bound::OmittedShare;
use std::time::Duration;

/// B unless a policy says otherwise, GB/s: PCIe 5 × 16, both directions summed.
pub const OUTSIDE_GB_S_DEFAULT: f64 = 128.0;
/// How fast an arena could be filled anew unless a policy says otherwise, GB/s: more than
/// any memory that is sold.
pub const REFILL_GB_S_DEFAULT: f64 = 10_000.0;

/// Bytes of a GB.
const GB: f64 = 1e9;

/// What the figures follow from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Run {
    /// N, p and K.
    pub work: MemoryResidency,
    /// T, at least 1.
    pub iterations: u32,
    /// Iterations between sync points (S).
    pub sync_interval: u32,
    /// Lanes (G).
    pub lanes: u32,
    /// E: from the challenge to the commitment of a live session, by the validator's
    /// clock. None outside of one: nothing is shown then.
    pub live_elapsed: Option<Duration>,
    /// f.
    pub omitted_share: OmittedShare,
    /// B: what may reach a lane from outside its memory, GB/s.
    pub outside_gb_s: f64,
    /// How fast an arena could be filled anew at most, GB/s; above 0.
    pub refill_gb_s: f64,
    /// M: the most memory that a lane's claimed model has by its printed size, bytes;
    /// none if a lane's model is unknown.
    pub lane_memory_bytes_max: Option<u64>,
}

/// What is shown; a figure that isn't says why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// At least these bytes of each lane were held, while it swept them, in memory or
    /// behind links faster than B.
    pub held_bytes: Result<u64, NotShown>,
    /// At least at this rate each lane's arena was read, bytes/s over all of E: the share
    /// 1−f of each of T sweeps. At most B of it came from outside. Shown if bytes are.
    pub read_bytes_per_s: Result<u64, NotShown>,
    /// All lanes held theirs at once. If this is not shown, one device may have served
    /// the lanes in turn.
    pub at_once: Result<(), NotShown>,
    /// At least these bytes reached each lane from others in E, if no lane has more than
    /// M bytes of memory.
    pub from_others_bytes: Result<u64, NotShown>,
    /// Those bytes over E, with the omitted share taken off, bytes/s.
    pub link_bytes_per_s: Result<u64, NotShown>,
}

/// Why a figure is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// No clock of the validator's ran between challenge and commitment.
    #[error("no live session measured the time")]
    NotLive,
    /// An arena of few half-passes can be recomputed in place of being held.
    #[error(
        "half_passes is below {HALF_PASSES_SHOWN_MIN}, so blocks can be recomputed when needed"
    )]
    FewHalfPasses,
    /// K > 0: a lane's own memory is not what is measured.
    #[error("peer_blocks is not 0, which measures links and not what a lane holds")]
    ReadsPeers,
    /// K = 0: no lane reads another's arena.
    #[error("peer_blocks is 0, so no lane reads another's arena")]
    ReadsOwn,
    /// B·E/T is no less than what the arena has.
    #[error("a sweep took so long that all of it may have come from outside")]
    OutsideSuffices,
    /// S > 1: lanes do not wait for each other at every iteration.
    #[error("sync_interval is above 1, so lanes may have run one after the other")]
    NotInStep,
    /// An arena could be filled anew within an iteration.
    #[error("an iteration took so long that an arena may have been filled anew for each lane")]
    RefillSuffices,
    /// M is not known.
    #[error("a lane's model is unknown, and with it the most memory that it can have")]
    ModelUnknown,
    /// M is large enough to hold what other lanes hold.
    #[error("a lane of its model may have held enough of the other lanes' arenas itself")]
    MemorySuffices,
}

impl Run {
    /// What the run shows.
    pub fn shown(&self) -> Shown {
        let elapsed_s = match self.live_elapsed.map(|elapsed| elapsed.as_secs_f64()) {
            Some(elapsed_s) if elapsed_s > 0.0 => elapsed_s,
            _ => return Shown::nothing(NotShown::NotLive),
        };
        if self.work.half_passes < HALF_PASSES_SHOWN_MIN {
            return Shown::nothing(NotShown::FewHalfPasses);
        }
        let (kept, at_once) = (1.0 - self.omitted_share.get(), self.at_once(elapsed_s));
        let held = self.held_bytes(elapsed_s);
        let swept = self.work.sweep_bytes() as f64 * f64::from(self.iterations);
        let others = at_once.and_then(|()| self.others_bytes());
        Shown {
            held_bytes: held.map(whole),
            read_bytes_per_s: held.map(|_| whole(swept * kept / elapsed_s)),
            at_once,
            from_others_bytes: others.map(whole),
            link_bytes_per_s: others.map(|bytes| whole(bytes * kept / elapsed_s)),
        }
    }

    /// 4096·N·(1−f) − B·E/T.
    fn held_bytes(&self, elapsed_s: f64) -> Result<f64, NotShown> {
        if self.work.reads_peers() {
            return Err(NotShown::ReadsPeers);
        }
        let kept = self.work.arena_bytes() as f64 * (1.0 - self.omitted_share.get());
        let outside = GB * self.outside_gb_s * elapsed_s / f64::from(self.iterations);
        let held = kept - outside;
        // Less than one byte is none.
        if held >= 1.0 { Ok(held) } else { Err(NotShown::OutsideSuffices) }
    }

    /// S = 1 and E/T < p·4096·N bytes ÷ refill.
    fn at_once(&self, elapsed_s: f64) -> Result<(), NotShown> {
        if self.sync_interval != 1 {
            return Err(NotShown::NotInStep);
        }
        let filled = f64::from(self.work.half_passes) * self.work.arena_bytes() as f64;
        let refill_s = filled / (GB * self.refill_gb_s);
        if elapsed_s / f64::from(self.iterations) < refill_s {
            Ok(())
        } else {
            Err(NotShown::RefillSuffices)
        }
    }

    /// 4096·K·T·(1 − μ²/G), μ = M / (4096·N).
    fn others_bytes(&self) -> Result<f64, NotShown> {
        if !self.work.reads_peers() {
            return Err(NotShown::ReadsOwn);
        }
        let memory = self.lane_memory_bytes_max.ok_or(NotShown::ModelUnknown)? as f64;
        let mu = memory / self.work.arena_bytes() as f64;
        let read = (BLOCK_BYTES * self.work.peer_blocks) as f64 * f64::from(self.iterations);
        let bytes = read * (1.0 - mu * mu / f64::from(self.lanes));
        if bytes >= 1.0 { Ok(bytes) } else { Err(NotShown::MemorySuffices) }
    }
}

impl Shown {
    fn nothing(why: NotShown) -> Self {
        Self {
            held_bytes: Err(why),
            read_bytes_per_s: Err(why),
            at_once: Err(why),
            from_others_bytes: Err(why),
            link_bytes_per_s: Err(why),
        }
    }
}

/// Whole bytes, rounded down.
fn whole(bytes: f64) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use NotShown::*;

    /// N = 2²⁵ (137.4 GB), p = 12, T = 300 sweeps in 10 s: 4.12 TB/s.
    fn own() -> Run {
        Run {
            work: MemoryResidency { arena_blocks: 1 << 25, half_passes: 12, peer_blocks: 0 },
            iterations: 300,
            sync_interval: 1,
            lanes: 1,
            live_elapsed: Some(Duration::from_secs(10)),
            omitted_share: OmittedShare::new(0.01).unwrap(),
            outside_gb_s: OUTSIDE_GB_S_DEFAULT,
            refill_gb_s: REFILL_GB_S_DEFAULT,
            lane_memory_bytes_max: Some(141_000_000_000),
        }
    }

    /// Two lanes of 141 GB, arenas of 137.4 GB, all blocks of which go across.
    fn peers() -> Run {
        let work = MemoryResidency { peer_blocks: 1 << 25, ..own().work };
        Run { work, lanes: 2, ..own() }
    }

    #[test]
    fn known_figures() {
        let shown = own().shown();
        // 2^37 · 0.99 − 128e9 · 10/300, and 2^37 · 0.99 · 300 / 10.
        assert_eq!(shown.held_bytes, Ok(131_797_897_270));
        assert_eq!(shown.read_bytes_per_s, Ok(4_081_936_918_118));
        assert_eq!((shown.at_once, shown.from_others_bytes), (Ok(()), Err(ReadsOwn)));
        assert_eq!(shown.link_bytes_per_s, Err(ReadsOwn));

        let shown = peers().shown();
        // μ = 141e9 / 2^37; 2^37 · 300 · (1 − μ²/2).
        let mu: f64 = 141e9 / 137_438_953_472.0;
        let bytes = 137_438_953_472.0 * 300.0 * (1.0 - mu * mu / 2.0);
        assert_eq!(shown.from_others_bytes, Ok(bytes as u64));
        assert_eq!(shown.link_bytes_per_s, Ok((0.99 * bytes / 10.0) as u64));
        assert!((19e12..20e12).contains(&bytes), "{bytes}");
        assert_eq!(shown.held_bytes, Err(ReadsPeers));
        assert_eq!(shown.read_bytes_per_s, Err(ReadsPeers));
    }

    #[test]
    fn below_ten_half_passes_and_outside_a_session_nothing_is_shown() {
        for run in [own(), peers()] {
            let mut few = run;
            few.work.half_passes = 9;
            assert_eq!(few.shown(), Shown::nothing(FewHalfPasses));
            few.work.half_passes = 10;
            assert!(few.shown().at_once.is_ok());
            for live_elapsed in [None, Some(Duration::ZERO)] {
                let outside = Run { live_elapsed, ..run };
                assert_eq!(outside.shown(), Shown::nothing(NotLive));
            }
        }
    }

    #[test]
    fn what_a_link_could_have_brought_is_not_held() {
        // With f = 1/2, half of 2^21 bytes are left: at 2^20 bytes a second and a
        // sweep a second, none.
        let mut run = own();
        run.work.arena_blocks = 512;
        run.omitted_share = OmittedShare::new(0.5).unwrap();
        run.outside_gb_s = 1_048_576.0 / GB;
        run.live_elapsed = Some(Duration::from_secs(300));
        assert_eq!(run.shown().held_bytes, Err(OutsideSuffices));
        assert_eq!(run.shown().read_bytes_per_s, Err(OutsideSuffices));
        // One byte less a second, and one byte was held.
        run.outside_gb_s = 1_048_575.0 / GB;
        assert_eq!(run.shown().held_bytes, Ok(1));
        assert_eq!(run.shown().read_bytes_per_s, Ok(1 << 20));
        run.outside_gb_s = 0.0;
        assert_eq!(run.shown().held_bytes, Ok(1 << 20));
    }

    #[test]
    fn lanes_that_could_be_served_in_turn_are_not_at_once() {
        // 12 · 2^21 bytes at 2^21 bytes a second are twelve seconds.
        let mut run = peers();
        (run.work.arena_blocks, run.work.peer_blocks) = (512, 512);
        run.lane_memory_bytes_max = Some(1 << 20);
        (run.iterations, run.refill_gb_s) = (2, 2_097_152.0 / GB);
        run.live_elapsed = Some(Duration::from_secs_f64(23.999));
        assert_eq!(run.shown().at_once, Ok(()));
        // μ = 1/2, G = 2: 2^21 · 2 · 7/8.
        assert_eq!(run.shown().from_others_bytes, Ok(3_670_016));
        run.live_elapsed = Some(Duration::from_secs(24));
        assert_eq!(run.shown().at_once, Err(RefillSuffices));
        assert_eq!(run.shown().from_others_bytes, Err(RefillSuffices));
        let apart = Run { sync_interval: 2, ..peers() };
        assert_eq!(apart.shown().at_once, Err(NotInStep));
        assert_eq!(apart.shown().link_bytes_per_s, Err(NotInStep));
        // Own arenas are held all the same, be it one lane after the other.
        let apart = Run { sync_interval: 2, ..own() };
        assert_eq!(apart.shown().held_bytes, own().shown().held_bytes);
    }

    #[test]
    fn memory_for_the_other_lanes_arenas_shows_no_transfer() {
        let unknown = Run { lane_memory_bytes_max: None, ..peers() };
        assert_eq!(unknown.shown().from_others_bytes, Err(ModelUnknown));
        // μ² = G = 4: each lane may hold what it reads.
        let arena = peers().work.arena_bytes();
        let at = |lane_memory_bytes_max| Run { lanes: 4, lane_memory_bytes_max, ..peers() };
        assert_eq!(at(Some(2 * arena)).shown().from_others_bytes, Err(MemorySuffices));
        assert!(at(Some(2 * arena - 4096)).shown().from_others_bytes.is_ok());
        let all = at(Some(0)).shown().from_others_bytes;
        assert_eq!(all, Ok(300 * arena), "a lane without memory has all from others");
        // Without a known model, own arenas are shown all the same.
        let own = Run { lane_memory_bytes_max: None, ..own() };
        assert!(own.shown().held_bytes.is_ok());
    }
}
