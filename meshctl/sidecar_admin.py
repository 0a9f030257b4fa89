"""Pages of a sidecar of this machine's lab, asked for from inside its pod's network namespace."""

import http.client
import json
import socket
from pathlib import Path

import click

from lab import netns
from lab.netns import NetworkError
from lab.paths import LabPaths
from lab.pod_record import PodRecord, find_pod

ADMIN_PORT = 15000
_LOOPBACK = "127.0.0.1"
_TIMEOUT = 10.0


class PodUnreachable(Exception):
    """A pod, or a server in it, does not answer; the message says which."""


def pod_named(paths: LabPaths, pod: str) -> PodRecord:
    """The pod called `pod`, `namespace/pod`, `pod.namespace`, or by its Deployment. Raises ClickException."""
    name, dot, namespace = pod.rpartition(".")
    found = find_pod(paths, f"{namespace}/{name}" if dot else pod)
    if found is None:
        raise click.ClickException(
            f"lab {paths.name} runs no pod {pod!r}; `meshctl lab status --name {paths.name}` lists them"
        )
    return found


def network_of(pod: PodRecord) -> Path:
    """Handle of the pod's network namespace. Raises PodUnreachable when none of its containers runs."""
    for place in pod.containers.values():
        return Path(f"/proc/{place.pid}/ns/net")
    raise PodUnreachable(f"no container of pod {pod.namespace}/{pod.name} runs")


def fetch(pod: PodRecord, path: str, port: int = ADMIN_PORT, *, timeout: float = _TIMEOUT) -> tuple[int, str]:
    """Status and body of a page served on the pod's loopback address; `timeout` in seconds, for each step.

    Raises PodUnreachable.
    """
    return fetch_in(network_of(pod), f"pod {pod.namespace}/{pod.name}", path, port, timeout=timeout)


def fetch_in(network: Path, what: str, path: str, port: int, *, timeout: float = _TIMEOUT) -> tuple[int, str]:
    """As `fetch`, in the network namespace of `what`, which errors name."""
    connection = http.client.HTTPConnection(_LOOPBACK, port)
    try:
        connection.sock = netns.inside(network, lambda: socket.create_connection((_LOOPBACK, port), timeout))
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
    except (OSError, http.client.HTTPException, NetworkError) as error:
        cause = str(error) or type(error).__name__
        raise PodUnreachable(f"{what}, port {port}, {path}: {cause}") from error
    finally:
        connection.close()
    return answer.status, body


def read_page(pod: PodRecord, path: str, port: int = ADMIN_PORT) -> str:
    """The page's body. Raises PodUnreachable, also for any other answer than 200."""
    status, body = fetch(pod, path, port)
    if status != http.client.OK:
        raise PodUnreachable(f"pod {pod.namespace}/{pod.name}, port {port}, {path}: {status} {body}")
    return body


def read_json(pod: PodRecord, path: str, port: int = ADMIN_PORT) -> object:
    """The page's content. Raises PodUnreachable."""
    return json.loads(read_page(pod, path, port))
