"""What a pod's annotations ask of its sidecar: read and checked (pure).

Under `traffic.meshproxy.io/` meaning and spelling of the values are Istio's for the same names under
`traffic.sidecar.istio.io/`; `sidecar.meshproxy.io/` follows its `sidecar.istio.io/` where there is the same.
A value that is wrong is refused: what it was meant to say cannot be known. A name that is not known gets a
warning with the nearest one that is.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Final

from injector.errors import InjectionError
from injector.quantity import quantity

TRAFFIC: Final = "traffic.meshproxy.io/"
SIDECAR: Final = "sidecar.meshproxy.io/"
PROMETHEUS: Final = "prometheus.meshproxy.io/"
INJECT: Final = "meshproxy.io/inject"
STATUS_ANNOTATION: Final = "meshproxy.io/status"
"""What an injection did; see `injector.status`."""

OPAQUE_PORTS: Final = f"{TRAFFIC}opaquePorts"
"""Ports whose bytes nobody looks at, as where the server speaks first. The control plane reads it."""
MAX_CONCURRENCY: Final = 64
_MAX_CONNECTIONS: Final = 1_000_000
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class PodWishes:
    """What the annotations say; an empty text is nothing said."""

    traffic_flags: tuple[str, ...] = ()
    """For the init container."""
    log_level: str = ""
    concurrency: str = ""
    max_connections: str = ""
    image: str = ""
    requests: dict[str, str] = field(default_factory=dict)
    """Resource → quantity."""
    limits: dict[str, str] = field(default_factory=dict)
    rewrites_probes: bool = True
    merges_metrics: bool = True
    captures_dns: bool = True


def read_wishes(annotations: Mapping[str, str]) -> PodWishes:
    """Raises InjectionError naming annotation, value and mend."""
    for name, check in _CHECKS.items():
        if name in annotations:
            check(annotations[name], f"annotation {name}")
    said = {name.removeprefix(SIDECAR): text.strip() for name, text in annotations.items() if name in _CHECKS}
    requests, limits = _resources(said, ""), _resources(said, "Limit")
    for resource in requests.keys() & limits.keys():
        _check_limit(resource, requests[resource], limits[resource])
    return PodWishes(
        traffic_flags=tuple(traffic_flags(annotations)),
        log_level=said.get("logLevel", ""),
        concurrency=said.get("concurrency", ""),
        max_connections=said.get("maxConnections", ""),
        image=said.get("proxyImage", ""),
        requests=requests,
        limits=limits,
        rewrites_probes=said.get("rewriteAppProbes", "true") == "true",
        captures_dns=said.get("dnsCapture", "true") == "true",
        merges_metrics=said.get(f"{PROMETHEUS}mergeMetrics", "true") == "true",
    )


def unknown_annotations(annotations: Iterable[str]) -> list[str]:
    """A warning for each name that looks like ours, or is another mesh's, and says nothing to us."""
    known = [*(TRAFFIC + name for name in _TRAFFIC), *_CHECKS, INJECT, STATUS_ANNOTATION]
    warnings = []
    for name in sorted(annotations):
        prefix, _, rest = name.partition("/")
        if (prefix == "meshproxy.io" or prefix.endswith(".meshproxy.io")) and name not in known:
            near = get_close_matches(name, known, 1, 0.8)
            mend = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            warnings.append(f"annotation {name} is not known and has no effect; {mend}")
        elif prefix in _OTHERS:
            ours = _SAME.get(name, f"{_OTHERS[prefix]}{rest}")
            mend = f"here it is {ours}" if ours in known else "nothing here has its meaning"
            warnings.append(f"annotation {name} is another mesh's and has no effect; {mend}")
    return warnings


def traffic_flags(annotations: Mapping[str, str]) -> list[str]:
    """Flags for `python -m meshproxy.interception`, one per annotation that is there, in a fixed order.

    Raises InjectionError for a value that is wrong.
    """
    flags = []
    for name, (flag, normalise) in _TRAFFIC.items():
        if TRAFFIC + name in annotations:
            value = normalise(annotations[TRAFFIC + name], f"annotation {TRAFFIC}{name}")
            if flag:
                flags.append(f"--{flag}={value}")
    return flags


def _resources(said: Mapping[str, str], suffix: str) -> dict[str, str]:
    names = {"cpu": f"proxyCPU{suffix}", "memory": f"proxyMemory{suffix}"}
    return {resource: said[name] for resource, name in names.items() if name in said}


