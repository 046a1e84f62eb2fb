"""The Containerfile: built by whatever builder there is, or its steps run in a chroot."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import OUT, ROOT, Chroot, only, run

FILE = ROOT / "host" / "packaging" / "Containerfile"
BUILDERS = (("podman", "info"), ("buildah", "info"), ("docker", "info"))


def steps() -> list[tuple[str, str]]:
    """Instructions and their arguments, lines joined."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines)).splitlines()
    pairs = [line.split(maxsplit=1) for line in joined if line.strip()]
    return [(pair[0], pair[1]) for pair in pairs]


def builder() -> str | None:
    """One that works here: a client without its service does not."""
    for program, probe in BUILDERS:
        if not shutil.which(program):
            continue
        if subprocess.run([program, probe], capture_output=True).returncode == 0:
            return program
    return None


def test_it_runs_as_a_user_and_says_what_it_is() -> None:
    named = dict(steps())
    assert named["FROM"].startswith("docker.io/library/debian:")
    assert named["USER"] == "attest"
    assert named["ENTRYPOINT"] == '["/usr/bin/attest"]'
    for label in ("title", "description", "licenses"):
        assert f"org.opencontainers.image.{label}=" in named["LABEL"]


def test_a_builder_builds_it() -> None:
    program = builder()
    if program is None:
        pytest.skip("no container builder works here")
    run(program, "build", "--file", FILE, "--tag", "attest-test", OUT)
    said = run(program, "run", "--rm", "attest-test", "demo", "--executor", "cpu")
    assert "VERIFIED" in said


def test_its_steps_run_in_a_chroot(debian: Chroot) -> None:
    user, folder, variables = "root:root", "/", {"DEBIAN_FRONTEND": "noninteractive"}
    shutil.copy("/etc/resolv.conf", debian.folder / "etc/resolv.conf")
    for name, rest in steps():
        if name == "COPY":
            pattern, to = rest.replace("${TARGETARCH}", "amd64").split()
            debian.put(only(pattern), to)
        elif name == "RUN":
            debian.run("sh", "-ec", rest, user=user, **variables)
        elif name == "ENV":
            pairs = [word.partition("=") for word in shlex.split(rest)]
            variables.update({key: value for key, _, value in pairs})
        elif name == "USER":
            user = f"{rest}:{rest}"
        elif name == "WORKDIR":
            folder = rest
        else:
            assert name in ("FROM", "ARG", "LABEL", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"), name
    assert (user, folder) == ("attest:attest", "/var/lib/attest")
    assert not list(Path(debian.folder / "var/lib/apt/lists").glob("*Packages*"))
    home = variables.pop("HOME")
    inside = f'cd {folder} && exec /usr/bin/attest "$@"'
    attest = ("sh", "-c", inside, "attest")
    said = debian.run(*attest, "key", "new", "--out", "key.pem", user=user, home=home, **variables)
    assert re.search(r"[0-9a-f]{64}", said)
    demo = ("demo", "--executor", "cpu")
    assert "VERIFIED" in debian.run(*attest, *demo, user=user, home=home, **variables)
    kept = debian.run(*attest, "challenge", "--ledger", "default", user=user, home=home, **variables)
    assert kept.startswith("ey")
    # A cluster's pods run as a user that the image does not know (docs/kubernetes.md): the
    # folder is made theirs, and has the node's key then.
    manifest = ROOT / "host" / "packaging" / "kubernetes" / "agent.yaml"
    spec = yaml.safe_load(manifest.read_text())["spec"]["template"]["spec"]
    number = spec["securityContext"]["runAsUser"]
    for container in spec["initContainers"]:
        own = container["securityContext"].get("runAsUser", number)
        said = debian.run(*container["command"], user=f"{own}:{own}", home="/nonexistent")
    assert re.search(r"[0-9a-f]{64}", said)
    user = f"{number}:{number}"
    assert "VERIFIED" in debian.run("/usr/bin/attest", *demo, user=user, home=home)
