//! NVIDIA's tools for PTX: ptxas assembles it and counts registers, cuobjdump
//! shows the machine code. Neither needs a GPU; both are optional.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use gpu_kernels::declaration::Heat;
use gpu_kernels::table;
use gpu_kernels::target::Target;
use serde::{Deserialize, Serialize};

use crate::parts::{find_in, folders_in};

/// Environment: a folder with ptxas, cuobjdump and nvdisasm.
pub const BIN_VARIABLE: &str = "ATTEST_CUDA_BIN";
/// Environment: ptxas itself.
pub const PTXAS_VARIABLE: &str = "ATTEST_PTXAS";

/// What one kernel takes of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Registers per thread.
    pub registers: u32,
    /// Spilled to local memory, per thread.
    pub spill_store_bytes: u32,
    /// Read back from there, per thread.
    pub spill_load_bytes: u32,
    /// Local memory per thread, spills included.
    pub stack_bytes: u32,
    /// Shared memory per block, not counting what a launch adds.
    pub static_shared_bytes: u32,
    /// Machine instructions by opcode, for those that tell something; empty
    /// without cuobjdump.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub sass: BTreeMap<String, u32>,
}

/// The opcodes counted in the manifest, besides the total.
const OPCODES: [&str; 10] =
    ["DFMA", "DMMA", "IGMMA", "IMMA", "LDG", "LDL", "LDS", "STG", "STL", "STS"];

/// The tools found.
#[derive(Debug)]
pub struct Tools {
    /// ptxas.
    pub ptxas: PathBuf,
    /// Its version, as it says it: `V13.0.88`.
    pub version: String,
    /// cuobjdump, if it is there.
    pub cuobjdump: Option<PathBuf>,
}

/// Looks for `name` in `$ATTEST_CUDA_BIN`, `$PATH` and CUDA's usual folder.
pub fn find(name: &str) -> Option<PathBuf> {
    let mut folders = folders_in(BIN_VARIABLE);
    folders.extend(folders_in("PATH"));
    folders.push(PathBuf::from("/usr/local/cuda/bin"));
    find_in(folders, name)
}

/// How to get the tools, in one line.
pub const HOW: &str = "pip install nvidia-cuda-nvcc nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm, and \
     set ATTEST_CUDA_BIN to their folder of programs";

impl Tools {
    /// The tools of this machine, if there are any.
    ///
    /// # Errors
    /// If ptxas is there but doesn't run.
    pub fn locate() -> Result<Option<Tools>> {
        let named = env::var_os(PTXAS_VARIABLE).map(PathBuf::from);
        let Some(ptxas) = named.or_else(|| find("ptxas")) else { return Ok(None) };
        let text = run(Command::new(&ptxas).arg("--version"))?;
        let version = text.split([',', ' ', '\n']).find(|word| {
            word.starts_with('V') && word[1..].starts_with(|c: char| c.is_ascii_digit())
        });
        let Some(version) = version.map(str::to_owned) else {
            bail!("{} does not say its version: {text}", ptxas.display());
        };
        let beside = ptxas.with_file_name("cuobjdump");
        let cuobjdump = if beside.is_file() { Some(beside) } else { find("cuobjdump") };
        Ok(Some(Tools { ptxas, version, cuobjdump }))
    }

    /// Assembles `ptx` and says what each kernel takes.
    ///
    /// # Errors
    /// If ptxas refuses it, or has not done what it asks for, or a hot kernel spills or has a stack.
    pub fn measure(&self, ptx: &Path, target: Target) -> Result<BTreeMap<String, Resources>> {
        let cubin = ptx.with_extension("cubin");
        let arch = format!("-arch={}", target.ptxas_arch());
        let mut command = Command::new(&self.ptxas);
        let log = run(command.arg("-v").arg(arch).arg("-o").arg(&cubin).arg(ptx))?;
        let mut kernels = parse_ptxas(&log);
        if let Some(cuobjdump) = &self.cuobjdump {
            // cuobjdump calls nvdisasm, which lies beside it but maybe not on the path.
            let beside = cuobjdump.parent().unwrap_or(Path::new(".")).to_path_buf();
            let rest = env::var_os("PATH").unwrap_or_default();
            let path = env::join_paths([beside].into_iter().chain(env::split_paths(&rest)))?;
            let sass = run(Command::new(cuobjdump).env("PATH", path).arg("-sass").arg(&cubin))?;
            for (name, counts) in parse_sass(&sass) {
                if let Some(resources) = kernels.get_mut(&name) {
                    resources.sass = counts;
                }
            }
        }
        let mut faults: Vec<_> = kernels.iter().filter_map(|(name, r)| fault(name, r)).collect();
        faults.extend(notices(&log));
        ensure!(faults.is_empty(), "for {}:\n  {}", target.name(), faults.join("\n  "));
        Ok(kernels)
    }
}

fn fault(name: &str, resources: &Resources) -> Option<String> {
    let hot = table::named(name).is_some_and(|kernel| kernel.heat == Heat::Hot);
    let Resources { stack_bytes, spill_store_bytes, spill_load_bytes, registers, .. } = resources;
    let clean = stack_bytes + spill_store_bytes + spill_load_bytes == 0;
    (hot && !clean).then(|| {
        format!(
            "{name} uses local memory: {stack_bytes} bytes of stack, {spill_store_bytes} stored and \
             {spill_load_bytes} loaded for spills, at {registers} registers"
        )
    })
}

/// What ptxas says, as information, of kernels that it did not compile as they are written:
/// `setmaxnreg` that it left out, or a wait that it put between `wgmma` and a use of their
/// sums. Both compute the right bits, slowly.
fn notices(log: &str) -> impl Iterator<Item = String> {
    log.lines().filter_map(|line| Some(format!("ptxas {}", &line[line.find("(C75")?..])))
}

