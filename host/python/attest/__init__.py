"""Attestation of GPU work: issue challenges, verify results.

    challenge = attest.challenge(matrix_dim=1024, num_matrices=8, num_iterations=100)
    verdict = attest.verify(result, challenge)

Results are recomputed on the CPU, on all of its cores, while other Python threads run.
"""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timedelta
from typing import Any, Literal

from . import _attest
from ._attest import Challenge, Ledger, Policy, Verdict, __version__
from ._errors import (
    AttestError,
    ChallengeError,
    InputError,
    LedgerError,
    NotVerifiedError,
    PolicyError,
)

__all__ = [
    "AttestError",
    "Challenge",
    "ChallengeError",
    "InputError",
    "Ledger",
    "LedgerError",
    "NotVerifiedError",
    "Policy",
    "PolicyError",
    "Verdict",
    "__version__",
    "challenge",
    "inspect",
    "require",
    "verify",
]

Kind = Literal["fp64", "integer", "memory"]

_TYPES = {
    "fp64": "matrix_multiplication_pow",
    "integer": "integer_multiplication_pow",
    "memory": "memory_residency_pow",
}


def challenge(
    kind: Kind | None = None,
    *,
    policy: Policy | None = None,
    model: str | None = None,
    seconds: float | None = None,
    round: int | None = None,
    ledger: Ledger | None = None,
    valid_for: float | timedelta | None = None,
    matrix_dim: int | None = None,
    num_matrices: int | None = None,
    arena_blocks: int | None = None,
    half_passes: int | None = None,
    peer_blocks: int | None = None,
    num_iterations: int | None = None,
    sync_interval: int | None = None,
    verification_sample_rate: float | None = None,
    samples_per_iteration: int | None = None,
    gpu_count: int | None = None,
    gpu_model: str | None = None,
    min_memory_bytes: int | None = None,
    max_duration_ms: int | None = None,
    min_sm_utilization: float | None = None,
    miner_id: str | None = None,
    validator_id: str | None = None,
) -> Challenge:
    """Issues a challenge: what is given, defaults for the rest, a fresh seed and nonce.

    The fields are those of the protocol (docs/protocol.md). With `policy` and `model`
    (such as "NVIDIA H200") the work is sized for that model: so that an honest run takes
    `seconds` (if absent, what the policy says), or as the policy's `round` of that number.
    With `ledger` the challenge is on record there before this returns.

    Raises ChallengeError, InputError and LedgerError.
    """
    asked = {
        "challenge_type": None if kind is None else _TYPES.get(kind, kind),
        "matrix_dim": matrix_dim,
        "num_matrices": num_matrices,
        "arena_blocks": arena_blocks,
        "half_passes": half_passes,
        "peer_blocks": peer_blocks,
        "num_iterations": num_iterations,
        "sync_interval": sync_interval,
        "verification_sample_rate": verification_sample_rate,
        "samples_per_iteration": samples_per_iteration,
        "gpu_count": gpu_count,
        "gpu_model": gpu_model,
        "min_memory_bytes": min_memory_bytes,
        "max_duration_ms": max_duration_ms,
        "min_sm_utilization": min_sm_utilization,
        "miner_id": miner_id,
        "validator_id": validator_id,
    }
    fields = {name: value for name, value in asked.items() if value is not None}
    return _attest.challenge(
        json.dumps(fields),
        valid_for_s=None if valid_for is None else _whole_seconds(valid_for),
        policy=policy,
        model=model,
        seconds=seconds,
        round=round,
        ledger=ledger,
    )


def verify(
    result: bytes | str | os.PathLike[str],
    challenge: Challenge | str,
    policy: Policy | None = None,
    *,
    ledger: Ledger | None = None,
    elapsed: float | timedelta | None = None,
    arrived_at: datetime | Literal["now", "unknown"] = "now",
    omitted_share: float | None = None,
    full: bool = False,
) -> Verdict:
    """Verifies a result by recomputing its samples; with `full`, every iteration.

    `result` is the JSON that `attest run` printed, or the path of a file that has it
    (a `pathlib.Path`; a str is JSON). `elapsed` is how long the miner took by your own
    clock, from sending the challenge to holding the result, in seconds. With `ledger`
    you are the issuer: only a challenge that is on record there counts, once.
    `arrived_at` is when you held the result; it has to be before the challenge's expiry.

    A rejected result is a verdict, and no exception. Raises ChallengeError, InputError
    and LedgerError.
    """
    return _attest.verify(
        result.encode() if isinstance(result, str) else result,
        challenge,
        policy=policy,
        ledger=ledger,
        arrived_unix_s=_arrival(arrived_at),
        elapsed_s=None if elapsed is None else _seconds(elapsed),
        omitted_share=omitted_share,
        full=full,
    )


def require(verdict: Verdict) -> Verdict:
    """Gives the verdict back if it is verified, and raises NotVerifiedError if not."""
    if verdict.verified:
        return verdict
    what, _, advice = (verdict.detail or verdict.outcome).partition("\n")
    error = NotVerifiedError(verdict.code or verdict.outcome, what, advice)
    error.verdict = verdict
    raise error


def inspect(subject: bytes | str | Challenge | os.PathLike[str]) -> dict[str, Any]:
    """What a token or a result says, without any verification.

    A str or bytes are a token or a result; a `pathlib.Path` is a file that has one.

    Raises ChallengeError and InputError.
    """
    if isinstance(subject, Challenge):
        subject = subject.token
    if isinstance(subject, str):
        subject = subject.encode()
    return _attest.inspect(subject)


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _whole_seconds(valid_for: float | timedelta) -> int:
    seconds = _seconds(valid_for)
    if not 1 <= seconds < 2**53:
        raise InputError("valid-for", f"valid_for is {valid_for!r}", "Give 1 second or more.")
    return int(seconds)


def _arrival(arrived_at: datetime | Literal["now", "unknown"]) -> int | None:
    if arrived_at == "unknown":
        return None
    if arrived_at == "now":
        return int(time.time())
    if isinstance(arrived_at, datetime) and arrived_at.tzinfo is not None:
        return int(arrived_at.timestamp())
    raise InputError(
        "arrived-at",
        f"arrived_at is {arrived_at!r}",
        'Give a datetime with a time zone, "now" or "unknown".',
    )
