"""docs/python.md: its validator runs as printed, its exceptions are all of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attest
from conftest import PROGRAM

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()


def block(language: str) -> str:
    """The page's block in this language."""
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1, language
    return str(found[0])


def test_the_validator_loop_runs_as_it_is_printed(tmp_path: Path) -> None:
    loop = block("python")
    lines = [line for line in loop.splitlines() if line.strip()]
    assert len(lines) <= 30
    (tmp_path / "policy.toml").write_text(block("toml"))
    (tmp_path / "validator.py").write_text(loop)
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    # The miner's run must not find this machine's GPUs in use by another test.
    environment = {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "validator.py", "alice", "bob"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["alice verified  proven", "bob verified  proven"]
    assert '"outcome":"verified"' in (tmp_path / "bob.verdict.json").read_text()


def test_every_code_and_every_name_is_on_the_page() -> None:
    sources = (ROOT / "host" / "python" / "src").glob("*.rs")
    text = "".join(source.read_text() for source in sources)
    codes = set(re.findall(r'(?:input|challenge)\(\s*"([a-z-]+)"', text))
    text = (ROOT / "host" / "python" / "attest" / "__init__.py").read_text()
    codes |= set(re.findall(r'InputError\(\s*"([a-z-]+)"', text))
    text = (ROOT / "host" / "src" / "ledger" / "error.rs").read_text()
    text += (ROOT / "host" / "protocol" / "src" / "challenge.rs").read_text()
    codes |= set(re.findall(r'Self::\w+ \{ \.\. \} => "([a-z-]+)"', text))
    assert len(codes) > 25
    assert [code for code in sorted(codes) if f"`{code}`" not in PAGE] == []
    assert [name for name in attest.__all__ if name not in PAGE + "__version__"] == []
