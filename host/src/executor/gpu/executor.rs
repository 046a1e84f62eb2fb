//! [`GpuExecutor`]: a lane's chain on one CUDA device.

use super::device::{GpuDevice, NoGpu, driver_cuda_version, driver_library, driver_version, list};
use super::driver::Gpu;
use super::exactness;
use super::exactness_cache::{CheckedPair, ExactnessCache};
use super::injected::{InjectedFailure, InjectedFailures};
use super::kernels::Kernels;
use super::lane::{Counting, Lane};
use super::openings::Openings;
use super::plan::{LaunchPlan, PlanInput, largest_arena};
use super::run::FirstIteration;
use super::shape::ProductShape;
use super::supervisor::{Doing, PATIENCE, Supervisor, supervised};
use super::variant::Variant;
use crate::executor::{
    Assignment, Collect, DeviceTiming, ExecError, Executor, Kind, LaneFacts, Segment, SharedMemory,
    Sink, SmActivity, SmTiles, TileRequest,
};
use crate::protocol::digest::Digest;
use crate::protocol::evidence::document::{LaneDetails, MigInstanceOf, Stated};
use crate::protocol::names::State;
use crate::protocol::work::Work;
use crate::protocol::work::memory_residency::{ARENA_BLOCKS_STEP, MemoryResidency};
use crate::work::memory_residency::gpu::{ArenaOpenings, PeerAccess};
use std::time::Instant;

/// How a device is used.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// Only this variant, instead of the fastest that loads.
    pub variant: Option<Variant>,
    /// Tried in this order if `variant` is `None`; empty: those that fit the
    /// device, the fastest first.
    pub candidates: Vec<Variant>,
    /// Failures that a test wants.
    pub injected: InjectedFailures,
    /// Whether tiles are counted per SM.
    pub counting: Counting,
    /// Whether tensor cores are compared with the FMA pipe first.
    pub exactness: ExactnessCheck,
    /// Most products in a chunk; `None`: as many as fit.
    pub chunk_products_max: Option<u32>,
    /// Most slots of the rings; `None`: as many as serve.
    pub ring_slots_max: Option<u32>,
    /// Whether lanes may read each other's memory.
    pub peer_access: PeerAccess,
    /// Told what the device is asked for, so that a hang is noticed.
    pub supervisor: Supervisor,
}

/// When tensor cores are compared with the FMA pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExactnessCheck {
    /// Once per device, driver and PTX, remembered in a file.
    Remembered(ExactnessCache),
    /// Now.
    Always,
    /// Not at all: for callers that compare every result themselves.
    Never,
}

impl Default for GpuOptions {
    fn default() -> Self {
        Self {
            variant: None,
            candidates: Vec::new(),
            injected: InjectedFailures::default(),
            counting: Counting::PerSm,
            exactness: ExactnessCheck::Remembered(ExactnessCache::of_user()),
            chunk_products_max: None,
            ring_slots_max: None,
            peer_access: PeerAccess::default(),
            supervisor: Supervisor::default(),
        }
    }
}

/// A CUDA device as an executor. It may be moved to another thread between
/// calls: each call makes the device's context current first.
#[derive(Debug)]
pub struct GpuExecutor {
    // In this order they are dropped: buffers before kernels before context before the
    // end of what is asked of the device.
    pub(super) openings: Option<Openings>,
    pub(super) arena_openings: Option<ArenaOpenings>,
    pub(super) lane: Option<Lane>,
    pub(super) kernels: Kernels,
    pub(super) gpu: Gpu,
    pub(super) device: GpuDevice,
    pub(super) options: GpuOptions,
    pub(super) facts: LaneFacts,
    /// Of the last `begin`.
    pub(super) assignment: Option<Assignment>,
    /// Since the last `begin`.
    pub(super) first: Option<FirstIteration>,
    /// Why tiles are not counted, since the last `begin`.
    pub(super) uncounted: Option<String>,
    /// While all of this is given back.
    closing: Option<Doing>,
}

impl GpuExecutor {
    /// Opens device `index` (as the driver numbers them), loads its kernels
    /// and checks its tensor cores, variant after variant until one launches.
    ///
    /// # Errors
    /// No driver, no such device, no kernels that load and launch, or a device fault.
    pub fn open(index: u32, options: GpuOptions) -> Result<Self, ExecError> {
        let _doing = options.supervisor.begin_loading("opening the device");
        let listed = list().map_err(|error| opening(index, &error))?;
        let device = listed.get(index)?.clone();
        let mut gpu = Gpu::open(index, device.label())?;
        gpu.supervise(options.supervisor.clone());
        let kernels = Kernels::load(&gpu, &candidates(&options, &device))?;
        let facts = LaneFacts {
            kind: Kind::Gpu,
            uuid: device.uuid,
            model: device.name.clone(),
            memory_bytes: device.memory_bytes,
            sm_count: device.sm_count,
            details: LaneDetails::default(),
        };
        let mut executor = Self {
            openings: None,
            arena_openings: None,
            lane: None,
            kernels,
            gpu,
            device,
            options,
            facts,
            assignment: None,
            first: None,
            uncounted: None,
            closing: None,
        };
        if let Err(error) = executor.check_kernels() {
            executor.replace(error, "in the exactness check", &mut Self::check_kernels)?;
        }
        Ok(executor)
    }

