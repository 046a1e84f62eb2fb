"""What `cargo xtask dist` left, and an old Debian to try it in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("ATTEST_DIST_OUT") or ROOT / "target" / "dist" / "out")
#: Debian's releases, the oldest first: whichever the mirror still has.
SUITES = ("buster", "bullseye", "bookworm")
MIRROR = "http://deb.debian.org/debian"


def run(*command: str | Path, **options: object) -> str:
    """What a command prints; its failure is the test's."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def only(pattern: str) -> Path:
    """The one file of this name among what was packed."""
    found = sorted(OUT.glob(pattern))
    assert len(found) == 1, f"{pattern} in {OUT}: {found}"
    return found[0]


class Chroot:
    """A Debian in a folder."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder, self.suite = folder, suite

    def run(self, *command: str, user: str = "root", home: str = "/root", **variables: str) -> str:
        """Runs a command in it, in an environment of its own."""
        where = ["chroot", f"--userspec={user}", str(self.folder)]
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"PATH": path, "HOME": home, "LC_ALL": "C", **variables}
        return run(*where, *command, env=environment)

    def put(self, source: Path, name: str) -> Path:
        """Copies a file into it."""
        to = self.folder / name.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, to)
        return to


def bootstrapped(architecture: str, *options: str) -> tuple[Path, str]:
    """The oldest Debian that the mirror has, in a folder that is kept, and its suite."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        why = "a chroot takes root and debootstrap"
        assert os.environ.get("ATTEST_REQUIRE_CHROOT") != "1", why
        pytest.skip(why)
    for suite in SUITES:
        folder = ROOT / "target" / "dist-roots" / f"{suite}-{architecture}"
        if (folder / "made").exists():
            return folder, suite
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = ["debootstrap", "--variant=minbase", f"--arch={architecture}", *options, suite]
        if subprocess.run([*command, str(folder), MIRROR], capture_output=True).returncode == 0:
            (folder / "made").touch()
            return folder, suite
    raise AssertionError(f"debootstrap made none of {SUITES} from {MIRROR}")


@pytest.fixture(scope="session")
def base() -> Chroot:
    """A Debian. Tests take copies of it."""
    return Chroot(*bootstrapped("amd64", "--include=adduser,python3"))


@pytest.fixture()
def debian(base: Chroot, tmp_path: Path) -> Chroot:
    """A copy of it, for one test."""
    folder = tmp_path / "root"
    run("cp", "--archive", "--reflink=auto", base.folder, folder)
    return Chroot(folder, base.suite)
