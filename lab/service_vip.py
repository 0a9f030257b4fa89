"""Service VIPs as packet filter rules for the node's namespace (pure): services + endpoints ->
iptables-restore text.

The work of kube-proxy: a connection to `ClusterIP:port`, from a pod or from the node itself, is translated
to one of the endpoints with equal probability, and stays there for its life (conntrack). A VIP port that no
rule translates (undefined, or without endpoints) is delivered to the node, where the VIPs are local
addresses, and refused: reset for TCP, port unreachable for the rest. A pod that is answered by itself needs
its source address rewritten, else it would drop the packet as its own.

The text replaces the nat and filter tables of the namespace as a whole, each in one transaction: stale
chains cannot stay and jumps cannot double. IPv4 only, as the pod network is.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

_TRANSLATED = "-m conntrack --ctstate DNAT"


class TransportProtocol(Enum):
    """`Service.spec.ports[].protocol`, in iptables' spelling."""

    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of one Service that has a ClusterIP."""

    name: str
    """For people reading the rules and to name chains: unique, e.g. `shop/catalog:http`."""
    address: IPv4Address
    port: int
    endpoints: tuple[tuple[IPv4Address, int], ...]
    """Ready pods: (address, target port). Empty refuses connections."""
    protocol: TransportProtocol = TransportProtocol.TCP


@dataclass(frozen=True, slots=True)
class LocalPort:
    """A VIP port that a process on the node serves itself: the cluster's DNS."""

    address: IPv4Address
    port: int
    protocol: TransportProtocol


def ruleset(
    services: Iterable[ServicePort],
    *,
    service_network: IPv4Network,
    node_address: IPv4Address,
    local_ports: Iterable[LocalPort] = (),
) -> str:
    """The whole nat and filter tables of the node, for `iptables-restore`; equal input gives equal text."""
    served = sorted((each for each in services if each.endpoints), key=lambda each: each.name)
    nat = _nat(served, service_network, node_address)
    return "\n".join([*nat, *_filter(service_network, local_ports), ""])


def _nat(services: list[ServicePort], service_network: IPv4Network, node_address: IPv4Address) -> list[str]:
    chains = [_chain(service) for service in services]
    endpoints = sorted({address for service in services for address, _ in service.endpoints})
    return [
        "*nat",
        ":PREROUTING ACCEPT [0:0]",
        ":INPUT ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":POSTROUTING ACCEPT [0:0]",
        ":LAB-SERVICES - [0:0]",
        *(f":{chain} - [0:0]" for chain in chains),
        f"-A PREROUTING -d {service_network} -j LAB-SERVICES",
        f"-A OUTPUT -d {service_network} -j LAB-SERVICES",
        *(
            f"-A POSTROUTING -s {each} -d {each} {_TRANSLATED} -j SNAT --to-source {node_address}"
            for each in endpoints
        ),
        *(
            f"-A LAB-SERVICES -d {service.address} {_port_match(service.protocol, service.port)} -j {chain}"
            for service, chain in zip(services, chains, strict=True)
        ),
        *(rule for service, chain in zip(services, chains, strict=True) for rule in _balance(service, chain)),
        "COMMIT",
    ]


def _balance(service: ServicePort, chain: str) -> Iterable[str]:
    """The first of n endpoints with probability 1/n, the next 1/(n-1) of what is left, the last always."""
    remaining = len(service.endpoints)
    for address, port in sorted(service.endpoints):
        chance = f"-m statistic --mode random --probability {1 / remaining:.10f} " if remaining > 1 else ""
        target = f"-p {service.protocol.value} -j DNAT --to-destination {address}:{port}"
        yield f'-A {chain} -m comment --comment "{service.name}" {chance}{target}'
        remaining -= 1


def _filter(service_network: IPv4Network, local_ports: Iterable[LocalPort]) -> list[str]:
    return [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":FORWARD ACCEPT [0:0]",
        ":OUTPUT ACCEPT [0:0]",
        ":LAB-REFUSE - [0:0]",
        # Only new connections: answers to the node's own ones carry a VIP as destination when DNS asked.
        f"-A INPUT -d {service_network} -m conntrack --ctstate NEW -j LAB-REFUSE",
        *(
            f"-A LAB-REFUSE -d {local.address} {_port_match(local.protocol, local.port)} -j RETURN"
            for local in local_ports
        ),
        "-A LAB-REFUSE -p tcp -j REJECT --reject-with tcp-reset",
        "-A LAB-REFUSE -j REJECT --reject-with icmp-port-unreachable",
        "COMMIT",
    ]


def _port_match(protocol: TransportProtocol, port: int) -> str:
    return f"-p {protocol.value} -m {protocol.value} --dport {port}"


def _chain(service: ServicePort) -> str:
    """A chain name of at most 28 characters, which depends on what the chain is for only."""
    identity = f"{service.name}/{service.address}/{service.protocol.value}/{service.port}"
    return f"LAB-SVC-{hashlib.sha256(identity.encode()).hexdigest()[:16].upper()}"
