"""The control plane's command line (pure): flags to one frozen value, every wrong one refused by name."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from certs.ca import DEFAULT_LEAF_TTL
from certs.spiffe_id import TrustDomain
from control_plane.apiserver.kubelet import KubeletFiles
from control_plane.debounce import DebounceSettings
from control_plane.translate.settings import MeshSettings, MtlsMode, OutboundTrafficPolicy

MIN_LEAF_TTL = 5.0
"""Seconds: below, a certificate would end before everybody had its successor."""

MAX_LEAF_TTL = 90 * 86_400.0
"""Seconds, 90 days: a leaf must end long before its CA, and a leaked one must end some day."""
_HIGHEST_PORT = 65_535
_LEAST_BITS, _MOST_BITS = 4, 20
"""Of the part of a Service network's addresses that tells Services apart; Kubernetes' limit is 20 too."""
IN_CLUSTER = "in-cluster"
_DNS_NAME = re.compile(r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """What `python -m control_plane` was told. A port of 0 lets the system choose."""

    data_dir: Path
    kubeconfig: str = ""
    """Of the API server whose objects are used, `in-cluster` for a pod's own; empty: serve REST here."""
    rest_fd: int | None = None
    """A listening socket opened by the parent, instead of `rest_address`."""
    rest_address: str = "127.0.0.1:15015"
    service_networks: tuple[IPv4Network | IPv6Network, ...] = (IPv4Network("10.96.0.0/16"),)
    """Of which Services get their addresses: one a family, the first is the default."""
    bind_address: str = "0.0.0.0"
    """Where 15012, 15011 and 15014 listen."""
    xds_port: int = 15012
    signing_port: int = 15011
    plaintext_xds_address: str = "127.0.0.1:15010"
    metrics_port: int = 15014
    mesh: MeshSettings = field(default_factory=lambda: MeshSettings(TrustDomain("cluster.local")))
    leaf_ttl: float = DEFAULT_LEAF_TTL
    """Seconds a certificate lives."""
    debounce: DebounceSettings = field(default_factory=DebounceSettings)
    extra_sans: tuple[str, ...] = ()
    injector_names: tuple[str, ...] = ()
    """Further DNS names of the injector's certificate."""
    log_level: str = "INFO"
    kubelet_files: KubeletFiles | None = None
    """None: neither logs nor exec are served."""


def parse_options(arguments: Sequence[str]) -> Options:
    """Raises SystemExit, with a message on stderr, for a wrong command line."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        return _options(given)
    except ValueError as error:
        parser.error(str(error))


def _options(given: argparse.Namespace) -> Options:
    if not MIN_LEAF_TTL <= given.leaf_ttl <= MAX_LEAF_TTL:
        raise ValueError(
            f"--leaf-ttl {given.leaf_ttl:g}: must be from {MIN_LEAF_TTL:g} to {MAX_LEAF_TTL:g} seconds"
        )
    if given.kubeconfig and given.rest_fd is not None:
        raise ValueError("--rest-fd: with --kubeconfig no REST is served; leave one of them out")
    for flag in ("xds_port", "signing_port", "metrics_port"):
        _check_port(getattr(given, flag), f"--{flag.replace('_', '-')}")
    _host_of(given.rest_address, "--rest-address")
    _check_loopback(given.plaintext_xds_address)
    return Options(
        data_dir=given.data_dir,
        kubeconfig=given.kubeconfig,
        rest_fd=given.rest_fd,
        rest_address=given.rest_address,
        service_networks=_networks_of(given.service_cluster_ip_range),
        bind_address=given.bind_address,
        xds_port=given.xds_port,
        signing_port=given.signing_port,
        plaintext_xds_address=given.plaintext_xds_address,
        metrics_port=given.metrics_port,
        mesh=MeshSettings(
            TrustDomain(given.trust_domain),
            MtlsMode(given.mtls_mode),
            OutboundTrafficPolicy(given.outbound_traffic_policy),
        ),
        leaf_ttl=given.leaf_ttl,
        debounce=DebounceSettings(given.debounce_after, given.debounce_max),
        extra_sans=tuple(map(_checked_san, given.extra_san)),
        injector_names=tuple(map(_checked_name, given.injector_name)),
        log_level=given.log_level.upper(),
        kubelet_files=_kubelet_files(given),
    )


def _networks_of(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """As kube-apiserver's flag of this name: `10.96.0.0/16` or `10.96.0.0/16,fd00:10:96::/112`."""
    flag = f"--service-cluster-ip-range {text}"
    try:
        networks = tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None
    if len({network.version for network in networks}) < len(networks):
        raise ValueError(f"{flag}: at most one network of IPv4 and one of IPv6")
    for network in networks:
        size = network.max_prefixlen - network.prefixlen
        if not _LEAST_BITS <= size <= _MOST_BITS:
            raise ValueError(
                f"{flag}: {network} must have from {_LEAST_BITS} to {_MOST_BITS} bits for Services"
            )
    return networks


