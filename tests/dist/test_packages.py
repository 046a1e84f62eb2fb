"""What users install: what is in it, and that it runs on an old Debian."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from conftest import OUT, ROOT, Chroot, only, run

GLIBC_MAX = (2, 28)
#: Of glibc, all of them: NVIDIA's libraries are loaded at run time.
LIBRARIES = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"}
LIBRARIES |= {"libutil.so.1", "ld-linux-x86-64.so.2"}
#: Services.
UNITS = ("respond", "dashboard", "agent", "fleet")
SMALL = ("--dim", "128", "--matrices", "1", "--iterations", "2", "--samples", "2")


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tarball, unpacked."""
    folder = tmp_path_factory.mktemp("tarball")
    run("tar", "--zstd", "-xf", only("attest-*-x86_64-linux.tar.zst"), "-C", folder)
    found = list(folder.iterdir())
    assert len(found) == 1
    return found[0]


def check_program(file: Path) -> None:
    """Runs since glibc 2.28, and names no folder of the machine that built it."""
    dynamic = run("objdump", "-p", file)
    assert set(re.findall(r"NEEDED +(\S+)", dynamic)) <= LIBRARIES, dynamic
    versions = {tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", dynamic)}
    assert versions and max(versions) <= GLIBC_MAX, sorted(versions)
    data = file.read_bytes()
    for folder in (str(ROOT), os.environ.get("CARGO_HOME") or str(Path.home() / ".cargo")):
        assert folder.encode() not in data, f"{file.name} names {folder}"


def test_checksums_are_of_everything_that_was_packed() -> None:
    sums = (OUT / "SHA256SUMS").read_text().splitlines()
    named = {line.split("  ")[1] for line in sums}
    assert named == {file.name for file in OUT.iterdir()} - {"SHA256SUMS"}
    run("sha256sum", "--check", "--strict", "SHA256SUMS", cwd=OUT)
    for pattern in ("*_amd64.deb", "*-x86_64-linux.tar.zst", "*_x86_64.whl", "*.cdx.json"):
        only(pattern)


def test_the_tarball_has_the_program_and_nothing_of_this_machine(tree: Path) -> None:
    check_program(tree / "bin" / "attest")
    version = run(tree / "bin" / "attest", "--version").split()[1]
    assert tree.name == f"attest-{version}-x86_64-linux"
    listed = run("tar", "--zstd", "--list", "--verbose", "--numeric-owner", "--full-time", "-f",
                 only("attest-*-x86_64-linux.tar.zst"))
    lines = [line.split() for line in listed.splitlines()]
    assert {line[1] for line in lines} == {"0/0"}
    assert len({(line[3], line[4]) for line in lines}) == 1, "one time for all"
    names = [line[5] for line in lines]
    assert names == sorted(names, key=lambda name: name.rstrip("/").split("/"))
    for name in ("LICENSE-MIT", "LICENSE-APACHE", "README.md", "policy.toml",
                 "share/man/man1/attest.1", "share/man/man1/attest-verify.1",
                 "share/bash-completion/completions/attest", "share/zsh/site-functions/_attest",
                 "share/fish/vendor_completions.d/attest.fish", "share/doc/attest/protocol.md",
                 "share/attest/systemd/attest-respond.service",
                 "share/attest/systemd/attest-dashboard.service", "share/attest/dashboard.env",
                 "share/attest/systemd/attest-agent.service",
                 "share/attest/systemd/attest-fleet.service", "share/attest/agent.env",
                 "share/attest/monitoring/alerts.yml", "share/attest/monitoring/dashboard.json",
                 "share/attest/kubernetes/kustomization.yaml",
                 "share/attest/kubernetes/acceptance/job.yaml",
                 "share/attest/slurm/attest-health-check"):
        assert (tree / name).is_file(), name


def test_every_command_has_a_manual_page(tree: Path) -> None:
    usage = run(tree / "bin" / "attest", "--help")
    listed = usage.split("\nCommands:\n")[1].split("\n\n")[0]
    commands = [line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)]
    commands.remove("help")
    assert len(commands) > 12
    for command in commands:
        page = (tree / "share/man/man1" / f"attest-{command}.1").read_text()
        assert page.startswith(".ie") and f".TH attest-{command} 1" in page, command
        assert ".SH OPTIONS" in page


