"""The aarch64 tarball, if `cargo xtask dist --arch x86-64 --arch aarch64` made one: its
program runs in an emulator, beside an old Debian's libraries."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from conftest import OUT, bootstrapped, run

SMALL = ("--dim", "128", "--matrices", "1", "--iterations", "2", "--samples", "2")


def test_the_aarch64_program_runs_in_an_emulator(tmp_path: Path) -> None:
    tarballs = list(OUT.glob("attest-*-aarch64-linux.tar.zst"))
    emulator = shutil.which("qemu-aarch64-static")
    if not tarballs or not emulator:
        pytest.skip("no aarch64 tarball, or no qemu-user-static")
    run("tar", "--zstd", "-xf", tarballs[0], "-C", tmp_path)
    program = next(tmp_path.glob("*/bin/attest"))
    dynamic = run("readelf", "--wide", "--version-info", program)
    versions = [tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", dynamic)]
    assert versions and max(versions) <= (2, 28)
    libraries, _ = bootstrapped("arm64", "--foreign")
    attest = (emulator, "-L", libraries, program)
    token = run(*attest, "challenge", *SMALL).strip()
    result = tmp_path / "result.json"
    result.write_text(run(*attest, "run", "--executor", "cpu", "--challenge", token))
    assert "VERIFIED" in run(*attest, "verify", result, "--challenge", token)
