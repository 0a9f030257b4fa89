"""What `meshctl get` shows of each kind: one row an object (pure)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from control_plane.resources.config_map import ConfigMap
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.grpc_route import GrpcRoute
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.manifest import Manifest, metadata, name_of, namespace_of
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service

_SHOWN = 3
"""Members of a list that fit into a cell."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Columns:
    """Titles, and the cells between NAME and AGE. The last `wide` of them are for `-o wide` only."""

    titles: Sequence[str]
    cells: Callable[[Manifest], Sequence[str]]
    wide: int = 0


def table(
    kind: str, items: Sequence[Manifest], now: float, *, wide: bool, namespaces: bool
) -> list[list[str]]:
    """The title row and one row an object. `now`: seconds since the epoch."""
    columns = _COLUMNS.get(kind, _NONE)
    shown = len(columns.titles) - (0 if wide else columns.wide)
    place = ["NAMESPACE"] if namespaces else []
    rows = [[*place, "NAME", *columns.titles[:shown], "AGE"]]
    for item in items:
        cells = columns.cells(item)[:shown]
        where = [namespace_of(item)] if namespaces else []
        rows.append(
            [*where, name_of(item), *cells, age(str(metadata(item).get("creationTimestamp", "")), now)]
        )
    return rows


def age(timestamp: str, now: float) -> str:
    """Of an RFC 3339 time, in the largest unit that is not too coarse, as kubectl has it."""
    try:
        seconds = int(now - datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return "<unknown>"
    if seconds < 2 * _MINUTE:
        return f"{max(0, seconds)}s"
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    return f"{seconds // _HOUR}h" if seconds < 2 * _DAY else f"{seconds // _DAY}d"


def _some(values: Iterable[str]) -> str:
    found = list(values)
    more = f" + {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ",".join(found[:_SHOWN]) + more or "<none>"


def _pairs(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items()) or "<none>"


def _pod(item: Manifest) -> Sequence[str]:
    pod = Pod.read(item)
    status = pod.status
    ready = sum(container.ready for container in status.container_statuses)
    restarts = sum(c.restart_count for c in (*status.container_statuses, *status.init_container_statuses))
    return [
        f"{ready}/{len(pod.spec.containers)}",
        status.reason or status.phase,
        str(restarts),
        status.pod_ip or "<none>",
        pod.spec.node_name or "<none>",
    ]


def _service(item: Manifest) -> Sequence[str]:
    spec = Service.read(item).spec
    ports = _some(f"{port.port}/{port.protocol}" for port in spec.ports)
    return [spec.type, spec.cluster_ip or "<none>", ports, _pairs(spec.selector)]


def _deployment(item: Manifest) -> Sequence[str]:
    deployment = Deployment.read(item)
    status = deployment.status
    ready = f"{status.ready_replicas}/{deployment.spec.replicas}"
    return [ready, str(status.updated_replicas), str(status.available_replicas)]


def _slice(item: Manifest) -> Sequence[str]:
    found = EndpointSlice.read(item)
    ports = _some(str(port.port) for port in found.ports)
    return [found.address_type, ports, _some(a for endpoint in found.endpoints for a in endpoint.addresses)]


def _route(item: Manifest) -> Sequence[str]:
    route = GrpcRoute.read(item) if item.get("kind") == GrpcRoute.KIND else HttpRoute.read(item)
    backends = _some(f"{ref.name}:{ref.weight}" for rule in route.spec.rules for ref in rule.backend_refs)
    conditions = [condition for parent in route.status.parents for condition in parent.conditions]
    verdicts: dict[str, str] = {}
    for condition in conditions:
        is_worse = verdicts.get(condition.type) == "False"
        verdicts[condition.type] = "False" if is_worse else condition.status
    problems = [condition.message for condition in conditions if condition.status != "True"]
    return [
        _some(ref.name for ref in route.spec.parent_refs),
        backends,
        verdicts.get("Accepted", "Unknown"),
        verdicts.get("ResolvedRefs", "Unknown"),
        "; ".join(dict.fromkeys(problems)),
    ]


_NONE = Columns((), lambda item: ())
_COLUMNS = {
    "ConfigMap": Columns(("DATA",), lambda item: [str(len(ConfigMap.read(item).data))]),
    "Pod": Columns(("READY", "STATUS", "RESTARTS", "IP", "NODE"), _pod, wide=2),
    "Service": Columns(("TYPE", "CLUSTER-IP", "PORT(S)", "SELECTOR"), _service, wide=1),
    "Deployment": Columns(("READY", "UP-TO-DATE", "AVAILABLE"), _deployment),
    "EndpointSlice": Columns(("ADDRESSTYPE", "PORTS", "ENDPOINTS"), _slice),
    "HTTPRoute": Columns(("PARENTS", "BACKENDS", "ACCEPTED", "RESOLVED", "PROBLEM"), _route, wide=1),
    "GRPCRoute": Columns(("PARENTS", "BACKENDS", "ACCEPTED", "RESOLVED", "PROBLEM"), _route, wide=1),
}
"""By kind; others show their name and age."""
