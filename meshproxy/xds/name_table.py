"""Istio's NameTable -> what the resolver answers from (pure)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from control_plane.api.istio.networking.nds.v1.nds_pb2 import NameTable as Proto
from meshproxy.config.name_table import NameAddresses, NameTable
from meshproxy.errors import ConfigError
from meshproxy.steps import Steps
from meshproxy.xds.strict import check, require

KUBERNETES: Final = "Kubernetes"
_LONGEST_NAME: Final = 253
_STEP: Final = 200
"""Names between two pauses: about a millisecond."""


def translating_names(table: Proto, path: str) -> Steps[NameTable]:
    """Raises ConfigError."""
    names: dict[str, NameAddresses] = {}
    domains = set()
    for number, host in enumerate(sorted(table.table)):
        info, place = table.table[host], f"{path}.table[{host[:_LONGEST_NAME]!r}]"
        check(info, place)
        name = host.lower().removesuffix(".")
        bare = name.removeprefix("*.")
        require(_is_name(bare), place, "the key is no host name of at most 253 characters")
        require(name not in names, place, "given twice, in another case or with a dot")
        names[name] = _addresses(info, place)
        if info.registry == KUBERNETES:
            domains.add(_domain(bare, info))
        if number % _STEP == _STEP - 1:
            yield
    yield
    known = domains - {""}
    require(
        len(known) < 2, f"{path}.table", f"Services of more than one domain: {', '.join(sorted(known)[:5])}"
    )
    return NameTable.of(names, next(iter(known), ""))


def _is_name(text: str) -> bool:
    labels = text.split(".")
    return text.isascii() and len(text) <= _LONGEST_NAME and all(0 < len(label) <= 63 for label in labels)


def _domain(name: str, info: Proto.NameInfo) -> str:
    """`cluster.local` of `catalog.shop.svc.cluster.local`; empty where that is not the Service's name."""
    own = f"{info.shortname}.{info.namespace}.svc.".lower()
    return name.removeprefix(own) if name.startswith(own) else ""


def _addresses(info: Proto.NameInfo, place: str) -> NameAddresses:
    v4: list[bytes] = []
    v6: list[bytes] = []
    for index, text in enumerate(info.ips):
        address = _parsed(text, f"{place}.ips[{index}]")
        (v4 if isinstance(address, IPv4Address) else v6).append(address.packed)
    return NameAddresses(tuple(dict.fromkeys(v4)), tuple(dict.fromkeys(v6)))


def _parsed(text: str, place: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise ConfigError(f"{place}: {text[:64]!r} is not an IP address") from error
