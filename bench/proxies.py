"""The two meshes that are compared: our sidecar, and Envoy as a sidecar of our control plane."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from bench import dataset, packages
from bench.control import SIGNING_ADDRESS, XDS_ADDRESS, ControlPlane
from bench.errors import BenchError
from bench.network import http_get
from bench.process import PROXY_CORE, Process, until
from bench.result import Side
from bench.shape import NAMESPACE
from certs.csr import create_csr, generate_key, key_to_pem, parse_csr
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.store import load_or_create_authority
from control_plane.envoy_bootstrap import EnvoyNode, bootstrap, secret_files

ADMIN_PORT: Final = 15000
_READINESS_PORT = 15021
_READY_SECONDS = 60.0
_TRUST_DOMAIN = TrustDomain("cluster.local")


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """Whose sidecar it is."""

    pod: str
    account: str
    address: str


CLIENT: Final = PodIdentity(dataset.CLIENT_POD, dataset.CLIENT_ACCOUNT, dataset.CLIENT_ADDRESS)
SERVER: Final = PodIdentity(dataset.SERVER_PODS[0], dataset.SERVER_ACCOUNT, dataset.SERVER_ADDRESSES[0])


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a sidecar runs."""

    namespace: Path
    control: ControlPlane
    folder: Path
    """For its files and log."""
    core: int = PROXY_CORE
    cgroups: Sequence[Path] = ()


def start_meshproxy(
    who: PodIdentity,
    where: Surroundings,
    *,
    module: str = "meshproxy",
    environment: Mapping[str, str] | None = None,
    workers: int = 1,
) -> Process:
    """Our sidecar; `module` may be one that wraps it."""
    where.folder.mkdir(parents=True, exist_ok=True)
    token, labels = where.folder / f"{who.pod}.token", where.folder / f"{who.pod}.labels"
    token.write_text(where.control.token(who.pod, who.account))
    labels.write_text(f'app="{who.account}"\n')
    command = [sys.executable, "-m", module, "--pod-name", who.pod, "--pod-namespace", NAMESPACE]
    command += ["--pod-ip", who.address, "--service-account", who.account, "--labels-file", str(labels)]
    command += ["--discovery-address", XDS_ADDRESS, "--signing-address", SIGNING_ADDRESS]
    command += ["--token-file", str(token), "--root-bundle", str(where.control.root_bundle)]
    command += ["--log-level", "warning", "--drain-timeout", "0"]
    if workers > 1:
        command += ["--concurrency", str(workers)]
    return _start(command, who, where, environment)


def start_envoy(who: PodIdentity, where: Surroundings, *, workers: int = 1) -> Process:
    """Envoy with as many workers as ours."""
    where.folder.mkdir(parents=True, exist_ok=True)
    secrets = where.folder / f"{who.pod}-sds"
    secrets.mkdir(exist_ok=True)
    identity = issue(where.control, who.account)
    for name, document in secret_files(identity.chain, identity.key, identity.root).items():
        (secrets / name).write_text(yaml.safe_dump(document))
    node = EnvoyNode(
        pod=who.pod,
        namespace=NAMESPACE,
        pod_ip=who.address,
        service_account=who.account,
        discovery_host=dataset.CONTROL_ADDRESS,
        discovery_port=where.control.ports["xds"],
        secrets_dir=str(secrets),
        labels={"app": who.account},
        admin_port=ADMIN_PORT,
    )
    config = where.folder / f"{who.pod}-envoy.yaml"
    config.write_text(yaml.safe_dump(bootstrap(node)))
    command = [str(packages.envoy_binary()), "-c", str(config), "--concurrency", str(workers)]
    return _start([*command, "--disable-hot-restart", "--log-level", "error"], who, where)


def _start(
    command: Sequence[str],
    who: PodIdentity,
    where: Surroundings,
    environment: Mapping[str, str] | None = None,
) -> Process:
    return Process(
        command,
        namespace=where.namespace,
        core=where.core,
        log=where.folder / f"{who.pod}-proxy.log",
        is_proxy=True,
        cgroups=where.cgroups,
        environment=environment,
    )


def wait_ready(side: Side, process: Process, namespace: Path) -> float:
    """Seconds from its start until it says that it is configured."""
    port, path = (_READINESS_PORT, "/healthz/ready") if side is Side.MESHPROXY else (ADMIN_PORT, "/ready")

    def is_ready() -> bool:
        answer = http_get(namespace, port, path, timeout=2.0)
        return answer is not None and answer[0] == 200

    until(is_ready, f"{process.name} of {side.value} not ready", _READY_SECONDS, [process])
    return time.monotonic() - process.started_at


def data_path(process: Process, namespace: Path) -> str:
    """Whether one of ours serves with compiled modules or from its sources. Raises BenchError where compiled
    ones were left out because they are outdated: nobody means to measure that."""
    return data_path_of(_server_info(process, namespace), process.name)


def worker_pids(process: Process, namespace: Path) -> list[int]:
    """The processes of one of ours that carry traffic: it alone, or its workers."""
    return worker_pids_of(_server_info(process, namespace))


def worker_pids_of(page: bytes) -> list[int]:
    """The same of the page `/server_info` (pure)."""
    info = json.loads(page)
    return [int(one["pid"]) for one in info["workers"]] if "workers" in info else [int(info["pid"])]


def _server_info(process: Process, namespace: Path) -> bytes:
    answer = http_get(namespace, ADMIN_PORT, "/server_info")
    if answer is None or answer[0] != 200:
        raise BenchError(f"{process.name}: /server_info does not answer: {answer and answer[0]}")
    return answer[1]


def data_path_of(page: bytes, name: str) -> str:
    """The same of the page `/server_info` (pure)."""
    info = json.loads(page)
    if str(info["compiled_modules"]).startswith("outdated"):
        raise BenchError(f"{name}: compiled modules are {info['compiled_modules']}")
    return str(info["data_path"])


@dataclass(frozen=True, slots=True)
class IssuedIdentity:
    """PEM texts."""

    chain: str
    key: str
    root: str


def issue(control: ControlPlane, account: str) -> IssuedIdentity:
    """An identity from the CA of that control plane, for programs that cannot ask for one themselves."""
    now = time.time()
    authority = load_or_create_authority(control.data_dir / "ca", _TRUST_DOMAIN, now=now)
    key = generate_key()
    identity = SpiffeId.for_workload(_TRUST_DOMAIN, NAMESPACE, account)
    svid = authority.sign(parse_csr(create_csr(key, identity)), now=now)
    return IssuedIdentity(svid.chain_pem.decode(), key_to_pem(key).decode(), svid.root_pem.decode())
