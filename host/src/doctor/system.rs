//! What the system gives this process: cores, instructions, memory, threads, descriptors,
//! shared memory, a clock; and whether it is in a container.
//!
//! Guarantees: files are read under a root that is given, up to a bound each; what is not
//! there limits nothing.
//! Deliberately lacks: a clock to compare with. Whether time is kept right is what the
//! system's own services say.

use super::Check;
use crate::executor::cpu::{Simd, detect_simd};
use crate::executor::host_memory::{self, HostMemory};
use crate::protocol::quantity::about;
use crate::session::clock::unix_ms;
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Longest file that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Most processes whose names are looked at.
const PROCESSES_MAX: usize = 100_000;
/// Least memory with which sessions run well, bytes: lines in flight, arenas of small tests.
const MEMORY_BYTES_LOW: u64 = 2 << 30;
/// Threads beside one a core (`bin/attest/limits.rs` asks for them).
const THREADS: u64 = 16;
/// Descriptors that a command needs, and those with which a hundred sessions run at once.
const DESCRIPTORS: u64 = 64;
const DESCRIPTORS_LOW: u64 = 1024;
/// 2026-01-01: this program is younger.
const BUILT_UNIX_S: u64 = 1_767_225_600;
/// Programs that keep the clock.
const TIME_SERVICES: [&str; 6] =
    ["chronyd", "ntpd", "systemd-timesyn", "ptp4l", "phc2sys", "openntpd"];

/// Looks at the system; `root` is `/`, but in tests.
pub fn system(root: &Path) -> Vec<Check> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let descriptors = getrlimit(Resource::Nofile).current;
    let mut checks = vec![cores_check(root, cores), instructions(detect_simd())];
    checks.push(memory(HostMemory::read_under(root)));
    checks.push(processes(root, cores, getrlimit(Resource::Nproc).current));
    checks.push(descriptor_check(descriptors));
    checks.push(shared_memory(root));
    checks.push(clock(root, unix_ms() / 1000));
    checks.extend(container(root));
    checks
}

fn cores_check(root: &Path, cores: u64) -> Check {
    const NAME: &str = "cores";
    let found = format!("{cores} to compute on");
    // "max 100000" or "150000 100000": microseconds of CPU time in each period.
    let quota = cgroup_folders(root).into_iter().find_map(|folder| {
        let text = text(&folder.join("cpu.max"))?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    });
    match quota {
        Some(quota) if quota + 0.5 < cores as f64 => Check::note(
            NAME,
            format!("{found}, of which the cgroup allows {quota:.1} at a time"),
            "Raise the CPU limit, or set RAYON_NUM_THREADS to it: more threads than time makes \
             verification slower.",
        ),
        _ => Check::ok(NAME, found),
    }
}

fn instructions(simd: Simd) -> Check {
    let found = format!("{simd} for FP64 products and memory");
    match simd {
        Simd::Scalar => Check::note(
            "cpu",
            found,
            "Without AVX2 and FMA verification takes about fifty times as long: use a newer \
             x86-64 machine for a validator.",
        ),
        Simd::Avx2 | Simd::Avx512 => Check::ok("cpu", found),
    }
}

fn memory(memory: Option<HostMemory>) -> Check {
    const NAME: &str = "memory";
    let Some(HostMemory { total_bytes, available_bytes, bound_by }) = memory else {
        return Check::note(NAME, "unknown: neither /proc nor a cgroup says", "Mount /proc.");
    };
    let amount = |bytes: u64| about(bytes as f64, "B");
    let found =
        format!("{} of {} available, {bound_by}", amount(available_bytes), amount(total_bytes));
    match available_bytes < MEMORY_BYTES_LOW {
        true => Check::wrong(
            NAME,
            found,
            "Raise the memory limit, or end other processes: sessions and verification want \
             2 GB.",
        ),
        false => Check::ok(NAME, found),
    }
}

