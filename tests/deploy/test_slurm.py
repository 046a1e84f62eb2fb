"""The health check for Slurm: run for real, with the real program, in what looks like Slurm's
environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "host" / "packaging" / "slurm" / "attest-health-check"
PROGRAM = Path(os.environ.get("ATTEST_PROGRAM") or ROOT / "target" / "debug" / "attest")
#: What can be tested without a GPU.
CPU = "--executor cpu --only verifier"


class Node:
    """A node: where scontrol writes down what it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scontrol").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{folder}/told\n')
        # What a program would do that finds a wrong bit, or nothing to test.
        (folder / "attest").write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" "$CUDA_VISIBLE_DEVICES" "$GPU_COUNT" >{folder}/asked\n'
            'echo "subject  cases  time  outcome"\necho "cpu  n=128  1 ms  same bits"\n'
            'echo "gpu 1 sm_90a  n=128   1 ms  FAILED: 3 of 16384 bits differ"\nexit "$CODE"\n'
        )
        for name in ("scontrol", "attest"):
            (folder / name).chmod(0o755)

    def run(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the script, with nothing but these settings."""
        variables = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "ATTEST": str(PROGRAM),
            "ATTEST_SELFTEST": CPU,
            "ATTEST_SLURM_ENV": str(self.folder / "slurm.env"),
            "ATTEST_LIMIT_S": "300",
            "SLURMD_NODENAME": "gpu-17",
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            **settings,
        }
        return subprocess.run([SCRIPT], env=variables, capture_output=True, text=True)

    def told(self) -> list[str]:
        """What scontrol was told."""
        path = self.folder / "told"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture()
def node(tmp_path: Path) -> Node:
    """A node."""
    return Node(tmp_path)


PROLOG = {"SLURM_SCRIPT_CONTEXT": "prolog_slurmd", "SLURM_JOB_ID": "7"}


def test_shellcheck_finds_nothing() -> None:
    program = shutil.which("shellcheck")
    if not program:
        assert os.environ.get("ATTEST_REQUIRE_SHELLCHECK") != "1", "no shellcheck"
        pytest.skip("no shellcheck")
    done = subprocess.run([program, "--severity=style", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_healthy_node_is_left_alone(node: Node) -> None:
    done = node.run()
    assert (done.returncode, done.stderr, node.told()) == (0, "", [])
    done = node.run(SLURM_JOB_GPUS="0", **PROLOG)
    # Of a job with GPUs so many are demanded; without a GPU the CPU alone is asked for here.
    assert (done.returncode, node.told()) == (0, [])


def test_a_job_without_gpus_is_let_through(node: Node) -> None:
    assert node.run(ATTEST="/nowhere", **PROLOG).returncode == 0


def test_the_real_program_without_a_gpu_fails_a_job_that_was_given_some(node: Node) -> None:
    done = node.run(ATTEST_SELFTEST="--executor gpu --only gpu", SLURM_JOB_GPUS="0,1", **PROLOG)
    if "2 GPUs are expected" not in done.stderr:
        pytest.skip("this machine has GPUs")
    assert done.returncode == 1, done.stderr
    # The exit code drains the node.
    assert node.told() == []


def test_an_idle_node_with_a_wrong_bit_is_drained_with_the_reason(node: Node) -> None:
    done = node.run(ATTEST=str(node.folder / "attest"), CODE="1")
    assert done.returncode == 1
    reason = "attest: not healthy: gpu 1 sm_90a n=128 1 ms FAILED: 3 of 16384 bits differ"
    assert node.told() == ["update", "NodeName=gpu-17", "State=DRAIN", f"Reason={reason}"]
    assert done.stderr == f"{reason}\n"


def test_a_prolog_tests_the_gpus_of_its_job_by_their_number(node: Node) -> None:
    done = node.run(ATTEST=str(node.folder / "attest"), CODE="1", SLURM_JOB_GPUS="2,5,7", **PROLOG)
    assert (done.returncode, node.told()) == (1, [])
    asked = (node.folder / "asked").read_text().splitlines()
    assert asked == ["selftest", *CPU.split(), "2,5,7", "3"]


def test_what_could_not_be_tested_drains_too(node: Node) -> None:
    assert node.run(ATTEST=str(node.folder / "attest"), CODE="2").returncode == 2
    assert node.run(ATTEST="/nowhere").returncode == 2
    assert node.run(ATTEST_SELFTEST="--executor cpu", ATTEST_LIMIT_S="0.1").returncode == 3
    assert node.told().count("State=DRAIN") == 3


def test_settings_are_read_from_their_file(node: Node) -> None:
    (node.folder / "slurm.env").write_text(f"ATTEST={node.folder}/attest\nexport CODE=1\n")
    assert node.run(ATTEST="/nowhere").returncode == 1
    # A health check that cannot drain says so.
    (node.folder / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    assert node.run().returncode == 2
