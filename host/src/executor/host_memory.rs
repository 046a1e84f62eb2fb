//! How much of the host's memory this process can have: what the kernel says is
//! available, and what the limits of its cgroups leave, of both versions.
//!
//! Guarantees: every cgroup from the process's own up to the mounted root counts;
//! what cannot be read limits nothing and is no number.
//! Deliberately lacks: swap, address-space limits (`ulimit -v`), and any promise:
//! others take memory, too.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// What there is, and what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// The host's memory, or the least limit of a cgroup, bytes.
    pub total_bytes: u64,
    /// What can be taken now without swapping, bytes.
    pub available_bytes: u64,
    /// What sets [`HostMemory::available_bytes`].
    pub bound_by: BoundBy,
}

/// What leaves least memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundBy {
    /// The host itself.
    Host,
    /// The limit of this cgroup, a folder.
    Cgroup(PathBuf),
}

impl fmt::Display for BoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("on this host"),
            Self::Cgroup(folder) => {
                write!(f, "within the memory limit of the cgroup {}", folder.display())
            }
        }
    }
}

impl HostMemory {
    /// As it is now; `None` if neither the kernel nor a cgroup says.
    pub fn read() -> Option<Self> {
        Self::read_under(Path::new("/"))
    }

    /// With `root` in the place of `/`.
    pub(crate) fn read_under(root: &Path) -> Option<Self> {
        let host = of_meminfo(&fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default());
        let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let limits = own.lines().flat_map(|line| of_cgroups(root, line));
        host.into_iter().chain(limits).reduce(|least, next| {
            let total_bytes = least.total_bytes.min(next.total_bytes);
            let tighter = if next.available_bytes < least.available_bytes { next } else { least };
            Self { total_bytes, ..tighter }
        })
    }
}

fn of_meminfo(text: &str) -> Option<HostMemory> {
    let bytes = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    };
    let total_bytes = bytes("MemTotal")?;
    // Before Linux 3.14 there is no MemAvailable.
    let available_bytes = bytes("MemAvailable").or_else(|| bytes("MemFree"))?;
    Some(HostMemory { total_bytes, available_bytes, bound_by: BoundBy::Host })
}

/// The files of a version of cgroups.
struct Files {
    /// Where the hierarchy is mounted.
    mount: &'static str,
    limits: &'static [&'static str],
    usage: &'static str,
    /// In memory.stat: pages of files that the kernel drops before it refuses memory.
    droppable: &'static str,
}

const V1: Files = Files {
    mount: "sys/fs/cgroup/memory",
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};
const V2: Files = Files {
    mount: "sys/fs/cgroup",
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    droppable: "inactive_file",
};

/// The limits that hold for a line of /proc/self/cgroup, `ID:CONTROLLERS:PATH`.
fn of_cgroups(root: &Path, line: &str) -> Vec<HostMemory> {
    let mut parts = line.splitn(3, ':');
    let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let files = match (id, controllers) {
        ("0", "") => &V2,
        _ if controllers.split(',').any(|name| name == "memory") => &V1,
        _ => return Vec::new(),
    };
    let folders = cgroup_folders(root.join(files.mount), path);
    folders.into_iter().filter_map(|folder| limit_of(folder, files)).collect()
}

/// The folders of a group and of those above it, from the mount's root on.
pub(crate) fn cgroup_folders(mount: PathBuf, path: &str) -> Vec<PathBuf> {
    // In a container the path may be the host's, which is not mounted, or lead out of
    // the namespace with `..`; the mount's root is then the container's own group.
    let inside = path.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let mut folder = mount.clone();
    let mut folders = vec![mount];
    for part in inside {
        folder.push(part);
        folders.push(folder.clone());
    }
    folders
}

