"""The exceptions of the package. Each has a stable code; the text may change."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._attest import Verdict


class AttestError(Exception):
    """What this package raises: what happened, and what to try."""

    #: A stable kebab-case name of what happened.
    code: str
    #: What to try.
    advice: str

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(code, message, advice)
        self.code = code
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        text = f"{self.message} [{self.code}]"
        return f"{text}\n{self.advice}" if self.advice else text


class InputError(AttestError, ValueError):
    """An argument, or the file that it names, cannot be used."""


class ChallengeError(AttestError, ValueError):
    """A token is invalid, or no such challenge can be issued."""


class PolicyError(AttestError, ValueError):
    """A policy is invalid."""


class LedgerError(AttestError):
    """A ledger failed, or refused a step."""


class NotVerifiedError(AttestError):
    """A result was rejected, or could not be verified: see its verdict."""

    #: The whole verdict.
    verdict: Verdict | None

    def __init__(self, code: str, message: str, advice: str = "") -> None:
        super().__init__(code, message, advice)
        self.verdict = None
