"""How pods are looked into: from inside their network namespaces, on the machine they run on.

Who cannot is `Blind`, and says why; nothing is guessed in its place.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from control_plane.resources.pod import Pod
from injector.template import INIT_CONTAINER, SIDECAR_CONTAINER
from lab import netns
from lab.netns import NetworkError
from lab.paths import LabPaths
from lab.pod_record import PodRecord, read_pod_record
from lab.state import read_state
from meshctl.diagnose.address import REFUSED
from meshctl.diagnose.facts import PodInside, Resolution, SidecarFacts, Unseen
from meshctl.diagnose.socket_table import listening
from meshctl.json_value import JsonObject, objects
from meshctl.pod_command import command_beside
from meshctl.sidecar_admin import PodUnreachable, fetch, network_of
from meshproxy.config.resolv_conf import nameservers
from meshproxy.interception.rules import parse_save

_PAGE_TIMEOUT = 3.0
_CONNECT_TIMEOUT = 2.0
_RESOLVE_TIMEOUT = 20.0
"""Seconds for the C library to try every name it makes of one."""
_RESOLVE = """
import json, socket, sys
try:
    found = socket.getaddrinfo(sys.argv[1], None, type=socket.SOCK_STREAM)
    print(json.dumps({"addresses": list(dict.fromkeys(one[4][0] for one in found))}))
except OSError as error:
    print(json.dumps({"error": error.strerror or str(error)}))
"""
_REFUSING = re.compile(r"-A .*-j (?:DROP|REJECT)\b")


class Eyes(Protocol):
    """What can be seen of a pod beyond the API server's objects. Every method blocks."""

    def inside(self, pod: Pod) -> PodInside | Unseen: ...

    def sidecar(self, pod: Pod) -> SidecarFacts | Unseen: ...

    def resolve(self, pod: Pod, host: str) -> Resolution | Unseen:
        """`host` as an app in the pod resolves it."""
        ...

    def connect(self, pod: Pod, address: str, port: int, uid: int) -> str | Unseen:
        """Why a TCP connection of user `uid` fails; empty when it does not."""
        ...


class Blind:
    """Nothing but the API server."""

    def __init__(self, why: str) -> None:
        self._why = Unseen(why)

    def inside(self, pod: Pod) -> PodInside | Unseen:
        return self._why

    def sidecar(self, pod: Pod) -> SidecarFacts | Unseen:
        return self._why

    def resolve(self, pod: Pod, host: str) -> Resolution | Unseen:
        return self._why

    def connect(self, pod: Pod, address: str, port: int, uid: int) -> str | Unseen:
        return self._why


