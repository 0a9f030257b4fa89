"""The interception ruleset as data, and its text for iptables-restore (pure).

Chains, their order and the reasons for the order are Istio's (`ISTIO_INBOUND`, …), with our prefix:

    nat PREROUTING ─▶ MESHPROXY_INBOUND ─▶ MESHPROXY_IN_REDIRECT   to the inbound listener
    nat OUTPUT     ─▶ MESHPROXY_OUTPUT  ─▶ MESHPROXY_REDIRECT      to the outbound listener
                                        └▶ MESHPROXY_IN_REDIRECT   a pod that calls itself through a VIP
    nat OUTPUT     ─▶ MESHPROXY_DNS                                queries to the pod's DNS servers
    raw OUTPUT, PREROUTING ─▶ MESHPROXY_DNS_OUT, MESHPROXY_DNS_IN  the resolver's own queries
    mangle PREROUTING ─▶ MESHPROXY_INVALID                         drops what conntrack cannot place

Only TCP is redirected, and DNS over UDP. The resolver's own queries are tracked in a zone of their own: in
one with the app's, a query from a port that an app has just used would be taken for the app's, and come back
to the resolver. `restore_text` turns the rules that are there into those that should be, as one transaction:
chains are flushed and refilled, jumps are added and removed one by one because restoring with `--noflush`
would double them. Rules of others are never named.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from meshproxy.interception.settings import DNS_PORT, OWN_INBOUND_PORTS, InterceptionSettings, Network

PREFIX = "MESHPROXY_"
INBOUND = "MESHPROXY_INBOUND"
IN_REDIRECT = "MESHPROXY_IN_REDIRECT"
OUTPUT = "MESHPROXY_OUTPUT"
REDIRECT = "MESHPROXY_REDIRECT"
INVALID = "MESHPROXY_INVALID"
DNS = "MESHPROXY_DNS"
DNS_OUT = "MESHPROXY_DNS_OUT"
DNS_IN = "MESHPROXY_DNS_IN"
_DNS_ZONE = 1
"""Conntrack zone of the resolver's queries; everything else is in zone 0."""

TABLES = ("nat", "mangle", "raw")
"""The tables that hold rules of ours."""


class Family(Enum):
    """An address family, with the addresses that have a meaning here."""

    V4 = (4, "127.0.0.1/32", "127.0.0.6/32")
    V6 = (6, "::1/128", "::6/128")

    def __init__(self, version: int, loopback: str, inbound_source: str) -> None:
        self.version = version
        self.loopback = loopback
        self.inbound_source = inbound_source
        """Where the sidecar dials the app from: tells an inbound dial from a call of the pod to itself."""

    def has(self, network: Network) -> bool:
        """Whether a range is of this family."""
        return isinstance(network, IPv4Network if self is Family.V4 else IPv6Network)


