"""`attest export --ear` before a JWT library that knows nothing of attest."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import jwt
import pytest
from conftest import Case, program
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@pytest.fixture(scope="module")
def token(case: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The token on the verdict of a result, and its signer's public key."""
    folder: Path = tmp_path_factory.mktemp("ear")
    result, verdict, key = (str(folder / name) for name in ("result", "verdict", "key.pem"))
    Path(result).write_bytes(case.result)
    challenge = ("--challenge", case.challenge.token)
    now = ("--arrived-at", "unknown")
    Path(verdict).write_bytes(program("verify", result, *challenge, *now, "--json"))
    public = program("key", "new", "--out", key).decode().split()[0]
    made = program("export", "--ear", result, *challenge, "--verdict", verdict, "--key", key)
    return made.decode().strip(), bytes.fromhex(public)


def test_the_signature_is_eddsa_and_the_claims_are_ears(
    case: Case, token: tuple[str, bytes]
) -> None:
    text, public = token
    assert jwt.get_unverified_header(text) == {
        "alg": "EdDSA",
        "kid": public.hex(),
        "typ": "JWT",
    }
    key = Ed25519PublicKey.from_public_bytes(public)
    claims = jwt.decode(text, key, algorithms=["EdDSA"])
    assert claims["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert abs(claims["iat"] - time.time()) < 3600
    nonce = base64.urlsafe_b64decode(claims["eat_nonce"] + "=")
    assert nonce.hex() == case.challenge.digest
    assert set(claims["submods"]) == {"work", "lane-0"}
    # Nobody gave a policy, and a CPU signs no reports.
    assert claims["submods"]["work"]["ear_status"] == "warning"
    assert claims["submods"]["lane-0"]["ear_status"] == "none"


def test_another_key_did_not_sign_it(token: tuple[str, bytes]) -> None:
    text, _ = token
    other = Ed25519PublicKey.from_public_bytes(bytes([1]) + bytes(31))
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(text, other, algorithms=["EdDSA"])