class LabEyes:
    """For the pods of a lab of this machine."""

    def __init__(self, paths: LabPaths) -> None:
        self._paths = paths

    def inside(self, pod: Pod) -> PodInside | Unseen:
        record = self._record(pod)
        if isinstance(record, Unseen):
            return record
        pid = next(iter(record.containers.values())).pid
        try:
            tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
            network = network_of(record)
            saved = netns.run(network, ["iptables-save", "-t", "nat"])
            refusing = netns.run(network, ["iptables-save", "-t", "filter"])
        except (OSError, NetworkError) as error:
            return Unseen(f"pod {pod.metadata.name} cannot be entered: {error}")
        return PodInside(
            pid,
            tuple(one for table in tables for one in listening(table)),
            parse_save(saved),
            tuple(line for line in refusing.splitlines() if _REFUSING.match(line)),
        )

    def sidecar(self, pod: Pod) -> SidecarFacts | Unseen:
        record = self._record(pod)
        if isinstance(record, Unseen):
            return record
        if SIDECAR_CONTAINER not in record.containers:
            return SidecarFacts(problem="its container does not run")
        try:
            _, ready = fetch(record, "/ready", timeout=_PAGE_TIMEOUT)
            info, certificates, clusters, config = (
                _page(record, path) for path in ("/server_info", "/certs", "/clusters", "/config_dump")
            )
        except (PodUnreachable, ValueError) as error:
            return SidecarFacts(problem=str(error))
        return SidecarFacts(
            not_ready=() if ready.strip() == "LIVE" else tuple(ready.splitlines()),
            info=_object(info),
            certificates=_object(certificates),
            clusters=tuple(objects(clusters)),
            config=_object(config),
        )

    def resolve(self, pod: Pod, host: str) -> Resolution | Unseen:
        record = self._record(pod)
        if isinstance(record, Unseen):
            return record
        ours = (SIDECAR_CONTAINER, INIT_CONTAINER)
        place = next((one for name, one in record.containers.items() if name not in ours), None)
        if place is None:
            return Unseen(f"no container of {pod.metadata.name} runs but the sidecar")
        quick = "RES_OPTIONS=timeout:2 attempts:1"
        try:
            conf = Path(f"/proc/{place.pid}/root/etc/resolv.conf").read_text()
            asked = ["env", quick, sys.executable, "-I", "-S", "-c", _RESOLVE, host]
            line = command_beside(place, asked)
            done = subprocess.run(line, capture_output=True, text=True, timeout=_RESOLVE_TIMEOUT, check=True)
            answer = _object(json.loads(done.stdout))
        except subprocess.TimeoutExpired:
            answer = {"error": f"no answer in {_RESOLVE_TIMEOUT:g} s"}
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            return Unseen(f"no program can be run in {pod.metadata.name}: {error}")
        addresses = answer.get("addresses")
        return Resolution(
            tuple(map(str, addresses)) if isinstance(addresses, list) else (),
            str(answer.get("error", "")),
            nameservers(conf),
            _searches(conf),
        )

    def connect(self, pod: Pod, address: str, port: int, uid: int) -> str | Unseen:
        record = self._record(pod)
        if isinstance(record, Unseen):
            return record
        try:
            netns.inside(network_of(record), lambda: _connect(address, port, uid))
        except (PodUnreachable, NetworkError) as error:
            return Unseen(str(error))
        except ConnectionRefusedError:
            return f"connection {REFUSED}"
        except TimeoutError:
            return f"no answer in {_CONNECT_TIMEOUT:g} s"
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _record(self, pod: Pod) -> PodRecord | Unseen:
        meta = pod.metadata
        path = self._paths.pod(meta.namespace, meta.name, meta.uid) / "pod.json"
        record = None
        with contextlib.suppress(OSError):
            record = read_pod_record(path)
        if record is None or not record.containers:
            return Unseen(f"pod {meta.name} has no process in lab {self._paths.name}")
        return record


def _connect(address: str, port: int, uid: int) -> None:
    """In a thread of its own: the packet filter sees the file system user of who makes the socket."""
    _set_user(uid)
    socket.create_connection((address, port), _CONNECT_TIMEOUT).close()


_set_user: Callable[[int], int] = ctypes.CDLL(None).setfsuid


def _page(record: PodRecord, path: str) -> object:
    status, body = fetch(record, path, timeout=_PAGE_TIMEOUT)
    if status != http.client.OK:
        raise PodUnreachable(f"{path}: {status} {body}")
    return json.loads(body)


def _object(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _searches(conf: str) -> tuple[str, ...]:
    """The last line counts, as resolv.conf(5) says."""
    found = [line.split()[1:] for line in conf.splitlines() if line.split()[:1] in (["search"], ["domain"])]
    return tuple(found[-1]) if found else ()


def eyes_for(server: str, labs: Path) -> Eyes:
    """Of the lab of this machine whose API server has this URL, or that runs nodes for it."""
    for state in sorted(labs.glob("*/state.json")):
        found = read_state(state)
        if found is not None and found.url == server:
            if os.geteuid() != 0:
                return Blind("to look into pods takes root")
            return LabEyes(LabPaths(state.parent))
    return Blind("the pods run on no lab of this machine, so they cannot be looked into from here")