def _kubelet_files(given: argparse.Namespace) -> KubeletFiles | None:
    files = (
        given.kubelet_certificate_authority,
        given.kubelet_client_certificate,
        given.kubelet_client_key,
    )
    if not any(files):
        return None
    if not all(files):
        raise ValueError(
            "--kubelet-certificate-authority, --kubelet-client-certificate and --kubelet-client-key: "
            "all three or none"
        )
    return KubeletFiles(*files)


def _host_of(address: str, flag: str) -> str:
    """The host of `host:port`; an IPv6 one stands in brackets."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and len(port) <= len(str(_HIGHEST_PORT))):
        raise ValueError(f"{flag} {address}: must be host:port, such as 127.0.0.1:15015")
    _check_port(int(port), f"{flag} {address}: port")
    return host.removeprefix("[").removesuffix("]")


def _check_port(port: int, place: str) -> None:
    if not 0 <= port <= _HIGHEST_PORT:
        raise ValueError(f"{place} {port}: must be from 0 to {_HIGHEST_PORT}")


def _checked_san(san: str) -> str:
    """An address, or a name as it stands in a certificate. Raises ValueError."""
    try:
        return str(ip_address(san))
    except ValueError:
        if not _DNS_NAME.fullmatch(san):
            raise ValueError(
                f"--extra-san {san!r}: must be a DNS name (IDNA form) or an IP address"
            ) from None
        return san


def _checked_name(name: str) -> str:
    if not _DNS_NAME.fullmatch(name):
        raise ValueError(f"--injector-name {name!r}: must be a DNS name (IDNA form)")
    return name


def _check_loopback(address: str) -> None:
    """15010 has neither encryption nor authentication."""
    host = _host_of(address, "--plaintext-xds-address")
    if not ip_address(host).is_loopback:
        raise ValueError(
            f"--plaintext-xds-address {address}: must be a loopback address, such as 127.0.0.1:15010"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m control_plane", description="The mesh's control plane.")
    add = parser.add_argument
    add("--data-dir", type=Path, required=True, help="state, keys, kubeconfig; created with mode 0700")
    add(
        "--kubeconfig", default="", help=f"use this API server, or a pod's own ({IN_CLUSTER}), and serve none"
    )
    add("--rest-fd", type=int, help="serve REST on this inherited listening socket")
    add("--rest-address", default="127.0.0.1:15015", help="serve REST here (default %(default)s)")
    add(
        "--service-cluster-ip-range",
        default="10.96.0.0/16",
        metavar="NETWORK[,NETWORK]",
        help="networks of ClusterIPs, one a family (default %(default)s)",
    )
    add("--bind-address", default="0.0.0.0", help="for xDS, signing and metrics (default %(default)s)")
    add("--xds-port", type=int, default=15012, help="xDS and renewal over mTLS (default %(default)s)")
    add("--signing-port", type=int, default=15011, help="first certificates, by token (default %(default)s)")
    add("--plaintext-xds-address", default="127.0.0.1:15010", help="loopback only (default %(default)s)")
    add("--metrics-port", type=int, default=15014, help="own metrics and /debug/syncz (default %(default)s)")
    add("--trust-domain", default="cluster.local", help="of all identities (default %(default)s)")
    add("--mtls-mode", default="STRICT", choices=[mode.value for mode in MtlsMode])
    policies = [policy.value for policy in OutboundTrafficPolicy]
    add("--outbound-traffic-policy", default="ALLOW_ANY", choices=policies)
    add("--leaf-ttl", type=float, default=DEFAULT_LEAF_TTL, help="seconds (default %(default)g)")
    add("--debounce-after", type=float, default=0.1, help="quiet seconds before a push (default %(default)g)")
    add("--debounce-max", type=float, default=10.0, help="longest wait in seconds (default %(default)g)")
    add("--extra-san", action="append", default=[], metavar="NAME_OR_IP", help="may be given several times")
    add(
        "--injector-name",
        action="append",
        default=[],
        metavar="NAME",
        help="the API server calls the injector by this name, not by its Service; may be given several times",
    )
    add("--kubelet-certificate-authority", type=Path, help="PEM; verifies kubelets, for logs and exec")
    add("--kubelet-client-certificate", type=Path, help="PEM; what kubelets know the API server by")
    add("--kubelet-client-key", type=Path, help="PEM; of that certificate")
    levels = ["debug", "info", "warning", "error"]
    add("--log-level", default="info", choices=levels, help="(default %(default)s)")
    return parser
