"""What the tests share: a challenge with its result, and miners that cheat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import attest
import pytest

#: The program of the wheel, beside this Python.
PROGRAM = Path(sys.executable).parent / "attest"


class Case(NamedTuple):
    """A challenge and its honest result."""

    challenge: attest.Challenge
    result: bytes

    def tampered(self) -> bytes:
        """The result with one root changed."""
        document = json.loads(self.result)
        document["lanes"][0]["iteration_roots"][0] = 64 * "0"
        return json.dumps(document).encode()


def program(*args: str) -> bytes:
    """What the program prints."""
    clean = {name: value for name, value in os.environ.items() if name != "ATTEST_LEDGER"}
    done = subprocess.run([str(PROGRAM), *args], check=True, capture_output=True, env=clean)
    return done.stdout


def answered(challenge: attest.Challenge) -> Case:
    """The honest answer of a CPU."""
    return Case(challenge, program("run", "--executor", "cpu", "--challenge", challenge.token))


@pytest.fixture(scope="session")
def case() -> Case:
    """Small work, enough to prove it."""
    return answered(attest.challenge(matrix_dim=256, num_matrices=1, num_iterations=4))
