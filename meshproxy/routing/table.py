"""Route table (pure): from authority and path to a route, as `envoy.config.route.v3.RouteConfiguration`
says. [5]

Order of virtual hosts is Envoy's: exact domain, longest `*suffix`, longest `prefix*`, then `*`; a wildcard
stands for at least one character. Inside a virtual host the first matching route wins. The commonest shape,
a virtual host whose first route takes every path, is answered by one dictionary look-up; everything else is
remembered per (authority, path) in two bounded generations, so that a flood of distinct paths cannot grow
the table or evict it all at once.
"""

from __future__ import annotations

from meshproxy.config.route import RouteTable, VirtualHost
from meshproxy.errors import ConfigError
from meshproxy.routing.match import CompiledRoute, matches_every_path

MEMO_ENTRIES = 1024
"""Per generation; about 0.3 KB each."""
MEMO_KEY_LENGTH = 512
"""Characters of authority and path together; longer ones are matched every time, so that the memo stays
small.
"""

_Key = tuple[str, str]


def without_port(authority: str) -> str:
    """`host:8080` -> `host`, `[::1]:8080` -> `[::1]`; an authority without a port is returned as it is."""
    if authority.endswith("]"):
        return authority
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority


class CompiledVirtualHost:
    """One virtual host: its routes in order, and the first of them when it takes every path."""

    __slots__ = ("name", "routes", "sole")

    def __init__(self, host: VirtualHost) -> None:
        self.name = host.name
        self.routes = tuple(CompiledRoute(route) for route in host.routes)
        first = self.routes[0] if self.routes else None
        self.sole = first if first and matches_every_path(first.route.match) else None

    def match(self, path: str) -> CompiledRoute | None:
        """First route whose match holds for `path`."""
        for route in self.routes:
            if route.matches(path):
                return route
        return None


class CompiledRouteTable:
    """A RouteTable ready to be asked; built once per configuration, then only its memo changes."""

    def __init__(self, table: RouteTable) -> None:
        """Raises ConfigError for a domain given twice, an empty domain, and a route that cannot be
        compiled.
        """
        self.name = table.name
        self._ignore_port = table.ignore_port_in_host_matching
        self._exact: dict[str, CompiledVirtualHost] = {}
        self._suffixes: dict[str, CompiledVirtualHost] = {}
        self._prefixes: dict[str, CompiledVirtualHost] = {}
        self._any: CompiledVirtualHost | None = None
        for host in table.virtual_hosts:
            self._add(host)
        self._suffix_lengths = sorted({len(suffix) for suffix in self._suffixes}, reverse=True)
        self._prefix_lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._young: dict[_Key, CompiledRoute | None] = {}
        self._old: dict[_Key, CompiledRoute | None] = {}

    def match(self, authority: str, path: str) -> CompiledRoute | None:
        """Route for a lower-case Host value (with its port where given) and a path without query; None is
        404.
        """
        host = None if self._ignore_port else self._exact.get(authority)
        if host is not None and host.sole is not None and path[:1] == "/":
            return host.sole
        key = (authority, path)
        try:
            return self._young[key]
        except KeyError:
            return self._match_and_remember(key)

    def virtual_host(self, authority: str) -> CompiledVirtualHost | None:
        """The virtual host that serves `authority`, if any."""
        if self._ignore_port:
            authority = without_port(authority)
        return self._exact.get(authority) or self._by_wildcard(authority) or self._any

    def _by_wildcard(self, authority: str) -> CompiledVirtualHost | None:
        length = len(authority)
        for size in self._suffix_lengths:
            if size < length and (host := self._suffixes.get(authority[-size:])) is not None:
                return host
        for size in self._prefix_lengths:
            if size < length and (host := self._prefixes.get(authority[:size])) is not None:
                return host
        return None

    def _match_and_remember(self, key: _Key) -> CompiledRoute | None:
        authority, path = key
        if key in self._old:
            route = self._old[key]
        else:
            host = self.virtual_host(authority)
            route = host.match(path) if host is not None else None
        if len(authority) + len(path) <= MEMO_KEY_LENGTH:
            if len(self._young) >= MEMO_ENTRIES:
                self._old, self._young = self._young, {}
            self._young[key] = route
        return route

    def _add(self, host: VirtualHost) -> None:
        compiled = CompiledVirtualHost(host)
        for domain in host.domains:
            if domain == "*":
                if self._any is not None:
                    raise self._duplicate(host, domain)
                self._any = compiled
                continue
            table, literal = self._table_for(host, domain)
            if literal in table:
                raise self._duplicate(host, domain)
            table[literal] = compiled

    def _table_for(self, host: VirtualHost, domain: str) -> tuple[dict[str, CompiledVirtualHost], str]:
        """Where `domain` belongs and what of it is compared."""
        if not domain:
            raise ConfigError(
                f"route table {self.name!r}, virtual host {host.name!r}: empty domain; name a host or `*`"
            )
        if domain.startswith("*"):
            return self._suffixes, domain[1:]
        if domain.endswith("*"):
            return self._prefixes, domain[:-1]
        return self._exact, domain

    def _duplicate(self, host: VirtualHost, domain: str) -> ConfigError:
        return ConfigError(
            f"route table {self.name!r}, virtual host {host.name!r}: domain {domain!r} is already taken; "
            "a domain may stand in one virtual host only"
        )

    def remembered(self) -> int:
        """Entries the memo holds now."""
        return len(self._young) + len(self._old)
