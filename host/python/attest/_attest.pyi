"""The native half of the package: `attest/__init__.py` is what to call."""

import os
from typing import Any, Literal, final

__version__: str

@final
class Challenge:
    """A valid challenge."""

    def __new__(cls, token: str) -> Challenge: ...
    @property
    def token(self) -> str:
        """What the miner is sent."""

    @property
    def digest(self) -> str:
        """What identifies it, 64 hex digits."""

    @property
    def issued_at(self) -> int:
        """When it was issued, seconds since 1970."""

    @property
    def expires_at(self) -> int:
        """When it expires, seconds since 1970."""

    @property
    def time_limit(self) -> float:
        """The longest time from sending it to holding the answer, seconds."""

    @property
    def result_bytes_max(self) -> int:
        """The most bytes that its result has: read no more of what a miner sends."""

    def to_dict(self) -> dict[str, Any]:
        """Its fields, by their names on the wire."""

@final
class Policy:
    """What a validator demands of a result beyond the protocol."""

    def __new__(cls, toml: str = "", /) -> Policy: ...
    @staticmethod
    def from_file(path: str | os.PathLike[str]) -> Policy:
        """Reads a TOML file."""

    @staticmethod
    def template() -> str:
        """The default policy as TOML, every field with its comment."""

    @property
    def name(self) -> str:
        """What verdicts call it."""

    @property
    def digest(self) -> str:
        """Policies that demand the same have the same digest, 64 hex digits."""

    def to_dict(self) -> dict[str, Any]:
        """Every field's value."""

@final
class Ledger:
    """A validator's record of its challenges and their outcomes."""

    def __new__(cls, location: str) -> Ledger: ...

@final
class Verdict:
    """What a verification has shown. `str()` of it is for people."""

    @property
    def outcome(self) -> Literal["verified", "rejected", "could-not-run"]: ...
    @property
    def verified(self) -> bool:
        """Whether every check passed, those of the policy included."""

    @property
    def proven(self) -> bool:
        """Whether the samples were enough to prove the work."""

    @property
    def code(self) -> str | None:
        """The stable code of a rejection."""

    @property
    def detail(self) -> str | None:
        """What was expected and found, or why it could not run."""

    @property
    def notes(self) -> list[str]:
        """What the ledger has to say beside it."""

    def to_json(self) -> str:
        """As `attest verify --json` prints it (docs/verdict.schema.json)."""

    def to_dict(self) -> dict[str, Any]:
        """The same as a dictionary."""

def challenge(
    fields: str,
    *,
    valid_for_s: int | None,
    policy: Policy | None,
    model: str | None,
    seconds: float | None,
    round: int | None,
    ledger: Ledger | None,
) -> Challenge: ...
def inspect(subject: bytes | os.PathLike[str]) -> dict[str, Any]: ...
def verify(
    result: bytes | os.PathLike[str],
    challenge: Challenge | str,
    *,
    policy: Policy | None,
    ledger: Ledger | None,
    arrived_unix_s: int | None,
    elapsed_s: float | None,
    omitted_share: float | None,
    full: bool,
) -> Verdict: ...