fn processes(root: &Path, cores: u64, own_limit: Option<u64>) -> Check {
    const NAME: &str = "threads";
    let needed = cores + THREADS;
    let number = |folder: &Path, name: &str| text(&folder.join(name))?.trim().parse::<u64>().ok();
    let left = cgroup_folders(root)
        .into_iter()
        .filter_map(|folder| {
            let limit = number(&folder, "pids.max")?;
            Some(limit.saturating_sub(number(&folder, "pids.current").unwrap_or(0)))
        })
        .min();
    let of_cgroup =
        left.map_or("no cgroup limit".to_owned(), |left| format!("{left} left in the cgroup"));
    let own = own_limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
    let found = format!("{of_cgroup}, ulimit -u {own}");
    if left.is_some_and(|left| left < needed) || own_limit.is_some_and(|limit| limit < needed) {
        let advice = format!(
            "Raise the limit (docker run --pids-limit, TasksMax=, ulimit -u): {needed} are needed."
        );
        return Check::wrong(NAME, found, advice);
    }
    Check::ok(NAME, found)
}

fn descriptor_check(limit: Option<u64>) -> Check {
    const NAME: &str = "descriptors";
    match limit {
        None => Check::ok(NAME, "ulimit -n unlimited"),
        Some(limit) if limit < DESCRIPTORS => Check::wrong(
            NAME,
            format!("ulimit -n {limit}"),
            format!("Raise the limit (ulimit -n, LimitNOFILE=) to {DESCRIPTORS_LOW} or more."),
        ),
        Some(limit) if limit < DESCRIPTORS_LOW => Check::note(
            NAME,
            format!("ulimit -n {limit}"),
            "Enough for a few sessions at once; raise it for many (ulimit -n, LimitNOFILE=).",
        ),
        Some(limit) => Check::ok(NAME, format!("ulimit -n {limit}")),
    }
}

fn shared_memory(root: &Path) -> Check {
    const NAME: &str = "shared-memory";
    let folder = root.join("dev/shm");
    let advice = "attest does without it; NCCL and other GPU programs beside it don't \
                  (docker run --shm-size).";
    match rustix::fs::statvfs(&folder) {
        Ok(stat) => Check::ok(
            NAME,
            format!("{} in /dev/shm", about((stat.f_blocks * stat.f_frsize) as f64, "B")),
        ),
        Err(error) => Check::note(NAME, format!("/dev/shm: {error}"), advice),
    }
}

fn clock(root: &Path, now_unix_s: u64) -> Check {
    const NAME: &str = "clock";
    if now_unix_s < BUILT_UNIX_S {
        return Check::wrong(
            NAME,
            "before 2026, when this program was made",
            "Set the clock, and have a time service keep it (timedatectl set-ntp true).",
        );
    }
    if root.join("run/systemd/timesync/synchronized").exists() {
        return Check::ok(NAME, "synchronised, by systemd-timesyncd");
    }
    let entries = std::fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    let names = entries.take(PROCESSES_MAX).filter_map(|entry| text(&entry.path().join("comm")));
    let names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    let service = TIME_SERVICES.iter().find(|service| names.iter().any(|name| name == *service));
    match service {
        Some(service) => Check::ok(NAME, format!("kept by {service}")),
        None => Check::note(
            NAME,
            "no time service seen",
            "In a container the host keeps the clock: look there (timedatectl, chronyc \
             tracking). Challenges expire by it; durations don't depend on it.",
        ),
    }
}

fn container(root: &Path) -> Option<Check> {
    let kind = [
        (".dockerenv", "Docker"),
        ("run/.containerenv", "Podman"),
        ("var/run/secrets/kubernetes.io", "Kubernetes"),
        ("run/systemd/container", "a container of systemd"),
    ];
    let found: Vec<&str> =
        kind.iter().filter(|(file, _)| root.join(file).exists()).map(|(_, name)| *name).collect();
    (!found.is_empty()).then(|| Check::ok("container", found.join(", ")))
}