    /// [`GpuExecutor::open`] on a thread of its own. The driver may take ten minutes;
    /// each kernel of the exactness check has a deadline.
    ///
    /// # Errors
    /// As [`GpuExecutor::open`], and [`ExecError::Hung`].
    pub fn open_in_time(index: u32, options: GpuOptions) -> Result<Self, ExecError> {
        let supervisor = Supervisor::new(PATIENCE);
        let options = GpuOptions { supervisor: supervisor.clone(), ..options };
        let open = move |_: &dyn Fn(())| {
            let mut opened = Self::open(index, options)?;
            // Lanes have deadlines of their own, and no time for this one's.
            opened.supervise(Supervisor::default());
            Ok(opened)
        };
        supervised(&supervisor, &format!("GPU {index}"), open, &mut drop)?
    }

    /// Tells `supervisor` from here on what the device is asked for.
    pub(super) fn supervise(&mut self, supervisor: Supervisor) {
        // If that fails, so will whatever comes next.
        let _ = self.gpu.enter();
        supervisor.set_variant(self.kernels.variant.to_string());
        self.gpu.supervise(supervisor);
    }

    /// Whoever is told what the device is asked for.
    pub(super) fn supervisor(&self) -> &Supervisor {
        self.gpu.supervisor()
    }

    /// The first launch of these kernels, and what the evidence says about them.
    pub(super) fn check_kernels(&mut self) -> Result<(), ExecError> {
        let exactness = self.check_exactness()?;
        self.describe(&exactness);
        Ok(())
    }

    /// The device.
    pub fn device(&self) -> &GpuDevice {
        &self.device
    }

    /// The kernels that run.
    pub fn variant(&self) -> Variant {
        self.kernels.variant
    }

    /// The launch plan, after [`Executor::begin`].
    pub fn plan(&self) -> Option<&LaunchPlan> {
        self.lane.as_ref().map(|lane| &lane.plan)
    }

    /// The variants that are tried, in order.
    pub(super) fn candidates(&self) -> Vec<Variant> {
        candidates(&self.options, &self.device)
    }

    /// Gives up the lane and what openings use.
    pub(super) fn give_up_lane(&mut self) {
        self.openings = None;
        self.arena_openings = None;
        self.lane = None;
    }

    /// Plans for what is free and allocates. There is no lane and nothing for
    /// openings before: the new plan may use all.
    pub(super) fn make_lane(&mut self, work: Work) -> Result<(), ExecError> {
        let input = self.plan_input(work)?;
        if work.integer_product().is_some() {
            self.kernels.integer(&self.gpu)?;
        }
        self.lane = Some(Lane::new(&self.gpu, input, self.options.counting)?);
        self.facts.details.kernel_variant = Some(self.kernels.name_for(work));
        Ok(())
    }

    /// What a plan for `work` is made from now.
    fn plan_input(&self, work: Work) -> Result<PlanInput, ExecError> {
        Ok(PlanInput {
            work,
            free_bytes: self.free_bytes()?,
            sm_count: self.device.sm_count,
            gemm: self.kernels.product.shape,
            integer: self.kernels.integer_product(),
            chunk_products_max: self.options.chunk_products_max,
            ring_slots_max: self.options.ring_slots_max,
        })
    }

    /// N of the largest arena that fits now, beside what an executor has taken already;
    /// 0: none does.
    ///
    /// # Errors
    /// Device faults.
    pub fn arena_blocks_max(&self) -> Result<u64, ExecError> {
        let arena_blocks = ARENA_BLOCKS_STEP;
        let smallest = MemoryResidency { arena_blocks, half_passes: 0, peer_blocks: 0 };
        Ok(largest_arena(&self.plan_input(smallest.into())?))
    }

    /// Bytes free on the device now.
    ///
    /// # Errors
    /// Device faults.
    pub fn free_bytes(&self) -> Result<u64, ExecError> {
        self.gpu.enter()?;
        let free = self.gpu.free_bytes();
        free.map_err(|failure| self.gpu.error("asking for free memory", failure))
    }