def _check_limit(resource: str, request: str, limit: str) -> None:
    if quantity(request, resource) > quantity(limit, resource):
        raise InjectionError(
            f"annotations under {SIDECAR}: {resource} {request} is above its limit {limit}; raise the limit"
        )


def _ports(text: str, source: str) -> str:
    return ",".join(_port(item, source) for item in _items(text))


def _ports_or_all(text: str, source: str) -> str:
    return "*" if text.strip() == "*" else _ports(text, source)


def _ranges(text: str, source: str) -> str:
    return ",".join(_range(item, source) for item in _items(text))


def _ranges_or_all(text: str, source: str) -> str:
    return "*" if text.strip() == "*" else _ranges(text, source)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _port(item: str, source: str) -> str:
    if not (item.isascii() and item.isdecimal() and 0 < int(item) < 65536):
        raise InjectionError(f"{source}: {item!r} is not a port; use 1-65535 separated by commas")
    return str(int(item))


def _range(item: str, source: str) -> str:
    try:
        return str(ip_network(item))
    except ValueError as error:
        mend = "use e.g. 10.0.0.0/8, separated by commas"
        raise InjectionError(f"{source}: {item!r} is not an address range ({error}); {mend}") from error


def _one_of(*choices: str) -> Callable[[str, str], object]:
    def check(text: str, source: str) -> None:
        if text.strip() not in choices:
            raise InjectionError(f"{source} is {text!r}; use one of {', '.join(choices)}")

    return check


def _number_to(largest: int) -> Callable[[str, str], object]:
    def check(text: str, source: str) -> None:
        value = text.strip()
        if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= largest):
            raise InjectionError(f"{source} is {text!r}; use a number from 1 to {largest}")

    return check


def _image(text: str, source: str) -> None:
    if not text.strip() or any(character.isspace() for character in text.strip()):
        raise InjectionError(f"{source} is {text!r}; give the name of an image")


def _quantity(text: str, source: str) -> object:
    return quantity(text.strip(), source)


_TRAFFIC: Final[Mapping[str, tuple[str, Callable[[str, str], str]]]] = {
    "includeInboundPorts": ("include-inbound-ports", _ports_or_all),
    "excludeInboundPorts": ("exclude-inbound-ports", _ports),
    "includeOutboundPorts": ("include-outbound-ports", _ports),
    "excludeOutboundPorts": ("exclude-outbound-ports", _ports),
    "includeOutboundIPRanges": ("include-outbound-ip-ranges", _ranges_or_all),
    "excludeOutboundIPRanges": ("exclude-outbound-ip-ranges", _ranges),
    "opaquePorts": ("", _ports),  # not the interception's business
}
"""Name → (flag of the init container, how its value is read)."""

_CHECKS: Final[Mapping[str, Callable[[str, str], object]]] = {
    f"{SIDECAR}logLevel": _one_of(*_LOG_LEVELS),
    f"{SIDECAR}concurrency": _number_to(MAX_CONCURRENCY),
    f"{SIDECAR}maxConnections": _number_to(_MAX_CONNECTIONS),
    f"{SIDECAR}proxyImage": _image,
    f"{SIDECAR}proxyCPU": _quantity,
    f"{SIDECAR}proxyCPULimit": _quantity,
    f"{SIDECAR}proxyMemory": _quantity,
    f"{SIDECAR}proxyMemoryLimit": _quantity,
    f"{SIDECAR}rewriteAppProbes": _one_of("true", "false"),
    f"{SIDECAR}dnsCapture": _one_of("true", "false"),
    f"{PROMETHEUS}mergeMetrics": _one_of("true", "false"),
}

_OTHERS: Final = {
    "traffic.sidecar.istio.io": TRAFFIC,
    "sidecar.istio.io": SIDECAR,
    "config.linkerd.io": "",
    "linkerd.io": "",
}
"""Prefixes of other meshes → where ours has the same names."""
_SAME: Final = {
    "sidecar.istio.io/inject": INJECT,
    "sidecar.istio.io/rewriteAppHTTPProbers": f"{SIDECAR}rewriteAppProbes",
    "linkerd.io/inject": INJECT,
    "config.linkerd.io/opaque-ports": OPAQUE_PORTS,
    "config.linkerd.io/skip-inbound-ports": f"{TRAFFIC}excludeInboundPorts",
    "config.linkerd.io/skip-outbound-ports": f"{TRAFFIC}excludeOutboundPorts",
    "config.linkerd.io/proxy-log-level": f"{SIDECAR}logLevel",
}
