"""The pod annotations `traffic.meshproxy.io/…`: read, checked, and turned into flags of the init container
(pure).

Meaning and spelling of the values are Istio's for the same names under `traffic.sidecar.istio.io/`.
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_network

from injector.errors import InjectionError

PREFIX = "traffic.meshproxy.io/"


def traffic_flags(annotations: Mapping[str, str]) -> list[str]:
    """Flags for `python -m meshproxy.interception`, one per annotation that is there, in a fixed order.

    Raises InjectionError for a value that is wrong and for a name under the prefix that is not known: a
    typing error must not leave a port open that somebody wanted redirected, or the other way round.
    """
    given = {name.removeprefix(PREFIX): text for name, text in annotations.items() if name.startswith(PREFIX)}
    for name in sorted(given.keys() - _ANNOTATIONS.keys()):
        raise InjectionError(f"annotation {PREFIX}{name} is not known; known are {', '.join(_ANNOTATIONS)}")
    flags = []
    for name, (flag, normalise) in _ANNOTATIONS.items():
        if name in given:
            flags.append(f"--{flag}={normalise(given[name], PREFIX + name)}")
    return flags


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
        raise InjectionError(f"annotation {source}: {item!r} is not a port; use 1-65535 separated by commas")
    return str(int(item))


def _range(item: str, source: str) -> str:
    try:
        return str(ip_network(item))
    except ValueError as error:
        mend = "use e.g. 10.0.0.0/8, separated by commas"
        raise InjectionError(
            f"annotation {source}: {item!r} is not an address range ({error}); {mend}"
        ) from error


_ANNOTATIONS: Mapping[str, tuple[str, Callable[[str, str], str]]] = {
    "includeInboundPorts": ("include-inbound-ports", _ports_or_all),
    "excludeInboundPorts": ("exclude-inbound-ports", _ports),
    "includeOutboundPorts": ("include-outbound-ports", _ports),
    "excludeOutboundPorts": ("exclude-outbound-ports", _ports),
    "includeOutboundIPRanges": ("include-outbound-ip-ranges", _ranges_or_all),
    "excludeOutboundIPRanges": ("exclude-outbound-ip-ranges", _ranges),
}
