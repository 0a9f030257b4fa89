"""Service VIPs and node ports as packet filter rules of a node (pure): -> iptables-restore text.

The work of kube-proxy: a connection to `ClusterIP:port` or to `node:nodePort`, from a pod, from the node
itself or from outside, is translated to one of the endpoints with equal probability, and stays there for its
life (conntrack); with session affinity so do the client's next ones, for a while. A VIP port that no rule
translates (undefined, or without endpoints) is delivered to the node, where the VIPs are local addresses, and
refused: reset for TCP, port unreachable for the rest.

Source addresses stay, with two exceptions: a pod that is answered by itself would drop the packet as its own;
and what came to a node port must come back through this node. Both are seen from the node's address.

The text replaces the nat and filter tables of one family as a whole, each in one transaction: stale chains
cannot stay and jumps cannot double.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lab.addressing import POD_NETWORK, POD_NETWORK_6, Address, Network

_TRANSLATED = "-m conntrack --ctstate DNAT"
_MARK = "0x4000"
"""Of packets to be seen from the node's address; kube-proxy's bit."""
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}
_PODS = {4: POD_NETWORK, 6: POD_NETWORK_6}
_UNREACHABLE = {4: "icmp-port-unreachable", 6: "icmp6-port-unreachable"}

Endpoints = tuple[tuple[Address, int], ...]
"""(address, target port) of each."""


class TransportProtocol(Enum):
    """`Service.spec.ports[].protocol`, in iptables' spelling."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service at one of its ClusterIPs."""

    name: str
    """For people reading the rules and to name chains: unique, e.g. `shop/catalog:http`."""
    address: Address
    port: int
    endpoints: Endpoints
    """Ready pods. Empty refuses connections."""
    protocol: TransportProtocol = TransportProtocol.TCP
    node_port: int = 0
    """0: none."""
    affinity_seconds: int = 0
    """How long a client's next connections go where its last one went; 0: they are drawn anew."""
    internal: Endpoints | None = None
    """`internalTrafficPolicy: Local`: what connections to the ClusterIP are limited to; they are dropped when
    it is empty."""
    external: Endpoints | None = None
    """`externalTrafficPolicy: Local`: the same for what comes to the node port from outside, which keeps its
    source address."""


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A VIP port that a process on the node serves itself: the cluster's DNS."""

    address: Address
    port: int
    protocol: TransportProtocol


def ruleset(
    services: Iterable[ServicePort],
    *,
    service_network: Network,
    node_address: Address,
    local_ports: Iterable[LocalPort] = (),
) -> str:
    """The whole nat and filter tables of the node, for `iptables-restore` (`ip6tables-restore` where the
    network is of IPv6); equal input gives equal text."""
    ordered = sorted(services, key=lambda each: each.name)
    served = [service for service in ordered if service.endpoints]
    nat = _nat(served, service_network, node_address)
    return "\n".join([*nat, *_filter(served, service_network, local_ports), ""])


def _nat(services: list[ServicePort], service_network: Network, node_address: Address) -> list[str]:
    balanced = [chain for service in services for chain in _balancers(service)]
    chains = sorted({line.split()[1] for line in balanced})
    endpoints = sorted({str(address) for service in services for address, _ in service.endpoints})
    return [
        "*nat",
        ":PREROUTING ACCEPT [0:0]",
        ":INPUT ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":POSTROUTING ACCEPT [0:0]",
        *(f":LAB-{name} - [0:0]" for name in ("SERVICES", "NODEPORTS", "MARK", "OWN")),
        *(f":{chain} - [0:0]" for chain in chains),
        *(
            line
            for hook in ("PREROUTING", "OUTPUT")
            for line in (
                f"-A {hook} -d {service_network} -j LAB-SERVICES",
                f"-A {hook} -m addrtype --dst-type LOCAL -j LAB-NODEPORTS",
            )
        ),
        f"-A POSTROUTING -m mark --mark {_MARK}/{_MARK} -j LAB-OWN",
        *(
            f"-A POSTROUTING -s {each} -d {each} {_TRANSLATED} -j SNAT --to-source {node_address}"
            for each in endpoints
        ),
        f"-A LAB-MARK -j MARK --or-mark {_MARK}",
        # Off again: a tunnel's own packet inherits the mark, and would be sent from the wrong address.
        f"-A LAB-OWN -j MARK --xor-mark {_MARK}",
        f"-A LAB-OWN -j SNAT --to-source {node_address}",
        # VIPs are local addresses too.
        *(
            f"-A LAB-NODEPORTS -d {each} -j RETURN"
            for each in (service_network, _LOOPBACK[service_network.version])
        ),
        *(rule for service in services for rule in _entrances(service)),
        *balanced,
        "COMMIT",
    ]


