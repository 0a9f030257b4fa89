"""Rows of what belongs to the cluster itself (pure)."""

from collections.abc import Sequence

from control_plane.apiserver.table.shape import (
    NONE,
    UNKNOWN,
    Cell,
    Column,
    Shape,
    columns,
    condition,
    joined,
    number,
    since,
    text,
)
from control_plane.resources.manifest import Manifest, labels_of, metadata, objects, section

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _namespace(manifest: Manifest, now: float) -> Sequence[Cell]:
    return (text(section(manifest, "status"), "phase"),)


def _node(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    info = section(status, "nodeInfo")
    found: dict[str, str] = {}
    for one in objects(status, "addresses"):  # of a type the first: that of the first family
        found.setdefault(text(one, "type"), text(one, "address"))
    return (
        _node_status(spec, status),
        _roles(manifest),
        text(info, "kubeletVersion"),
        found.get("InternalIP", NONE),
        found.get("ExternalIP", NONE),
        text(info, "osImage", UNKNOWN),
        text(info, "kernelVersion", UNKNOWN),
        text(info, "containerRuntimeVersion", UNKNOWN),
    )


def _node_status(spec: Manifest, status: Manifest) -> str:
    words = {"True": "Ready", "False": "NotReady", "Unknown": "NotReady"}
    ready = words.get(text(condition(status, "Ready"), "status"), "Unknown")
    return f"{ready},SchedulingDisabled" if spec.get("unschedulable") else ready


def _roles(manifest: Manifest) -> str:
    roles = [
        label.removeprefix(_ROLE_PREFIX) for label in labels_of(manifest) if label.startswith(_ROLE_PREFIX)
    ]
    return joined(sorted(roles))


def _service_account(manifest: Manifest, now: float) -> Sequence[Cell]:
    return (len(objects(manifest, "secrets")),)


def _config_map(manifest: Manifest, now: float) -> Sequence[Cell]:
    return (len(section(manifest, "data")) + len(section(manifest, "binaryData")),)


def _secret(manifest: Manifest, now: float) -> Sequence[Cell]:
    keys = section(manifest, "data").keys() | section(manifest, "stringData").keys()
    return (text(manifest, "type", "Opaque"), len(keys))


def _webhooks(manifest: Manifest, now: float) -> Sequence[Cell]:
    return (len(objects(manifest, "webhooks")),)


def _event(manifest: Manifest, now: float) -> Sequence[Cell]:
    first = text(manifest, "firstTimestamp") or text(manifest, "eventTime")
    series = section(manifest, "series")
    last = text(series, "lastObservedTime") or text(manifest, "lastTimestamp") or first
    about, source = section(manifest, "involvedObject"), section(manifest, "source")
    host = text(source, "host")
    return (
        since(last, now),
        text(manifest, "type"),
        text(manifest, "reason"),
        f"{text(about, 'kind').lower()}/{text(about, 'name')}",
        text(about, "fieldPath"),
        (text(source, "component") or text(manifest, "reportingComponent")) + (f", {host}" if host else ""),
        text(manifest, "message").strip(),
        since(first, now),
        number(series, "count") or number(manifest, "count") or 1,
        text(metadata(manifest), "name"),
    )


_DATA = Column("Data", type="integer")
NAMESPACE = Shape(columns("Status"), _namespace)
NODE = Shape(
    columns("Status", "Roles"),
    _node,
    columns("Version")
    + columns("Internal-IP", "External-IP", "OS-Image", "Kernel-Version", "Container-Runtime", priority=1),
)
SERVICE_ACCOUNT = Shape((Column("Secrets", type="integer"),), _service_account)
CONFIG_MAP = Shape((_DATA,), _config_map)
SECRET = Shape((Column("Type"), _DATA), _secret)
WEBHOOKS = Shape((Column("Webhooks", type="integer"),), _webhooks)
EVENT = Shape(
    (
        *columns("Last Seen", "Type", "Reason", "Object"),
        *columns("Subobject", "Source", priority=1),
        Column("Message"),
        Column("First Seen", 1),
        Column("Count", 1, "integer"),
        Column("Name", 1),
    ),
    _event,
    has_name=False,
)