/// Runs a tool; its stdout and stderr together.
fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("can't start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed:\n{text}");
    Ok(text.into_owned())
}

/// Reads `ptxas -v`.
fn parse_ptxas(log: &str) -> BTreeMap<String, Resources> {
    let mut kernels = BTreeMap::<String, Resources>::new();
    let mut current = String::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            current = rest.split('\'').next().unwrap_or("").to_owned();
            kernels.entry(current.clone()).or_default();
        }
        let Some(resources) = kernels.get_mut(&current) else { continue };
        let numbered = |unit: &str| {
            let (before, _) = line.split_once(unit)?;
            before.rsplit([' ', ',']).find(|word| !word.is_empty())?.parse().ok()
        };
        let mut set = |field: fn(&mut Resources) -> &mut u32, unit: &str| {
            if let Some(value) = numbered(unit) {
                *field(resources) = value;
            }
        };
        set(|r| &mut r.stack_bytes, " bytes stack frame");
        set(|r| &mut r.spill_store_bytes, " bytes spill stores");
        set(|r| &mut r.spill_load_bytes, " bytes spill loads");
        set(|r| &mut r.registers, " registers");
        set(|r| &mut r.static_shared_bytes, " bytes smem");
    }
    kernels
}

/// Counts instructions in `cuobjdump -sass`.
fn parse_sass(sass: &str) -> BTreeMap<String, BTreeMap<String, u32>> {
    let mut kernels = BTreeMap::<String, BTreeMap<String, u32>>::new();
    let mut current = None;
    for line in sass.lines() {
        if let Some((_, name)) = line.split_once("Function : ") {
            current = Some(name.trim().to_owned());
        }
        let (Some(name), Some(opcode)) = (&current, opcode(line)) else { continue };
        let counts = kernels.entry(name.clone()).or_default();
        *counts.entry("total".to_owned()).or_default() += 1;
        if OPCODES.contains(&opcode) {
            *counts.entry(opcode.to_owned()).or_default() += 1;
        }
    }
    kernels
}

/// `/*0040*/  @!P0 DMMA.8x8x4 R4, … ;  /* 0x… */` → DMMA. Lines that only carry
/// the second half of an encoding have none, and padding doesn't count.
fn opcode(line: &str) -> Option<&str> {
    let (address, rest) = line.trim_start().strip_prefix("/*")?.split_once("*/")?;
    if address.is_empty() || !address.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = rest.split_whitespace().filter(|word| !word.starts_with(['@', '{']));
    let opcode = words.next()?.split(['.', ';']).next()?;
    (!opcode.starts_with("/*") && opcode != "NOP").then_some(opcode)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'merkle' for 'sm_90a'
ptxas info    : Function properties for merkle
    256 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 256 bytes cumulative stack size, 16384 bytes smem
ptxas info    : Compile time = 1.0 ms
ptxas info    : Compiling entry function 'fill' for 'sm_90a'
ptxas info    : Function properties for fill
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 168 registers, used 0 barriers
";

    #[test]
    fn resources_are_read_per_kernel() {
        let kernels = parse_ptxas(LOG);
        let merkle = Resources {
            registers: 40,
            spill_store_bytes: 12,
            spill_load_bytes: 16,
            stack_bytes: 256,
            static_shared_bytes: 16384,
            sass: BTreeMap::new(),
        };
        assert_eq!(kernels["merkle"], merkle);
        assert_eq!(kernels["fill"], Resources { registers: 168, ..Resources::default() });
    }

    #[test]
    fn only_hot_kernels_must_not_spill() {
        let spilled = Resources { spill_load_bytes: 8, ..Resources::default() };
        assert!(fault("fill", &spilled).is_some());
        assert!(fault("merkle", &spilled).is_none());
        assert!(fault("fill", &Resources { registers: 255, ..Resources::default() }).is_none());
    }

    #[test]
    fn what_ptxas_did_otherwise_than_written_is_a_fault() {
        assert_eq!(notices(LOG).count(), 0);
        let log = format!(
            "{LOG}ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored; unable \
             to determine register count at entry.\nptxas info    : (C7517) warpgroup.wait is \
             injected in around line 935 by compiler to allow use of registers defined by GMMA in \
             function 'int8_wgmma'\n"
        );
        let said: Vec<_> = notices(&log).collect();
        assert!(said[0].starts_with("ptxas (C7508) Potential Performance Loss: 'setmaxnreg'"));
        assert!(said[1].starts_with("ptxas (C7517) warpgroup.wait is injected"), "{said:?}");
    }

    #[test]
    fn instructions_are_counted_per_function() {
        let sass = "\
\t\tFunction : fill
\t.headerflags\t@\"EF_CUDA_SM90\"
        /*0000*/                   LDC R1, c[0x0][0x28] ;   /* 0x00000a00ff017b82 */
                                                            /* 0x000fe20000000800 */
        /*0010*/              @!P0 DMMA.8x8x4 R4, R2, R3 ;  /* 0x00 */
        /*0020*/                   DMMA.16x8x8 R4, R2, R3 ; /* 0x00 */
        /*0030*/                   NOP;                     /* 0x00 */
\t\tFunction : merkle
        /*0000*/                   EXIT ;                   /* 0x00 */
";
        let counts = parse_sass(sass);
        let expected = [("DMMA".to_owned(), 2), ("total".to_owned(), 3)];
        assert_eq!(counts["fill"], BTreeMap::from(expected));
        assert_eq!(counts["merkle"]["total"], 1);
    }
}