def _entrances(service: ServicePort) -> Iterable[str]:
    """From the destinations of a service to its chains."""
    inside = _chain("SVC" if service.internal is None else "INT", service)
    if service.internal is None or service.internal:
        match = f"-d {service.address} {_port_match(service.protocol, service.port)}"
        yield f"-A LAB-SERVICES {match} -j {inside}"
    if service.node_port:
        match = _port_match(service.protocol, service.node_port)
        yield f"-A LAB-NODEPORTS {match} -j {_chain('EXT', service)}"


def _balancers(service: ServicePort) -> list[str]:
    """Every rule of the chains of a service."""
    rules = list(_balance(_chain("SVC", service), service, service.endpoints))
    if service.internal:
        rules += _balance(_chain("INT", service), service, service.internal)
    if service.node_port:
        rules += _from_outside(service)
    return rules


def _from_outside(service: ServicePort) -> Iterable[str]:
    chain, everywhere = _chain("EXT", service), _chain("SVC", service)
    if service.external is None:
        yield f"-A {chain} -j LAB-MARK"
        yield f"-A {chain} -j {everywhere}"
        return
    # Who is inside the cluster may go anywhere, as with the ClusterIP.
    yield f"-A {chain} -s {_PODS[service.address.version]} -j {everywhere}"
    yield f"-A {chain} -m addrtype --src-type LOCAL -j LAB-MARK"
    yield f"-A {chain} -m addrtype --src-type LOCAL -j {everywhere}"
    if service.external:
        near = _chain("LOC", service)
        yield f"-A {chain} -j {near}"
        yield from _balance(near, service, service.external)


def _balance(chain: str, service: ServicePort, endpoints: Endpoints) -> Iterable[str]:
    """The first of n endpoints with probability 1/n, the next 1/(n-1) of what is left, the last always."""
    remaining = len(endpoints)
    ordered = sorted(endpoints, key=str)
    comment = f'-m comment --comment "{service.name}"'
    for endpoint in ordered if service.affinity_seconds else ():
        known = _endpoint_chain(chain, endpoint)
        recent = f"-m recent --name {known} --rcheck --seconds {service.affinity_seconds} --reap --rsource"
        yield f"-A {chain} {comment} {recent} -j {known}"
    for endpoint in ordered:
        chance = f"-m statistic --mode random --probability {1 / remaining:.10f} " if remaining > 1 else ""
        target = f"-p {service.protocol.value} -j DNAT --to-destination {_socket(endpoint)}"
        if service.affinity_seconds:
            chosen = _endpoint_chain(chain, endpoint)
            yield f"-A {chain} {comment} {chance}-j {chosen}"
            yield f"-A {chosen} -m recent --name {chosen} --set --rsource {target}"
        else:
            yield f"-A {chain} {comment} {chance}{target}"
        remaining -= 1


def _socket(endpoint: tuple[Address, int]) -> str:
    address, port = endpoint
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _filter(
    services: list[ServicePort], service_network: Network, local_ports: Iterable[LocalPort]
) -> list[str]:
    return [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":FORWARD ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":LAB-REFUSE - [0:0]",
        # Only new connections: answers to the node's own ones carry a VIP as destination when DNS asked.
        f"-A INPUT -d {service_network} -m conntrack --ctstate NEW -j LAB-REFUSE",
        *(rule for service in services for rule in _drops(service)),
        *(
            f"-A LAB-REFUSE -d {local.address} {_port_match(local.protocol, local.port)} -j RETURN"
            for local in local_ports
        ),
        "-A LAB-REFUSE -p tcp -j REJECT --reject-with tcp-reset",
        f"-A LAB-REFUSE -j REJECT --reject-with {_UNREACHABLE[service_network.version]}",
        "COMMIT",
    ]


def _drops(service: ServicePort) -> Iterable[str]:
    """Endpoints there are, but none that the policy allows on this node: silence, so that a balancer in front
    asks another node."""
    if service.internal == ():
        match = _port_match(service.protocol, service.port)
        yield f"-A LAB-REFUSE -d {service.address} {match} -j DROP"
    if service.external == () and service.node_port:
        yield f"-A INPUT {_port_match(service.protocol, service.node_port)} -j DROP"


def _port_match(protocol: TransportProtocol, port: int) -> str:
    return f"-p {protocol.value} -m {protocol.value} --dport {port}"


def _chain(kind: str, service: ServicePort) -> str:
    """A chain name of at most 28 characters, which depends on what the chain is for only."""
    return _named(kind, f"{service.name}/{service.address}/{service.protocol.value}/{service.port}")


def _endpoint_chain(chain: str, endpoint: tuple[Address, int]) -> str:
    return _named("SEP", f"{chain}/{_socket(endpoint)}")


def _named(kind: str, identity: str) -> str:
    return f"LAB-{kind}-{hashlib.sha256(identity.encode()).hexdigest()[:16].upper()}"