fn limit_of(folder: PathBuf, files: &Files) -> Option<HostMemory> {
    let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok();
    // "max" is no number, and no limit.
    let total_bytes: u64 = files.limits.iter().filter_map(|name| number(name)).min()?;
    let used_bytes: u64 = number(files.usage)?;
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let droppable_bytes = stat.lines().find_map(|line| {
        let (name, bytes) = line.split_once(' ')?;
        if name == files.droppable { bytes.trim().parse::<u64>().ok() } else { None }
    });
    let held_bytes = used_bytes.saturating_sub(droppable_bytes.unwrap_or(0));
    let available_bytes = total_bytes.saturating_sub(held_bytes);
    Some(HostMemory { total_bytes, available_bytes, bound_by: BoundBy::Cgroup(folder) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:         1000000 kB\n\
                           MemAvailable:   20000000 kB\n";

    /// A root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn read(files: &[(&str, &str)]) -> Option<(u64, u64, bool)> {
        let root = root(files);
        let memory = HostMemory::read_under(root.path())?;
        let of_cgroup = matches!(memory.bound_by, BoundBy::Cgroup(_));
        Some((memory.total_bytes, memory.available_bytes, of_cgroup))
    }

    #[test]
    fn without_limits_it_is_what_the_host_has_available() {
        let host = Some((24_684_084 << 10, 20_000_000 << 10, false));
        assert_eq!(read(&[("proc/meminfo", MEMINFO)]), host);
        let unlimited = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "4:memory:/a\n0::/b\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.usage_in_bytes", "1000\n"),
            ("sys/fs/cgroup/b/memory.max", "max\n"),
            ("sys/fs/cgroup/b/memory.current", "1000\n"),
        ];
        assert_eq!(read(&unlimited), host);
    }

    #[test]
    fn nothing_known_is_no_number() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[("proc/meminfo", "MemTotal: many kB\n")]), None);
        assert_eq!(read(&[("proc/self/cgroup", "0::/\ngarbage\n::\n")]), None);
    }

    #[test]
    fn a_limit_of_either_version_leaves_what_it_does_not_hold() {
        let v2 = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/box/memory.max", "2000000000\n"),
            ("sys/fs/cgroup/pod/box/memory.current", "700000000\n"),
            ("sys/fs/cgroup/pod/box/memory.stat", "anon 1\ninactive_file 500000000\n"),
        ];
        assert_eq!(read(&v2), Some((2_000_000_000, 1_800_000_000, true)));
        let v1 = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/pod/box\n"),
            ("sys/fs/cgroup/memory/pod/box/memory.limit_in_bytes", "2000000000\n"),
            ("sys/fs/cgroup/memory/pod/box/memory.usage_in_bytes", "700000000\n"),
            ("sys/fs/cgroup/memory/pod/box/memory.stat", "total_inactive_file 500000000\n"),
        ];
        assert_eq!(read(&v1), Some((2_000_000_000, 1_800_000_000, true)));
    }

    /// A limit may stand above the process's own group, or a softer one beside it.
    #[test]
    fn the_tightest_of_all_groups_counts() {
        let nested = [
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/pod/box\n"),
            ("sys/fs/cgroup/pod/memory.max", "3000\n"),
            ("sys/fs/cgroup/pod/memory.current", "2500\n"),
            ("sys/fs/cgroup/pod/box/memory.max", "2000\n"),
            ("sys/fs/cgroup/pod/box/memory.current", "1000\n"),
        ];
        assert_eq!(read(&nested), Some((2000, 500, true)));
        let high = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("sys/fs/cgroup/memory.high", "1000\n"),
            ("sys/fs/cgroup/memory.current", "1200\n"),
        ];
        assert_eq!(read(&high), Some((1000, 0, true)), "over it already");
    }

    /// As /proc/self/cgroup names it if the container has no namespace of cgroups.
    #[test]
    fn a_path_of_the_hosts_leads_to_the_containers_own_group() {
        for path in ["/docker/0123", "/../../docker/0123", "/.."] {
            let container = [
                ("proc/meminfo", MEMINFO),
                ("proc/self/cgroup", &*format!("4:memory:{path}\n")),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "400\n"),
            ];
            assert_eq!(read(&container), Some((1000, 600, true)), "{path}");
        }
    }
}
