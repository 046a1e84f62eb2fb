//! What is demanded of the GPUs, alike for the commands that use them.

use super::{Executor, parse};
use attest::mining::devices::{DeviceRules, GpuDemand, MigInstances};
use clap::Args;

/// What a miner answers sessions with.
#[derive(Debug, Args)]
pub struct Answering {
    /// What executes the challenges
    #[arg(long, value_enum, default_value_t)]
    pub executor: Executor,
    /// CUDA device indices, one lane each, in this order [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub devices: Option<Vec<u32>>,
    /// What is demanded of the GPUs
    #[command(flatten)]
    pub gpus: Gpus,
}

/// A number that may be empty: `GPU_COUNT=` says nothing.
pub type Count = Option<u32>;

/// Demands on the GPUs.
#[derive(Clone, Copy, Debug, Args)]
pub struct Gpus {
    /// Require at least N GPUs (ignored with --executor cpu)
    #[arg(long, value_name = "N", env = "GPU_COUNT", value_parser = parse::parse_count)]
    pub gpu_count: Option<Count>,
    /// Take MIG instances for GPUs: the result names them, the validator decides
    #[arg(long)]
    pub allow_mig: bool,
}

impl Gpus {
    /// As the library takes them.
    pub fn rules(self) -> DeviceRules {
        let mig = if self.allow_mig { MigInstances::Allow } else { MigInstances::Refuse };
        DeviceRules { gpu_count: self.gpu_count.flatten(), mig }
    }

    /// Which GPUs are to be checked or measured.
    pub fn demand(self, executor: Executor) -> GpuDemand {
        let rules = self.rules();
        match executor {
            Executor::Cpu => GpuDemand::None,
            Executor::Auto => GpuDemand::Present(rules),
            Executor::Gpu => {
                let gpu_count = rules.gpu_count.or(Some(1));
                GpuDemand::Present(DeviceRules { gpu_count, ..rules })
            }
        }
    }
}
