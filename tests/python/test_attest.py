"""The package: challenges, verdicts, policies, ledgers, exceptions."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import pickle
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable

import attest
import pytest
from conftest import Case, answered, program

KEY = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
TO_TRY = attest.Policy(
    """
    [session]
    live_required = false
    [soundness]
    omitted_share = 0.1
    [devices]
    cpu_allowed = true
    """
)


def test_an_honest_result_is_verified_and_proven(case: Case) -> None:
    verdict = attest.verify(case.result, case.challenge)
    assert (verdict.outcome, verdict.verified, verdict.proven) == ("verified", True, True)
    assert verdict.code is None and verdict.notes == []
    assert str(verdict).startswith("VERIFIED") and "verified" in repr(verdict)
    assert verdict.to_dict() == json.loads(verdict.to_json())
    assert verdict.to_dict()["challenge_digest"] == case.challenge.digest
    assert attest.require(verdict) is verdict


def test_the_program_says_the_same(case: Case, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(case.result)
    options = ("--challenge", case.challenge.token, "--arrived-at", "unknown", "--json")
    of_program = json.loads(program("verify", str(file), *options))
    assert attest.verify(file, case.challenge, arrived_at="unknown").to_dict() == of_program
    inspected = json.loads(program("inspect", str(file), "--json"))
    assert attest.inspect(case.result) == attest.inspect(file) == inspected
    token = case.challenge.token
    assert attest.inspect(token) == json.loads(program("inspect", token, "--json"))
    assert attest.inspect(case.challenge) == attest.inspect(token)


def test_every_form_of_a_result_and_a_challenge_is_taken(case: Case) -> None:
    for result in (case.result, case.result.decode()):
        for challenge in (case.challenge, case.challenge.token):
            assert attest.verify(result, challenge, full=True).verified


def test_a_rejected_result_is_a_verdict_and_require_raises_its_code(case: Case) -> None:
    for result, code in ((case.tampered(), "commitment-mismatch"), (b"{", "malformed")):
        verdict = attest.verify(result, case.challenge)
        assert (verdict.outcome, verdict.proven, verdict.code) == ("rejected", False, code)
        assert verdict.detail
        with pytest.raises(attest.NotVerifiedError) as raised:
            attest.require(verdict)
        assert raised.value.code == verdict.code and raised.value.verdict is verdict


def test_fields_of_a_challenge_are_those_of_the_protocol() -> None:
    challenge = attest.challenge(
        "integer",
        matrix_dim=512,
        num_matrices=2,
        num_iterations=7,
        gpu_count=2,
        max_duration_ms=1500,
        miner_id=KEY,
        valid_for=timedelta(minutes=2),
    )
    fields = challenge.to_dict()
    assert fields["challenge_type"] == "integer_multiplication_pow"
    assert (fields["matrix_dim"], fields["gpu_count"], fields["miner_id"]) == (512, 2, KEY)
    assert challenge.expires_at - challenge.issued_at == 120
    assert challenge.time_limit == 1.5
    again = attest.Challenge(str(challenge))
    assert (again.digest, again.token) == (challenge.digest, challenge.token)
    assert attest.inspect(challenge)["challenge"] == fields


def test_a_policy_sizes_challenges_and_judges(case: Case) -> None:
    policy = attest.Policy()
    sized = attest.challenge(policy=policy, model="NVIDIA H200", seconds=3)
    assert sized.to_dict()["num_iterations"] > 1 and sized.time_limit < 10
    memory = attest.challenge(policy=policy, model="NVIDIA H200", round=2)
    assert memory.to_dict()["challenge_type"] == "memory_residency_pow"
    assert attest.Policy(attest.Policy.template()).digest == policy.digest
    assert policy.to_dict()["session"]["live_required"] is True and policy.name == "default"
    verdict = attest.verify(case.result, case.challenge, policy)
    assert verdict.code == "rejected-by-policy"
    reasons = {reason["code"] for reason in verdict.to_dict()["policy"]["reasons"]}
    assert {"session-required", "cpu-executor"} <= reasons
    assert attest.verify(case.result, case.challenge, TO_TRY).verified


def test_a_ledger_counts_each_challenge_once(case: Case, tmp_path: Path) -> None:
    ledger = attest.Ledger(str(tmp_path / "ledger.db"))
    strange = attest.verify(case.result, case.challenge, ledger=ledger)
    assert strange.code == "not-issued"
    challenge = attest.challenge(matrix_dim=128, num_matrices=1, num_iterations=2, ledger=ledger)
    first, second = answered(challenge), answered(challenge)
    assert attest.verify(first.result, challenge, ledger=ledger).verified
    assert attest.verify(second.result, challenge, ledger=ledger).code == "nonce-spent"
    shown = program("--ledger", str(tmp_path / "ledger.db"), "ledger", "list", "--json")
    assert challenge.digest in shown.decode()


def test_times_are_the_validators(case: Case) -> None:
    late = datetime.fromtimestamp(case.challenge.expires_at + 3600, timezone.utc)
    assert attest.verify(case.result, case.challenge, arrived_at=late).code == "expired"
    slow = attest.verify(case.result, case.challenge, elapsed=timedelta(days=2))
    assert slow.code == "late"
    with pytest.raises(attest.InputError) as raised:
        attest.verify(case.result, case.challenge, arrived_at=datetime(2026, 1, 1))
    assert raised.value.code == "arrived-at"


def test_every_exception_has_its_code(case: Case, tmp_path: Path) -> None:
    token = case.challenge.token
    with (tmp_path / "file.db").open("w") as file:
        file.write("not a ledger, whatever its name says " * 100)
    early = datetime(2020, 1, 1, tzinfo=timezone.utc)
    cases: list[tuple[type[attest.AttestError], str, Callable[[], object]]] = [
        (attest.ChallengeError, "token-not-base64", lambda: attest.Challenge("no token!")),
        (attest.ChallengeError, "token-too-long", lambda: attest.verify(b"{}", "A" * 20_000)),
        (attest.ChallengeError, "challenge-out-of-bounds", lambda: attest.challenge(matrix_dim=3)),
        (attest.ChallengeError, "challenge-malformed", lambda: attest.challenge(gpu_count=-1)),
        (attest.ChallengeError, "challenge-type", lambda: attest.challenge("sudoku")),  # type: ignore[arg-type]
        (attest.ChallengeError, "challenge-kind", lambda: attest.challenge("memory", matrix_dim=8)),
        (
            attest.ChallengeError,
            "challenge-not-sized",
            lambda: attest.challenge(policy=attest.Policy(), model="Voodoo 2"),
        ),
        (attest.InputError, "policy-without-model", lambda: attest.challenge(model="NVIDIA H200")),
        (attest.InputError, "valid-for", lambda: attest.challenge(valid_for=-1)),
        (attest.InputError, "elapsed", lambda: attest.verify(b"{}", token, elapsed=-1)),
        (attest.InputError, "omitted-share", lambda: attest.verify(b"{}", token, omitted_share=2)),
        (attest.InputError, "file-unreadable", lambda: attest.verify(tmp_path / "none", token)),
        (attest.InputError, "file-unreadable", lambda: attest.verify(tmp_path, token)),
        (attest.InputError, "file-unreadable", lambda: attest.Policy.from_file("/nowhere")),
        (attest.InputError, "not-a-result", lambda: attest.inspect(b"{}")),
        (
            attest.InputError,
            "arrival-before-issue",
            lambda: attest.verify(case.result, token, arrived_at=early),
        ),
        (attest.PolicyError, "policy-invalid", lambda: attest.Policy("[session]\nlive = 1\n")),
        (attest.LedgerError, "not-a-ledger", lambda: attest.Ledger(str(tmp_path / "file.db"))),
        (attest.LedgerError, "ledger-location", lambda: attest.Ledger("")),
    ]
    for kind, code, call in cases:
        with pytest.raises(attest.AttestError) as raised:
            call()
        error = raised.value
        assert type(error) is kind and error.code == code, str(error)
        assert error.advice and "\n" not in error.advice + str(error).splitlines()[0]
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.code, str(again)) == (kind, code, str(error))


def test_other_threads_run_while_a_result_is_verified(case: Case) -> None:
    # The result comes through a pipe that holds a page, from a Python thread that can only
    # go on while the call that reads it lets it.
    reader, writer = os.pipe()
    assert fcntl.fcntl(writer, 1031, 4096) == 4096  # F_SETPIPE_SZ
    assert len(case.result) > 3 * 4096
    verdicts: list[attest.Verdict] = []

    def verify() -> None:
        verdicts.append(attest.verify(Path(f"/proc/self/fd/{reader}"), case.challenge))

    thread = threading.Thread(target=verify)
    thread.start()
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        for start in range(0, len(case.result), 512):
            pipe.write(case.result[start : start + 512])
    thread.join()
    os.close(reader)
    assert verdicts[0].verified


def test_verifications_run_side_by_side(case: Case) -> None:
    results: list[attest.Verdict] = []
    work = lambda: results.append(attest.verify(case.result, case.challenge, full=True))  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [verdict.verified for verdict in results] == [True] * 4


def in_child(result: bytes, token: str, queue: "multiprocessing.Queue[bool]") -> None:
    queue.put(attest.verify(result, token).verified)


def test_a_forked_process_verifies_too(case: Case) -> None:
    assert attest.verify(case.result, case.challenge).verified
    fork = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[bool] = fork.Queue()
    child = fork.Process(target=in_child, args=(case.result, case.challenge.token, queue))
    child.start()
    try:
        assert queue.get(timeout=300)
    finally:
        child.kill()
        child.join()


def test_versions_of_package_and_program_agree() -> None:
    assert program("--version").decode().split() == ["attest", attest.__version__]