/// The folders of this process's cgroup (version 2) and those above, the innermost first.
fn cgroup_folders(root: &Path) -> Vec<PathBuf> {
    let own = text(&root.join("proc/self/cgroup")).unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut folders = host_memory::cgroup_folders(root.join("sys/fs/cgroup"), path);
    folders.reverse();
    folders
}

/// A small text file.
fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn limits_of_cgroups_are_seen_up_to_the_root() {
        let tight = root(&[
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/box/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/pod/box/pids.max", "max\n"),
            ("sys/fs/cgroup/pod/pids.max", "30\n"),
            ("sys/fs/cgroup/pod/pids.current", "12\n"),
        ]);
        let cores = cores_check(tight.path(), 8);
        assert_eq!(cores.state, State::Note);
        assert!(cores.found.contains("allows 1.5 at a time"), "{cores:?}");
        let threads = processes(tight.path(), 8, None);
        assert_eq!(threads.found, "18 left in the cgroup, ulimit -u unlimited");
        assert_eq!(threads.state, State::Wrong);
        assert!(threads.advice.unwrap().contains("24 are needed"));
        assert_eq!(processes(tight.path(), 2, None).state, State::Ok);
        let free = root(&[("sys/fs/cgroup/cpu.max", "max 100000\n")]);
        assert_eq!(cores_check(free.path(), 8).state, State::Ok);
        assert_eq!(processes(free.path(), 8, Some(1 << 20)).state, State::Ok);
        assert_eq!(processes(free.path(), 8, Some(20)).state, State::Wrong);
    }

    #[test]
    fn memory_descriptors_and_instructions_have_their_bounds() {
        let with = |kb: u64| {
            let text = format!("MemTotal: 99999999 kB\nMemAvailable: {kb} kB\n");
            memory(HostMemory::read_under(root(&[("proc/meminfo", &text)]).path())).state
        };
        assert_eq!((with(2 << 20), with((2 << 20) - 1)), (State::Ok, State::Wrong));
        assert_eq!(memory(None).state, State::Note);
        let of = |limit| descriptor_check(limit).state;
        assert_eq!(of(None), State::Ok);
        let states = [63, 64, 1023, 1024].map(|limit| of(Some(limit)));
        assert_eq!(states, [State::Wrong, State::Note, State::Note, State::Ok]);
        assert_eq!(instructions(Simd::Scalar).state, State::Note);
        assert_eq!(instructions(Simd::Avx2).state, State::Ok);
    }

    #[test]
    fn a_clock_is_kept_by_somebody() {
        let state = |files: &[(&str, &str)], now| clock(root(files).path(), now).state;
        assert_eq!(state(&[("run/systemd/timesync/synchronized", "")], NOW), State::Ok);
        assert_eq!(state(&[("proc/77/comm", "chronyd\n")], NOW), State::Ok);
        assert_eq!(state(&[("proc/77/comm", "bash\n")], NOW), State::Note);
        assert_eq!(state(&[("proc/77/comm", "chronyd\n")], 1_000_000_000), State::Wrong);
    }

    #[test]
    fn containers_and_shared_memory_are_named() {
        let docker = root(&[(".dockerenv", ""), ("var/run/secrets/kubernetes.io/x", "")]);
        assert_eq!(container(docker.path()).unwrap().found, "Docker, Kubernetes");
        assert_eq!(container(root(&[]).path()), None);
        assert_eq!(shared_memory(root(&[]).path()).state, State::Note);
        assert_eq!(shared_memory(root(&[("dev/shm/x", "")]).path()).state, State::Ok);
    }

    #[test]
    fn a_root_with_nothing_in_it_and_one_with_strange_files_are_looked_at() {
        for files in [&[][..], &[("proc/self/cgroup", "\0\n::"), ("sys/fs/cgroup/pids.max", "x")]] {
            let checks = system(root(files).path());
            assert!(checks.len() >= 7, "{checks:?}");
            for check in checks {
                assert_eq!(check.advice.is_none(), check.state == State::Ok, "{check:?}");
            }
        }
    }
}