@dataclass(frozen=True, slots=True)
class TableRules:
    """Our part of one table. Rules are in the words of `iptables-save`, without `-A CHAIN`."""

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Chain -> its rules, in order."""
    jumps: tuple[tuple[str, str], ...] = ()
    """(built-in chain, rule) pairs that lead into our chains."""


Ruleset = Mapping[str, TableRules]
"""By table; a table that is missing holds nothing of ours."""

EMPTY: Ruleset = MappingProxyType({})


def ruleset(settings: InterceptionSettings, family: Family) -> Ruleset:
    """The rules of one family."""
    chains = {
        INBOUND: tuple(_inbound(settings)),
        IN_REDIRECT: (_redirect(settings.inbound_port),),
        OUTPUT: tuple(_outbound(settings, family)),
        REDIRECT: (_redirect(settings.outbound_port),),
    }
    jumps = [("PREROUTING", f"-p tcp -j {INBOUND}"), ("OUTPUT", f"-p tcp -j {OUTPUT}")]
    rules: dict[str, TableRules] = {}
    if dns := tuple(_dns(settings, family)):
        rules["raw"] = _dns_zone(settings)
        chains[DNS] = dns
        jumps.append(("OUTPUT", f"-p udp -m udp --dport {DNS_PORT} -j {DNS}"))
    rules["nat"] = TableRules(chains, tuple(jumps))
    if settings.drop_invalid:
        invalid = f"-p tcp -m conntrack --ctstate INVALID -j {INVALID}"
        rules["mangle"] = TableRules({INVALID: ("-j DROP",)}, (("PREROUTING", invalid),))
    return rules


def _dns(settings: InterceptionSettings, family: Family) -> Iterable[str]:
    """Of UDP; none where no server is of the family."""
    captured = [
        f"{match} -j REDIRECT --to-ports {settings.dns_port}" for match in _queries(settings, family, "udp")
    ]
    if captured:
        yield f"-m owner --uid-owner {settings.proxy_uid} -j RETURN"
        yield f"-m owner --gid-owner {settings.proxy_gid} -j RETURN"
    yield from captured


def _queries(settings: InterceptionSettings, family: Family, protocol: str) -> Iterable[str]:
    if not settings.captures_dns:
        return
    for server in settings.dns_servers:
        if server.version == family.version:
            whole = f"{server}/{server.max_prefixlen}"
            yield f"-d {whole} -p {protocol} -m {protocol} --dport {DNS_PORT}"


def _dns_zone(settings: InterceptionSettings) -> TableRules:
    zone = f"-j CT --zone {_DNS_ZONE}"
    owners = (f"--uid-owner {settings.proxy_uid}", f"--gid-owner {settings.proxy_gid}")
    out = tuple(f"-m owner {owner} {zone}" for owner in owners)
    return TableRules(
        chains={DNS_OUT: out, DNS_IN: (zone,)},
        jumps=(
            ("OUTPUT", f"-p udp -m udp --dport {DNS_PORT} -j {DNS_OUT}"),
            ("PREROUTING", f"-p udp -m udp --sport {DNS_PORT} -j {DNS_IN}"),
        ),
    )


def _redirect(port: int) -> str:
    return f"-p tcp -j REDIRECT --to-ports {port}"


def _to_port(port: int, target: str) -> str:
    return f"-p tcp -m tcp --dport {port} -j {target}"


def _inbound(settings: InterceptionSettings) -> Iterable[str]:
    for port in sorted({*OWN_INBOUND_PORTS, *settings.exclude_inbound_ports}):
        yield _to_port(port, "RETURN")
    if settings.include_inbound_ports is None:
        yield f"-p tcp -j {IN_REDIRECT}"
    else:
        yield from (_to_port(port, IN_REDIRECT) for port in settings.include_inbound_ports)


def _outbound(settings: InterceptionSettings, family: Family) -> Iterable[str]:
    # Excluded ports first: they stay direct for calls of the pod to itself too.
    yield from (_to_port(port, "RETURN") for port in settings.exclude_outbound_ports)
    # The sidecar hands an inbound request to the app.
    yield f"-s {family.inbound_source} -o lo -j RETURN"
    yield from _loopback_and_own(f"--uid-owner {settings.proxy_uid}", family)
    yield from _loopback_and_own(f"--gid-owner {settings.proxy_gid}", family)
    for match in _queries(settings, family, "tcp"):
        yield f"{match} -j REDIRECT --to-ports {settings.dns_port}"
    yield f"-d {family.loopback} -j RETURN"
    yield from (f"-d {each} -j RETURN" for each in settings.exclude_outbound_ranges if family.has(each))
    yield from (_to_port(port, REDIRECT) for port in settings.include_outbound_ports)
    if settings.include_outbound_ranges is None:
        yield f"-j {REDIRECT}"
    else:
        yield from (
            f"-d {each} -j {REDIRECT}" for each in settings.include_outbound_ranges if family.has(each)
        )


def _loopback_and_own(owner: str, family: Family) -> Iterable[str]:
    """Three rules whose order matters."""
    # The app called its own Service, and the sidecar picked this very pod: it must come in as any other
    # call does.
    yield f"! -d {family.loopback} -o lo -m owner {owner} -j {IN_REDIRECT}"
    # The app talks to itself: localhost, or its own address.
    yield f"-o lo -m owner ! {owner} -j RETURN"
    # The sidecar's own dials.
    yield f"-m owner {owner} -j RETURN"


def parse_save(text: str) -> Ruleset:
    """Our part of what `iptables-save` printed; everything else is left out."""
    chains: dict[str, dict[str, list[str]]] = {}
    jumps: dict[str, list[tuple[str, str]]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(f":{PREFIX}"):
            chains.setdefault(table, {})[line[1:].split()[0]] = []
        elif match := re.match(r"(?:\[\d+:\d+\] )?-A (\S+) (.*)", line):
            chain, rule = match.groups()
            if chain.startswith(PREFIX):
                chains[table][chain].append(rule)
            elif _target(rule).startswith(PREFIX):
                jumps.setdefault(table, []).append((chain, rule))
    return {
        table: TableRules(
            {chain: tuple(rules) for chain, rules in chains.get(table, {}).items()},
            tuple(jumps.get(table, ())),
        )
        for table in sorted(chains.keys() | jumps.keys())
    }


def _target(rule: str) -> str:
    unquoted = re.sub(r'"[^"]*"', "", rule)  # a comment may say anything
    match = re.search(r"(?:^| )-[jg] (\S+)", unquoted)
    return match.group(1) if match else ""


def normalise(save: str) -> list[str]:
    """What a saved ruleset does, for comparison: without comments, counters, and tables that do nothing.

    Both backends leave an empty nat table behind where there was none.
    """
    tables: dict[str, list[str]] = {}
    table = ""
    for line in save.splitlines():
        line = re.sub(r"\[\d+:\d+\]", "", line).strip()
        if line.startswith("*"):
            table = line
        elif line and not line.startswith("#") and line != "COMMIT":
            tables.setdefault(table, []).append(line)
    return [
        line
        for table, lines in sorted(tables.items())
        for line in (table, *lines)
        if not all(re.fullmatch(r":\S+ ACCEPT", each) for each in lines)
    ]


def restore_text(current: Ruleset, target: Ruleset) -> str:
    """Input for `iptables-restore --noflush` that turns `current` into `target`; empty for nothing to do.

    Each table is one transaction: there is no moment without rules.
    """
    nothing = TableRules()
    lines: list[str] = []
    for table in TABLES:
        lines += _table_text(table, current.get(table, nothing), target.get(table, nothing))
    return "\n".join([*lines, ""]) if lines else ""


def _table_text(table: str, current: TableRules, target: TableRules) -> list[str]:
    if not (current.chains or current.jumps or target.chains or target.jumps):
        return []
    had, wanted = Counter(current.jumps), Counter(target.jumps)
    return [
        f"*{table}",
        # Creates a chain, or empties it.
        *(f":{chain} - [0:0]" for chain in sorted(current.chains.keys() | target.chains.keys())),
        *(f"-D {chain} {rule}" for chain, rule in (had - wanted).elements()),
        *(f"-A {chain} {rule}" for chain, rules in target.chains.items() for rule in rules),
        *(f"-A {chain} {rule}" for chain, rule in (wanted - had).elements()),
        *(f"-X {chain}" for chain in sorted(current.chains.keys() - target.chains.keys())),
        "COMMIT",
    ]