    /// Device, kernels and the lane of the last [`Executor::begin`], for measuring.
    pub(super) fn parts(&mut self) -> Result<(&Gpu, &Kernels, &mut Lane), ExecError> {
        self.gpu.enter()?;
        let lane = self.lane.as_mut().expect("measuring follows a begin");
        Ok((&self.gpu, &self.kernels, lane))
    }

    /// For the evidence, about the check. One mismatch, and the FMA pipe
    /// computes on this device.
    fn check_exactness(&mut self) -> Result<String, ExecError> {
        let Some(reference) = self.kernels.fma_product(&self.gpu)? else {
            return Ok("not needed: the FMA pipe computes".to_owned());
        };
        let memory = match &self.options.exactness {
            ExactnessCheck::Remembered(memory) => Some(memory),
            ExactnessCheck::Always => None,
            ExactnessCheck::Never => return Ok("left out".to_owned()),
        };
        let pair = CheckedPair {
            uuid: self.device.uuid,
            driver: driver_version(),
            library: driver_library(),
            ptx_digest: self.kernels.ptx_digest,
            kernel: self.kernels.product.kernel.name().to_owned(),
        };
        if memory.is_some_and(|memory| memory.has(&pair)) {
            return Ok(format!("passed before, with driver {}", pair.driver));
        }
        if let Some(code) = self.options.injected.at_check() {
            return Err(self.injected("checking the tensor cores", code));
        }
        let _doing = self.supervisor().begin("the exactness check");
        let mut state = State::default();
        getrandom::fill(&mut state.0).map_err(|error| ExecError::Device {
            what: "drawing operands for the exactness check".to_owned(),
            device: self.gpu.label().to_owned(),
            cause: error.to_string(),
            advice: "check the operating system's random generator".to_owned(),
        })?;
        let sm_count = self.device.sm_count;
        let found = exactness::compare(&self.gpu, &self.kernels, &reference, sm_count, &state)?;
        if found.exact() {
            if let Some(memory) = memory {
                memory.keep(&pair);
            }
            return Ok(format!("passed: {} outputs, no bit differs", found.leaves * 64));
        }
        let text = format!(
            "failed: {} differs from gemm_fma in {} of {} leaves, first in leaf {}, state {state}; \
             the FMA pipe computes instead",
            self.kernels.product.kernel.name(),
            found.different,
            found.leaves,
            found.first_different.unwrap_or(0),
        );
        tracing::warn!("{}: exactness check {text}", self.gpu.label());
        self.kernels.switch_to(reference);
        Ok(text)
    }

    /// Fills in the evidence's further fields.
    fn describe(&mut self, exactness: &str) {
        let device = &self.device;
        self.facts.details = LaneDetails {
            kernel_variant: Some(self.kernels.variant.to_string()),
            kernel_notes: Some(self.kernels.notes.clone()),
            ptx_digest: Some(self.kernels.ptx_digest),
            exactness_check: Some(exactness.to_owned()),
            compute_capability: Some(device.capability.to_string()),
            pci_id: Some(device.pci_id.clone()),
            clock_khz: Some(device.clock_khz),
            memory_clock_khz: Some(device.memory_clock_khz),
            driver_version: Some(driver_version()),
            driver_cuda_version: driver_cuda_version().ok(),
            mig: device.is_mig_instance().then(|| {
                let parent_uuid = device.parent_uuid.map(|uuid| uuid.to_string());
                Stated(MigInstanceOf { name: device.name.clone(), parent_uuid })
            }),
            ..LaneDetails::default()
        };
    }
}

fn candidates(options: &GpuOptions, device: &GpuDevice) -> Vec<Variant> {
    match options.variant {
        Some(variant) => vec![variant],
        None if options.candidates.is_empty() => Variant::candidates(device.capability),
        None => options.candidates.clone(),
    }
}

/// [`NoGpu`] as an executor's error.
fn opening(index: u32, error: &NoGpu) -> ExecError {
    let text = error.to_string();
    let (cause, advice) = text.split_once('\n').unwrap_or((&text, "use the CPU executor"));
    ExecError::Device {
        what: "opening the device".to_owned(),
        device: format!("GPU {index}"),
        cause: cause.to_owned(),
        advice: advice.to_owned(),
    }
}

impl Executor for GpuExecutor {
    fn facts(&self) -> &LaneFacts {
        &self.facts
    }

