//! Mounts that lie over the files which tell of the devices.
//!
//! Guarantees: what NVIDIA's container runtimes do is no finding: they mount
//! each device's folder of /proc onto itself, and each driver library onto a
//! file of the same name.
//! Deliberately lacks: mounts outside this process's own namespace.

use super::finding::{Code, Finding};
use crate::protocol::evidence::machine::Mount;

/// The mounts of a text in the form of /proc/self/mountinfo, in its order.
pub(super) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

/// "36 35 98:0 ROOT AT rw,noatime OPTIONAL… - TYPE SOURCE OPTIONS".
fn mount(line: &str) -> Option<Mount> {
    let (place, kind) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(3);
    let (root, at) = (unescaped(place.next()?), unescaped(place.next()?));
    Some(Mount { at, root, fs_type: kind.split(' ').next()?.to_owned() })
}

/// Blank, tab, newline and backslash stand there as three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, c)| text.replace(escape, c))
}

/// The mount that a path is on: the last one over any part of it, as a later
/// mount hides earlier ones and the list has them in the order of mounting.
fn covering<'a>(mounts: &'a [Mount], path: &str) -> Option<&'a Mount> {
    let covers = |mount: &&Mount| {
        let rest = path.strip_prefix(mount.at.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    mounts.iter().rev().find(covers)
}

/// Whether a file of /proc is the kernel's own, under its own name.
pub(super) fn proc_file(mounts: &[Mount], path: &str) -> Option<Finding> {
    let mount = covering(mounts, path)?;
    let below = &path[mount.at.trim_end_matches('/').len()..];
    let shown = format!("{}{below}", mount.root.trim_end_matches('/'));
    if mount.fs_type == "proc" && format!("/proc{shown}") == path {
        return None;
    }
    let text = format!("{path} shows {shown} of a file system of type {}", mount.fs_type);
    Some(Finding::new(Code::DriverFilesMountedOver, text))
}

/// Whether a library is a file of another name that is mounted over it.
pub(super) fn library_file(mounts: &[Mount], path: &str) -> Option<Finding> {
    let mount = mounts.iter().rev().find(|mount| mount.at == path)?;
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    if name(&mount.root) == name(path) {
        return None;
    }
    let text = format!("{} of a {} file system lies over {path}", mount.root, mount.fs_type);
    Some(Finding::new(Code::LibraryMountedOver, text))
}

/// Whether a mount is worth telling of: over the kernel driver's files, or over
/// one of these libraries.
pub(super) fn is_telling(mount: &Mount, libraries: &[&str]) -> bool {
    mount.at.starts_with("/proc/driver") || libraries.contains(&mount.at.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "/proc/driver/nvidia/gpus/0000:19:00.0/information";
    const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.82.07";

    fn with(lines: &[&str]) -> Vec<Mount> {
        let plain = ["1 0 8:1 / / rw - ext4 /dev/sda rw", "2 1 0:5 / /proc rw - proc proc rw"];
        parse(&[&plain, lines].concat().join("\n"))
    }

    #[test]
    fn plain_machines_and_nvidias_containers_are_silent() {
        for lines in [
            &[][..],
            &[
                "3 2 0:7 / /proc/driver/nvidia ro shared:1 - tmpfs tmpfs rw,mode=555",
                "4 3 0:5 /driver/nvidia/gpus/0000:19:00.0 /proc/driver/nvidia/gpus/0000:19:00.0 ro - proc proc rw",
                "5 1 8:1 /usr/lib/libnvidia-ml.so.580.82.07 /usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.82.07 ro - ext4 /dev/sda rw",
            ],
        ] {
            let mounts = with(lines);
            assert_eq!(proc_file(&mounts, FILE), None);
            assert_eq!(library_file(&mounts, LIBRARY), None);
        }
        assert_eq!(proc_file(&[], FILE), None, "no mounts are known");
    }

    #[test]
    fn files_over_the_drivers_are_found() {
        for line in [
            // A folder of one's own.
            "3 2 8:1 /home/fake /proc/driver/nvidia rw - ext4 /dev/sda rw",
            "3 2 8:1 /fake.txt /proc/driver/nvidia/gpus/0000:19:00.0/information rw - ext4 /dev/sda rw",
            "3 2 0:7 / /proc/driver rw - tmpfs tmpfs rw",
            // Another device's folder.
            "3 2 0:5 /driver/nvidia/gpus/0000:2a:00.0 /proc/driver/nvidia/gpus/0000:19:00.0 ro - proc proc rw",
        ] {
            let finding = proc_file(&with(&[line]), FILE).expect(line);
            assert_eq!(finding.code, Code::DriverFilesMountedOver);
        }
        // Mounted twice: the later one is seen.
        let twice = [
            "3 2 0:5 /driver /proc/driver rw - proc proc rw",
            "4 3 8:1 /fake /proc/driver rw - ext4 /dev/sda rw",
        ];
        assert!(proc_file(&with(&twice), FILE).is_some());
        assert!(proc_file(&with(&twice[..1]), FILE).is_none());
        // A shallow one hides a deeper one that came before it.
        let hidden = [
            "3 2 0:5 /driver/nvidia/gpus/0000:19:00.0 /proc/driver/nvidia/gpus/0000:19:00.0 ro - proc proc rw",
            "4 2 0:7 / /proc/driver/nvidia rw - tmpfs tmpfs rw",
        ];
        assert!(proc_file(&with(&hidden), FILE).is_some());
    }

    #[test]
    fn what_a_path_shows_has_all_its_slashes() {
        let shows = |root: &str| {
            let mounts = parse(&format!("1 0 8:1 {root} / rw - ext4 /dev/sda rw"));
            proc_file(&mounts, FILE).expect("/proc is no file system of its own").text
        };
        assert_eq!(shows("/"), format!("{FILE} shows {FILE} of a file system of type ext4"));
        assert_eq!(shows("/a"), format!("{FILE} shows /a{FILE} of a file system of type ext4"));
    }

    #[test]
    fn another_file_over_a_library_is_found() {
        let line = format!("3 1 8:1 /tmp/a\\040b.so {LIBRARY} rw - ext4 /dev/sda rw");
        let mounts = with(&[&line]);
        let finding = library_file(&mounts, LIBRARY).unwrap();
        assert_eq!(finding.code, Code::LibraryMountedOver);
        assert!(finding.text.contains("/tmp/a b.so"), "{finding}");
        assert!(is_telling(&mounts[2], &[LIBRARY]) && !is_telling(&mounts[0], &[LIBRARY]));
    }

    #[test]
    fn broken_lines_are_left_out() {
        assert_eq!(parse("\n1 2 3\n1 2 3 4 - \n - proc\n"), []);
        // A mount whose name merely begins alike covers nothing.
        let beside = with(&["3 2 0:7 / /proc/driver/nvidia/gpus/0000 rw - tmpfs tmpfs rw"]);
        assert_eq!(proc_file(&beside, FILE), None);
    }
}