def test_the_package_is_installed_and_removed(debian: Chroot) -> None:
    package = only("attest_*_amd64.deb")
    debian.put(package, "/tmp/attest.deb")
    debian.run("dpkg", "--install", "/tmp/attest.deb")
    check_program(debian.folder / "usr/bin/attest")
    said = debian.run("attest", "demo", "--executor", "cpu")
    assert "VERIFIED" in said
    assert debian.run("stat", "-c", "%U:%G %a", "/var/lib/attest").split() == ["attest:attest", "700"]
    page = debian.folder / "usr/share/man/man1/attest-verify.1.gz"
    assert b".TH attest-verify" in gzip.decompress(page.read_bytes())
    # As respond.env and the unit say.
    key = ("attest", "key", "new", "--out", "/var/lib/attest/miner.pem")
    debian.run(*key, user="attest:attest", home="/var/lib/attest")
    configured = {"/etc/attest/policy.toml", "/etc/attest/respond.env", "/etc/attest/dashboard.env"}
    configured |= {"/etc/attest/agent.env", "/etc/attest/fleet.env"}
    assert set(debian.run("cat", "/var/lib/dpkg/info/attest.conffiles").split()) == configured
    debian.run("attest", "policy", "check", "/etc/attest/policy.toml")
    # It may hold the ledger's password.
    assert debian.run("stat", "-c", "%U %a", "/etc/attest/fleet.env").split() == ["root", "600"]
    check = debian.folder / "usr/share/attest/slurm/attest-health-check"
    assert os.access(check, os.X_OK)
    folders = [debian.folder / "lib/systemd/system", debian.folder / "usr/lib/systemd/system"]
    units = [unit for folder in folders for unit in folder.glob("attest-*.service")]
    assert {unit.name for unit in units} >= {f"attest-{name}.service" for name in UNITS}
    for unit in units:
        wanted = debian.folder / "etc/systemd/system/multi-user.target.wants" / unit.name
        assert not wanted.is_symlink(), "installed, and not enabled"
    debian.run("dpkg", "--remove", "attest")
    assert not any(file.exists() for file in [debian.folder / "usr/bin/attest", *units])
    assert (debian.folder / "etc/attest/respond.env").exists()
    debian.run("dpkg", "--purge", "attest")
    assert not (debian.folder / "etc/attest").exists()
    assert (debian.folder / "var/lib/attest/miner.pem").exists(), "a key is the user's"


@pytest.mark.parametrize("name", UNITS)
def test_units_are_understood_and_hardened(tree: Path, name: str) -> None:
    if not shutil.which("systemd-analyze"):
        assert os.environ.get("ATTEST_REQUIRE_CHROOT") != "1", "no systemd-analyze"
        pytest.skip("no systemd-analyze")
    unit = tree / f"share/attest/systemd/attest-{name}.service"
    # 10 is not hardened at all; by default systemd calls all above 5 medium.
    run("systemd-analyze", "security", "--offline=true", "--threshold=30", unit)
    text = unit.read_text()
    command = re.search(r"^ExecStart=/usr/bin/attest ([a-z ]+) (-.*)$", text, re.MULTILINE)
    assert command
    usage = run(tree / "bin" / "attest", *command[1].split(), "--help")
    for option in re.findall(r"--[a-z-]+", command[2]):
        assert option in usage, option
    # What it takes from its settings is there, and nothing else is but what the program knows.
    settings = tree / "share/attest" / Path(re.findall(r"EnvironmentFile=(.*)", text)[0]).name
    given = set(re.findall(r"^([A-Z_]+)=", settings.read_text(), re.MULTILINE))
    taken = set(re.findall(r"\$\{?([A-Z_]+)", command[2]))
    assert taken <= given and all(f"[env: {word}" in usage for word in given - taken)
    # With the program where it is here, systemd finds no fault in it.
    copy = tree / f"attest-{name}.service"
    copy.write_text(text.replace("/usr/bin/attest", str(tree / "bin" / "attest")))
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    assert said.returncode == 0 and f"attest-{name}" not in said.stderr, said.stderr