    fn begin(&mut self, assignment: &Assignment) -> Result<(), ExecError> {
        let _doing = self.supervisor().begin("making room");
        self.gpu.enter()?;
        let work = assignment.work;
        // The next round of a session may ask for the same: then buffers stay, as contexts
        // and kernels always do. Another work's plan may use all memory.
        if self.lane.as_ref().is_none_or(|lane| lane.plan.work != work) {
            let since = Instant::now();
            self.give_up_lane();
            let given_up = since.elapsed();
            self.make_lane(work)?;
            let (gpu, made) = (self.gpu.label(), since.elapsed() - given_up);
            tracing::debug!("{gpu}: {given_up:.1?} to give up buffers, {made:.1?} to make others");
        }
        (self.first, self.uncounted) = (None, None);
        self.assignment = Some(assignment.clone());
        if let Err(error) = self.fill_arena() {
            self.replace(error, "while it filled the arena", &mut |this| {
                this.check_kernels()?;
                this.make_lane(work)?;
                this.fill_arena()
            })?;
        }
        let lane = self.lane.as_mut().expect("made above");
        lane.give_at_once();
        lane.count(self.options.counting);
        lane.clear_counters(&self.gpu)?;
        if self.options.injected.is_due(InjectedFailure::Miscount) {
            lane.miscount(&self.gpu)?;
        }
        Ok(())
    }

    fn share(&mut self) -> Option<SharedMemory> {
        self.share_arena()
    }

    fn connect(&mut self, lanes: &[Option<SharedMemory>]) -> Result<(), ExecError> {
        let _doing = self.supervisor().begin("reaching the other lanes' memory");
        self.gpu.enter()?;
        self.connect_arenas(lanes)
    }

    fn run(&mut self, segment: &Segment, sink: &mut Sink<'_>) -> Result<(), ExecError> {
        let _doing = self.supervisor().is_some().then(|| {
            let (first, count) = (segment.first_iteration, segment.iterations);
            self.supervisor().begin(format!("iterations {first} to {}", first + count - 1))
        });
        self.gpu.enter()?;
        self.run_through(segment, sink)
    }

    fn defer_tile_roots(&mut self, collect: Collect) {
        if let Some(lane) = &mut self.lane {
            lane.defer_tile_roots(collect);
        }
    }

    fn settle(&mut self) {
        if let Some(lane) = &mut self.lane {
            lane.settle();
        }
    }

    fn leaf_hashes(
        &mut self,
        assignment: &Assignment,
        tiles: &[TileRequest],
    ) -> Result<Vec<Vec<Digest>>, ExecError> {
        if tiles.is_empty() {
            return Ok(Vec::new());
        }
        let _doing = self.supervisor().begin("recomputing tiles");
        self.gpu.enter()?;
        let work = assignment.work;
        let Some(shape) = ProductShape::of(work) else {
            return self.read_tiles(assignment, tiles);
        };
        let (gpu, kernels, sm_count) = (&self.gpu, &self.kernels, self.device.sm_count);
        let lent = self.lane.as_ref().and_then(Lane::lent);
        let count = tiles.len() as u64;
        if !self.openings.as_ref().is_some_and(|made| made.serve(lent, shape, count)) {
            self.openings = None;
            self.openings = Some(Openings::new(gpu, kernels, sm_count, lent, work, count)?);
        }
        let openings = self.openings.as_mut().expect("made above");
        openings.leaf_hashes(gpu, kernels, sm_count, lent, work, tiles)
    }

    fn read_blocks(&mut self, first: u64, count: u64) -> Result<Vec<[u32; 4]>, ExecError> {
        let _doing = self.supervisor().begin("reading blocks of the arena");
        self.gpu.enter()?;
        let arena = self.arena().ok_or_else(|| ExecError::no_arena(self.gpu.label()))?;
        arena.read(&self.gpu, first, count)
    }

    fn sm_tiles(&mut self) -> Result<SmTiles, ExecError> {
        let _doing = self.supervisor().begin("reading the SM counters");
        self.gpu.enter()?;
        match (&mut self.lane, &self.uncounted) {
            (_, Some(why)) => Ok(SmTiles::Unavailable(why.clone())),
            (Some(lane), None) => lane.sm_tiles(&self.gpu),
            (None, None) => Ok(SmTiles::Unavailable("nothing was run".to_owned())),
        }
    }

    fn timing(&self) -> Option<DeviceTiming> {
        self.lane.as_ref().map(Lane::timing)
    }

    fn sm_activity(&self) -> Option<SmActivity> {
        self.lane.as_ref()?.activity.clone()
    }

    fn rest(&mut self) {
        // The buffers' destructors need the context and an idle stream.
        if self.gpu.enter().is_ok() {
            let _ = self.gpu.synchronise();
        }
        self.give_up_lane();
    }
}

impl Drop for GpuExecutor {
    fn drop(&mut self) {
        self.closing = Some(self.supervisor().begin("closing the device"));
        // The buffers' destructors, next, need the context and an idle stream.
        if self.gpu.enter().is_ok() {
            let _ = self.gpu.synchronise();
        }
    }
}
