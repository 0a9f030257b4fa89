"""Which filter chain a connection gets (pure). [1]

Criteria as in Envoy's `FilterChainMatch`: destination port, prefix, SNI, transport protocol, ALPN; the most
specific chain that matches wins, in that order of importance.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from meshproxy.config.model import FilterChain, FilterChainMatch, Listener

_HOST_SUFFIXES: Final = ("/32", "/128")
_NO_PREFIX: Final = -1
_MISSED: Final = -2
"""In place of a prefix's length: there is none to match, or none matches."""
_MAX_INDEXES: Final = 1024
"""Chains whose prefixes are remembered as an index; more than a configuration has, as a rule."""


@dataclass(frozen=True, slots=True)
class ConnectionFacts:
    """What is known of a connection. Unknown protocol facts are empty strings or tuples."""

    destination_address: str
    destination_port: int
    transport_protocol: str = ""
    """`"tls"` or `"raw_buffer"` once detected."""
    application_protocols: tuple[str, ...] = ()
    server_name: str = ""


def candidates(listener: Listener, address: str, port: int) -> tuple[FilterChain, ...]:
    """Chains that can still match when only the destination is known.

    As in Envoy, who names the port, and then the longest prefix, decides alone: that none of its chains takes
    the client's protocol is no reason to ask those that name less.
    """
    chains = [c for c in listener.filter_chains if c.match.destination_port == port]
    if not chains:
        chains = [c for c in listener.filter_chains if c.match.destination_port is None]
    lengths = [
        _prefix_length(c.match, address) if c.match.destination_prefixes else _NO_PREFIX for c in chains
    ]
    longest = max(lengths, default=_MISSED)
    return tuple(c for c, length in zip(chains, lengths, strict=True) if length == longest >= _NO_PREFIX)


def needs_detection(chains: Iterable[FilterChain]) -> bool:
    """True when the choice depends on bytes of the client."""
    return any(
        c.match.transport_protocol or c.match.application_protocols or c.match.server_names for c in chains
    )


def select(chains: Iterable[FilterChain], facts: ConnectionFacts) -> FilterChain | None:
    """The most specific chain that matches all facts; None when there is none."""
    best: FilterChain | None = None
    best_rank: tuple[int, int, int, int, int] | None = None
    for chain in chains:
        if not _matches(chain.match, facts):
            continue
        rank = _rank(chain.match, facts)
        if best_rank is None or rank > best_rank:
            best, best_rank = chain, rank
    return best


def _destination_matches(match: FilterChainMatch, address: str, port: int) -> bool:
    if match.destination_port is not None and match.destination_port != port:
        return False
    return not match.destination_prefixes or _prefix_length(match, address) > _MISSED


def _prefix_length(match: FilterChainMatch, address: str) -> int:
    """Length of the longest prefix that holds the address; `_MISSED` when none does."""
    index = _index_of(match.destination_prefixes)
    if address in index.hosts:
        return 128 if ":" in address else 32
    if not index.networks:
        return _MISSED
    target = ip_address(address)
    lengths = [
        network.prefixlen
        for network in index.networks
        if network.version == target.version and target in network
    ]
    return max(lengths, default=_MISSED)


@dataclass(frozen=True, slots=True)
class _PrefixIndex:
    """Prefixes of one chain: a chain may name every pod of a mesh, so single addresses are looked up."""

    prefixes: tuple[str, ...]
    """What it was made from: kept, so that nothing else can have its identity."""
    hosts: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]


_indexes: dict[int, _PrefixIndex] = {}
"""By identity of the prefixes: to hash a thousand of them would take longer than the rest of the choice."""


def forget_prefixes() -> None:
    """Those of a configuration that is replaced: there may be one for each pod that came or went."""
    _indexes.clear()


def _index_of(prefixes: tuple[str, ...]) -> _PrefixIndex:
    known = _indexes.get(id(prefixes))
    if known is None:
        if len(_indexes) >= _MAX_INDEXES:
            _indexes.clear()
        hosts = frozenset(one.partition("/")[0] for one in prefixes if one.endswith(_HOST_SUFFIXES))
        rest = tuple(ip_network(one) for one in prefixes if not one.endswith(_HOST_SUFFIXES))
        known = _indexes[id(prefixes)] = _PrefixIndex(prefixes, hosts, rest)
    return known


def _server_name_rank(match: FilterChainMatch, name: str) -> int:
    """Exact names beat suffixes, longer suffixes beat shorter; -1 when none matches."""
    best = -1
    for pattern in match.server_names:
        if pattern == name:
            best = max(best, 1000)
        elif pattern.startswith("*.") and name.endswith(pattern[1:]):
            best = max(best, len(pattern))
    return best


def _matches(match: FilterChainMatch, facts: ConnectionFacts) -> bool:
    return (
        _destination_matches(match, facts.destination_address, facts.destination_port)
        and (not match.server_names or _server_name_rank(match, facts.server_name) >= 0)
        and (not match.transport_protocol or match.transport_protocol == facts.transport_protocol)
        and (
            not match.application_protocols
            or any(p in match.application_protocols for p in facts.application_protocols)
        )
    )


def _rank(match: FilterChainMatch, facts: ConnectionFacts) -> tuple[int, int, int, int, int]:
    return (
        int(match.destination_port is not None),
        _prefix_length(match, facts.destination_address) if match.destination_prefixes else _NO_PREFIX,
        _server_name_rank(match, facts.server_name),
        int(bool(match.transport_protocol)),
        int(bool(match.application_protocols)),
    )
