"""The manifests: against Kubernetes' own schemas, against each other, and their commands run
for real, as the user that they name, without a cluster."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "host" / "packaging" / "kubernetes"
PROGRAM = Path(os.environ.get("ATTEST_PROGRAM") or ROOT / "target" / "debug" / "attest")
#: The oldest that is supported, and the newest that the schemas have.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
PATIENCE = 120

Document = dict[str, Any]


def built(folder: Path) -> list[Document]:
    """What `kubectl kustomize` makes of a folder, by the fields that ours use."""
    text = (folder / "kustomization.yaml").read_text()
    kustomization = yaml.safe_load(text)
    assert set(kustomization) == {"apiVersion", "kind", "resources", "images"}
    listed = {folder / name for name in kustomization["resources"]}
    there = set(folder.glob("*.yaml")) - {folder / "kustomization.yaml"}
    assert listed == there, "every manifest is a resource, and the other way round"
    documents: list[Document] = []
    for path in sorted(listed):
        # What an anchor stands for differs between tools.
        events = list(yaml.parse(path.read_text()))
        assert not any(getattr(event, "anchor", None) for event in events), path
        documents += list(yaml.safe_load_all(path.read_text()))
    images = {image["name"]: image for image in kustomization["images"]}
    for container in itertools.chain(*(containers(document) for document in documents)):
        image = images.pop(container["image"], None) or next(
            image for image in kustomization["images"] if image["name"] == container["image"]
        )
        container["image"] = f"{image['newName']}:{image['newTag']}"
    assert images == {}, "every image is used"
    return documents


def pod(document: Document) -> Document | None:
    """The pod that it makes."""
    if document["kind"] not in ("DaemonSet", "Deployment", "Job"):
        return None
    spec: Document = document["spec"]["template"]["spec"]
    return spec


def containers(document: Document) -> list[Document]:
    """Containers of its pod, those that come first among them."""
    spec = pod(document)
    return [] if spec is None else spec.get("initContainers", []) + spec["containers"]


FLEET = built(FOLDER)
ACCEPTANCE = built(FOLDER / "acceptance")
BOTH = FLEET + ACCEPTANCE
PODS = [document for document in BOTH if pod(document)]


def named(kind: str, name: str) -> Document:
    """The one document of this name."""
    found = [d for d in BOTH if d["kind"] == kind and d["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name)
    return found[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_its_schema(version: str) -> None:
    for document in BOTH:
        kubernetes_validate.validate(document, version, strict=True)
    kinds = {document["kind"] for document in BOTH}
    assert {"DaemonSet", "Deployment", "Job", "NetworkPolicy", "ServiceAccount"} <= kinds
    broken = {**BOTH[0], "spec": {"finalizer": ["x"]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_names_lead_to_what_there_is() -> None:
    spaces = {d["metadata"]["name"] for d in BOTH if d["kind"] == "Namespace"}
    secrets = {"attest-ledger", "attest-validator"}
    for document in BOTH:
        if document["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert document["metadata"]["namespace"] in spaces, document
    for document in PODS:
        spec, space = pod(document), document["metadata"]["namespace"]
        assert spec is not None
        account = named("ServiceAccount", spec["serviceAccountName"])
        assert account["metadata"]["namespace"] == space
        assert any(d["kind"] == "NetworkPolicy" and d["metadata"]["namespace"] == space for d in BOTH)
        maps = {d["metadata"]["name"]: d["data"] for d in BOTH
                if d["kind"] == "ConfigMap" and d["metadata"]["namespace"] == space}
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        used = set()
        for container in containers(document):
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= set(volumes), container["name"]
            used |= mounted
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                if "configMapKeyRef" in source:
                    assert source["configMapKeyRef"]["key"] in maps[source["configMapKeyRef"]["name"]]
                if "secretKeyRef" in source:
                    assert source["secretKeyRef"]["name"] in secrets
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            probes = [container[f"{p}Probe"] for p in ("startup", "liveness", "readiness")
                      if f"{p}Probe" in container]
            paths = [probe["httpGet"]["path"] for probe in probes]
            assert paths in ([], ["/healthz", "/healthz", "/readyz"])
            for probe in probes:
                port = ports[probe["httpGet"]["port"]]
                assert f"--metrics=0.0.0.0:{port}" in container["args"]
                policies = [d for d in BOTH if d["kind"] == "NetworkPolicy"]
                opened = {port["port"] for policy in policies for rule in policy["spec"].get("ingress", [])
                          for port in rule["ports"]}
                assert port in opened
        assert used == set(volumes)
        for volume in volumes.values():
            if "configMap" in volume:
                items = {item["key"] for item in volume["configMap"]["items"]}
                assert items <= set(maps[volume["configMap"]["name"]])


def test_pods_have_no_more_rights_than_they_need() -> None:
    for document in PODS:
        spec = pod(document)
        assert spec is not None
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for word in ("hostNetwork", "hostPID", "hostIPC"):
            assert not spec.get(word)
        for container in containers(document):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"]["drop"] == ["ALL"]
            assert "limits" in container["resources"]
            is_root = context.get("runAsUser") == 0
            added = context["capabilities"].get("add", [])
            # The one that makes a folder on the node's disk the agent's.
            assert (is_root, added) == ((True, ["CHOWN"]) if container["name"] == "owner" else (False, []))
    # Only the job that labels its node asks the cluster for anything: that node, by name.
    roles = [d for d in BOTH if d["kind"] in ("Role", "ClusterRole")]
    assert [role["rules"] for role in roles] == [
        [{"apiGroups": [""], "resources": ["nodes"], "resourceNames": ["NODE_NAME"], "verbs": ["get", "patch"]}]
    ]
    holders = {c["name"] for d in PODS for c in containers(d)
               if any(mount["name"] == "token" for mount in c.get("volumeMounts", []))}
    assert holders == {"withdraw", "accept"}


def test_a_node_is_labelled_after_its_tests_and_agents_run_where_it_is() -> None:
    job = pod(named("Job", "accept-NODE_NAME"))
    agent = pod(named("DaemonSet", "attest-agent"))
    assert job is not None and agent is not None
    order = [container["name"] for container in job["initContainers"] + job["containers"]]
    assert order == ["withdraw", "doctor", "selftest", "stress", "accept"]
    accepted = job["containers"][0]["args"][-1]
    assert accepted == "attest/accepted=true"
    assert job["initContainers"][0]["args"][-1] == "attest/accepted-"
    assert agent["nodeSelector"]["attest/accepted"] == "true"
    assert job["restartPolicy"] == "Never"
    for container in job["initContainers"][1:]:
        count = next(v["value"] for v in container["env"] if v["name"] == "GPU_COUNT")
        assert int(count) == container["resources"]["limits"]["nvidia.com/gpu"]
    # Every placeholder is the node.
    text = "".join(path.read_text() for path in (FOLDER / "acceptance").glob("*.yaml"))
    assert text.replace("NODE_NAME", "gpu-17").count("gpu-17") > 8


def test_options_are_those_of_the_program() -> None:
    for document in PODS:
        for container in containers(document):
            words = container.get("args", [])
            if "/attest:" not in container["image"] or not words:
                continue
            command = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
            usage = subprocess.run([PROGRAM, *command, "--help"], capture_output=True, text=True)
            assert usage.returncode == 0, command
            for word in words[len(command):]:
                assert f"{word.split('=')[0]} " in usage.stdout, word


class Volumes:
    """Folders in place of volumes: a path of a container is one of them."""

    def __init__(self, folder: Path, spec: Document, uid: int) -> None:
        self.folder, self.uid = folder, uid
        for volume in spec["volumes"]:
            place = folder / volume["name"]
            place.mkdir(exist_ok=True)
            os.chown(place, uid, uid)

    def real(self, container: Document, word: str) -> str:
        """A word of a command, with the paths in it replaced."""
        places = {mount["mountPath"]: mount["name"] for mount in container.get("volumeMounts", [])}
        places["/etc/attest/policy.toml"] = "policy.toml"
        pattern = "|".join(re.escape(path) for path in places)
        return re.sub(pattern, lambda found: str(self.folder / places[found[0]]), word)

    def command(self, container: Document) -> list[str]:
        """What runs: the image's entry point is the program."""
        words = container.get("command") or [str(PROGRAM), *container["args"]]
        return [self.real(container, word) for word in words]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """Status and body; 0 if nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture()
def nats(tmp_path: Path) -> Iterator[str]:
    """A NATS server with JetStream."""
    server = shutil.which("nats-server") or "/usr/sbin/nats-server"
    if not Path(server).exists() or os.geteuid() != 0:
        assert os.environ.get("ATTEST_REQUIRE_NATS") != "1", "this takes root and nats-server"
        pytest.skip("this takes root and nats-server")
    port = free_port()
    command = [server, "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(tmp_path / "jetstream")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"nats://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture()
def open_path() -> Iterator[Path]:
    """A folder that other users may look into. pytest's own are below private ones."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_commands_run_for_real_as_the_user_that_they_name(open_path: Path, nats: str) -> None:
    program = open_path / "attest"
    shutil.copy(PROGRAM, program)
    policy = subprocess.run([program, "policy", "init"], capture_output=True, check=True).stdout
    running: list[subprocess.Popen[bytes]] = []
    try:
        ports = {}
        for kind, name in (("DaemonSet", "attest-agent"), ("Deployment", "attest-fleet")):
            document = named(kind, name)
            spec = pod(document)
            assert spec is not None
            uid = spec["securityContext"]["runAsUser"]
            folder = open_path / name
            folder.mkdir()
            volumes = Volumes(folder, spec, uid)
            (folder / "policy.toml").write_bytes(policy)
            maps = named_map(document["metadata"]["namespace"])
            if (folder / "schedule").exists():
                (folder / "schedule" / "schedule.toml").write_text(maps["schedule.toml"])
            if (folder / "key").is_dir():
                # As the kubelet writes a Secret's file: root's, for the group to read.
                made = ["key", "new", "--out", str(folder / "key" / "validator.pem")]
                subprocess.run([program, *made], capture_output=True, check=True)
                os.chown(folder / "key" / "validator.pem", 0, uid)
                os.chmod(folder / "key" / "validator.pem", 0o440)
            bare = {"PATH": f"{open_path}:/usr/bin:/bin"}
            for container in spec["initContainers"]:
                user = container["securityContext"].get("runAsUser", uid)
                command = volumes.command(container)
                done = subprocess.run(command, env=bare, user=user, group=uid, extra_groups=[],
                                      capture_output=True, text=True)
                assert done.returncode == 0, f"{command}: {done.stderr}"
                # Again, as after the pod was made anew.
                done = subprocess.run(command, env=bare, user=user, group=uid, extra_groups=[],
                                      capture_output=True, text=True)
                assert done.returncode == 0, f"{command}, twice: {done.stderr}"
            container = spec["containers"][0]
            environment = dict(bare)
            for variable in container["env"]:
                known = {"ATTEST_NATS": nats, "ATTEST_LEDGER": str(folder / "scratch" / "ledger")}
                text = known.get(variable["name"]) or volumes.real(container, variable["value"])
                environment[variable["name"]] = text
            port, ports[name] = container["ports"][0]["containerPort"], free_port()
            command = [word.replace(f"0.0.0.0:{port}", f"127.0.0.1:{ports[name]}")
                       for word in volumes.command(container)]
            command[0] = str(program)
            if name == "attest-agent":
                command += ["--executor", "cpu"]
            log = (folder / "log").open("wb")
            running.append(subprocess.Popen(command, env=environment, user=uid, group=uid,
                                            extra_groups=[], stderr=log))
        begun = time.monotonic()
        probes = {(name, path): 0 for name in ports for path in ("/healthz", "/readyz", "/metrics")}
        while set(probes.values()) != {200}:
            logs = {name: (open_path / name / "log").read_text() for name in ports}
            assert time.monotonic() < begun + PATIENCE, f"{probes}\n{logs}"
            assert all(process.poll() is None for process in running), logs
            probes = {(name, path): get(ports[name], path)[0] for name, path in probes}
            time.sleep(0.2)
        while 'attest_fleet_agents{state="online"} 1' not in get(ports["attest-fleet"], "/metrics")[1]:
            assert time.monotonic() < begun + PATIENCE
            time.sleep(0.2)
        for process in running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(PATIENCE) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
            process.wait()


def named_map(space: str) -> dict[str, str]:
    """The settings of a namespace."""
    found = [d["data"] for d in FLEET if d["kind"] == "ConfigMap" and d["metadata"]["namespace"] == space]
    assert len(found) == 1
    data: dict[str, str] = found[0]
    return data