def test_the_tarballs_program_runs_on_an_old_debian_and_loads_a_driver(
    debian: Chroot, tree: Path
) -> None:
    run("cp", "--archive", tree, debian.folder / "opt/attest")
    program = "/opt/attest/bin/attest"
    token = debian.run(program, "challenge", *SMALL).strip()
    result = debian.run(program, "run", "--executor", "cpu", "--challenge", token)
    (debian.folder / "tmp/result.json").write_text(result)
    assert "VERIFIED" in debian.run(program, "verify", "/tmp/result.json", "--challenge", token)
    # Without a driver there is no device; with one, what it says is heard.
    bare = json.loads(debian.run(program, "detect", "--json"))
    assert not bare["cuda"].get("devices")
    libraries = debian.folder / "usr/lib/x86_64-linux-gnu"
    fakes = ROOT / "tests" / "fake_nvml"
    compile_ = ("cc", "-shared", "-fPIC")
    run(*compile_, "-Wl,-soname,libcuda.so.1", "-DINIT=100", fakes / "cuda.c", "-o",
        libraries / "libcuda.so.1")
    run(*compile_, "-Wl,-soname,libnvidia-ml.so.1", "-DCLAIMED=8", fakes / "nvml.c", "-o",
        libraries / "libnvidia-ml.so.1")
    where = ["chroot", str(debian.folder), program, "detect", "--json"]
    seen = json.loads(subprocess.run(where, capture_output=True).stdout)
    assert len(seen["nvml"]["devices"]) == 8
    missing = "libcuda.so.1"
    assert missing in bare["cuda"]["reason"] and missing not in seen["cuda"]["reason"]


def test_the_wheel_runs_on_its_python(debian: Chroot) -> None:
    wheel = only("*_x86_64.whl")
    assert re.fullmatch(r"attest-[0-9.]+-cp39-abi3-manylinux_2_28_x86_64\.whl", wheel.name)
    packages = debian.folder / "opt/wheel"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    check_program(packages / "attest/_attest.abi3.so")
    # The driver's functions that it defines are its own, also beside the driver.
    assert "SYMBOLIC" in run("readelf", "--dynamic", packages / "attest/_attest.abi3.so")
    assert (packages / "attest/py.typed").exists() and (packages / "attest/_attest.pyi").exists()
    scripts = list(packages.glob("attest-*.data/scripts/attest"))
    assert len(scripts) == 1
    check_program(scripts[0])
    script = "import sys, attest; c = attest.challenge(num_iterations=2); print(sys.version_info[:2], c.token)"
    said = debian.run("python3", "-c", script, PYTHONPATH="/opt/wheel")
    assert re.match(r"\(3, \d+\) ey", said)


def test_the_bill_of_materials_names_what_is_locked() -> None:
    text = only("*.cdx.json").read_text()
    bill = json.loads(text)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert str(ROOT) not in text
    listed = {(part["name"], part["version"]) for part in bill["components"]}
    lock = (ROOT / "Cargo.lock").read_text()
    locked = set(re.findall(r'name = "(.+)"\nversion = "(.+)"', lock))
    assert listed <= locked
    names = {name for name, _ in listed}
    assert {"cust", "rusqlite", "rustls", "serde", "tokio"} <= names
    assert not {"proptest", "divan", "pyo3"} & names, "what is in no program"
    unlicensed = [part["name"] for part in bill["components"] if not part.get("licenses")]
    assert unlicensed == []
