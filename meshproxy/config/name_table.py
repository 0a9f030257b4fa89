"""Names that the mesh knows addresses of (pure): what the control plane tells the sidecar's resolver."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class NameAddresses:
    """Addresses of one name, packed (4 and 16 bytes), in the order in which they are answered."""

    v4: tuple[bytes, ...] = ()
    v6: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)


@dataclass(frozen=True, slots=True)
class NameTable:
    """Built with `of`, replaced as a whole."""

    names: Mapping[str, NameAddresses] = field(default_factory=lambda: MappingProxyType({}))
    """Lower-case absolute name without the last dot, or `*.` and the rest of one. Without addresses: the name
    exists, but the cluster's DNS knows what it stands for (an ExternalName Service, a headless one without
    pods)."""
    domain: str = ""
    """The cluster's domain, whose Services are all in the table; empty where that is not known."""
    ancestors: frozenset[str] = frozenset()
    """Names that exist only because one of the domain below them does."""

    @classmethod
    def of(cls, names: Mapping[str, NameAddresses], domain: str) -> NameTable:
        """With the ancestors of what is in `domain`."""
        below = (name for name in names if domain and name.endswith(f".{domain}"))
        return cls(MappingProxyType(dict(names)), domain, frozenset(_ancestors(below, domain)))

    def find(self, name: str) -> NameAddresses | None:
        """Of a lower-case name without the last dot: itself, else the wildcard closest to it."""
        found = self.names.get(name)
        rest = name
        while found is None and rest:
            rest = rest.partition(".")[2]
            found = self.names.get(f"*.{rest}")
        return found

    def covers(self, name: str) -> bool:
        """Whether a name that is not here does not exist: one of the cluster's domain. Pods by their address
        (`10-244-0-3.shop.pod.<domain>`), ports (`_http._tcp.…`) and the server's own names are the cluster
        DNS's."""
        domain = self.domain
        if not domain or not (name == domain or name.endswith(f".{domain}")):
            return False
        is_elsewhere = name.endswith((f".pod.{domain}", f".dns.{domain}")) or name.startswith("dns-version.")
        return not is_elsewhere and name != f"pod.{domain}" and not name.startswith("_")


def _ancestors(names: Iterable[str], domain: str) -> Iterable[str]:
    yield domain
    for name in names:
        parent = name.partition(".")[2]
        while parent != domain:
            yield parent
            parent = parent.partition(".")[2]
