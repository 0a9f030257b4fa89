"""Route table (pure): from authority and path to a route, as `envoy.config.route.v3.RouteConfiguration`
says. [5]

Order of virtual hosts is Envoy's: exact domain, longest `*suffix`, longest `prefix*`, then `*`; a wildcard
stands for at least one character. Inside a virtual host the first matching route wins. The commonest shape,
a virtual host whose first route takes every request, is answered by one dictionary look-up; of everything
else it is remembered per (authority, path) which routes come into question, in two bounded generations, so
that a flood of distinct paths cannot grow the table or evict it all at once. Where these look at headers or
query too, they are asked for every request.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from meshproxy.config.route import RouteTable, VirtualHost
from meshproxy.errors import ConfigError
from meshproxy.http.events import RequestHead
from meshproxy.routing.candidates import Candidates
from meshproxy.routing.head_edit import EditMemory
from meshproxy.routing.match import CompiledRoute, HostSettings, merged_filter_configs
from meshproxy.routing.virtual_host import EVERY_POSITION, CompiledVirtualHost
from meshproxy.steps import Steps, finished

MEMO_ENTRIES = 1024
"""Per generation; about 0.3 KB each."""
MEMO_KEY_LENGTH = 512
"""Characters of authority and path together; longer ones are matched every time, so that the memo stays
small.
"""

_Key = tuple[str, str]
_Found = CompiledRoute | Candidates | None


def without_port(authority: str) -> str:
    """`host:8080` -> `host`, `[::1]:8080` -> `[::1]`; an authority without a port is returned as it is."""
    if authority.endswith("]"):
        return authority
    host, colon, port = authority.rpartition(":")
    return host if colon and port.isdigit() else authority


class CompiledRouteTable:
    """A RouteTable ready to be asked; built once per configuration, then only its memo changes."""

    def __init__(self, table: RouteTable, *, at_once: bool = True) -> None:
        """Raises ConfigError for a domain given twice, an empty domain, and a route that cannot be
        compiled. Without `at_once` it is of no use until `in_steps` has built it.
        """
        if at_once:
            finished(self._build(table, None))

    @classmethod
    def in_steps(cls, table: RouteTable, before: Self | None = None) -> Steps[Self]:
        """The same, pausing after each virtual host. One that is in `before` too, the same object, keeps its
        compiled twin."""
        compiled = cls(table, at_once=False)
        yield from compiled._build(table, before)
        return compiled

    def _build(self, table: RouteTable, before: CompiledRouteTable | None) -> Steps[None]:
        self.name = table.name
        self._ignore_port = table.ignore_port_in_host_matching
        self._by_destination = table.by_destination
        self._frame = replace(table, name="", virtual_hosts=())
        """What is said of all virtual hosts: each is compiled with it."""
        kept = before if before is not None and before._frame == self._frame else None
        self._exact: dict[str, CompiledVirtualHost] = {}
        self._suffixes: dict[str, CompiledVirtualHost] = {}
        self._prefixes: dict[str, CompiledVirtualHost] = {}
        self._any: CompiledVirtualHost | None = None
        self._memory: EditMemory = kept._memory if kept is not None else EditMemory()
        self._compiled: dict[int, tuple[VirtualHost, CompiledVirtualHost]] = {}
        """By the identity of what each was compiled from."""
        for host in table.virtual_hosts:
            known = kept._compiled.get(id(host)) if kept is not None else None
            compiled = known[1] if known else CompiledVirtualHost(host, self._settings(table, host))
            self._compiled[id(host)] = (host, compiled)
            self._add(host, compiled)
            yield
        self._suffix_lengths = sorted({len(suffix) for suffix in self._suffixes}, reverse=True)
        self._prefix_lengths = sorted({len(prefix) for prefix in self._prefixes}, reverse=True)
        self._young: dict[_Key, _Found] = {}
        self._old: dict[_Key, _Found] = {}

    def match(self, head: RequestHead, destination: str = "") -> CompiledRoute | None:
        """The route for a request that was sent to `destination` (`address:port`); None is 404."""
        authority, path = head.authority, head.path
        host = None if self._ignore_port else self._exact.get(authority)
        if host is None and self._by_destination and self.virtual_host(authority) is self._any:
            host = self._exact.get(destination)
            authority = destination if host is not None else authority
        if host is not None and host.sole is not None and path[:1] == "/":
            return host.sole
        key = (authority, path)
        try:
            found = self._young[key]
        except KeyError:
            found = self._find_and_remember(key)
        return found.first(head, EVERY_POSITION) if isinstance(found, Candidates) else found

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

    def _find_and_remember(self, key: _Key) -> _Found:
        authority, path = key
        if key in self._old:
            found = self._old[key]
        else:
            host = self.virtual_host(authority)
            found = host.find(path) if host is not None else None
        if len(authority) + len(path) <= MEMO_KEY_LENGTH:
            if len(self._young) >= MEMO_ENTRIES:
                self._old, self._young = self._young, {}
            self._young[key] = found
        return found

    def _settings(self, table: RouteTable, host: VirtualHost) -> HostSettings:
        return HostSettings(
            (host.mutations, table.mutations),
            merged_filter_configs(table.filter_configs, host.filter_configs),
            is_outermost_first=table.most_specific_mutations_win,
            attempt_count_in_request=host.attempt_count_in_request,
            attempt_count_in_response=host.attempt_count_in_response,
            memory=self._memory,
        )

    def _add(self, host: VirtualHost, compiled: CompiledVirtualHost) -> None:
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
