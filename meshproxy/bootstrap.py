"""Flags and environment to validated settings (pure but for reading the labels file): who this sidecar is."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from certs.errors import SpiffeIdError
from certs.spiffe_id import SpiffeId, TrustDomain
from meshproxy.config.model import WorkloadIdentity
from meshproxy.errors import ConfigError
from meshproxy.http.codec import CODECS
from meshproxy.local_app import metrics, probe
from meshproxy.local_app.metrics import MetricsPlace, parse_metrics
from meshproxy.local_app.probe import AppProbe, parse_probes

APP_LABELS = ("app.kubernetes.io/name", "app")
VERSION_LABELS = ("app.kubernetes.io/version", "version")
MAX_CONCURRENCY = 64
"""Each worker holds its own connections to every upstream."""
MAX_CONNECTIONS = 1_000_000
"""As many files as Linux lets a process have open unless told otherwise (fs.nr_open)."""
LOG_LEVELS = ("debug", "info", "warning", "error")
SIDECAR = "sidecar"
GATEWAY = "gateway"
_DOWNSTREAM_CODECS = {SIDECAR: "scan", GATEWAY: "strict"}
"""By role. Who calls a sidecar is an app or of the mesh; a gateway faces strangers."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Everything the sidecar must know before it can ask the control plane."""

    pod_name: str
    pod_namespace: str
    pod_ip: str
    service_account: str
    workload_name: str
    labels: Mapping[str, str]
    trust_domain: str
    discovery_address: str
    """host:port of the control plane's xDS port (mTLS)."""
    signing_address: str
    """host:port of the control plane's certificate-signing port."""
    token_file: Path
    root_bundle: Path
    admin_port: int
    """Loopback only. 0: chosen by the kernel and announced."""
    status_port: int
    """For the kubelet and Prometheus: the app's probes, asked through the sidecar, and metrics."""
    readiness_port: int
    prometheus_port: int
    announce_file: Path | None
    """Where the ports in use are written as JSON once they are open."""
    drain_timeout: float
    """Seconds from SIGTERM to the end, at most."""
    log_level: str
    concurrency: int
    """Event loops that carry traffic. 1: the main process's own; more: as many worker processes."""
    role: str
    """`sidecar`: beside an app, whose traffic is redirected to it. `gateway`: at the edge, on its own."""
    downstream_codec: str
    """Which of `http.codec.CODECS` reads what clients send."""
    app_probes: Mapping[str, AppProbe]
    """By the path under which the kubelet asks for them."""
    dns_port: int | None
    """Where the app's DNS queries are answered, on loopback; None: they are not captured."""
    resolv_conf: Path
    """Names the servers that are asked what the mesh does not know."""
    app_metrics: MetricsPlace | None
    """Where the app shows its own; None: nowhere."""
    max_connections: int | None
    """Open at once, of each listener and worker; None: `transport.connection_limit`'s default."""

    @property
    def spiffe_id(self) -> SpiffeId:
        return SpiffeId.for_workload(TrustDomain(self.trust_domain), self.pod_namespace, self.service_account)

    @property
    def workload(self) -> WorkloadIdentity:
        """What metrics and peers are told about us."""
        return WorkloadIdentity(
            workload=self.workload_name,
            namespace=self.pod_namespace,
            app=_first(self.labels, APP_LABELS) or self.workload_name,
            version=_first(self.labels, VERSION_LABELS) or "unknown",
            service_account=self.service_account,
            cluster="Kubernetes",
        )


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Bootstrap:
    """Settings from flags, else environment, else defaults.

    Raises ConfigError for what is missing or malformed; unknown flags end in argparse's own message (exit 2).
    """
    options = _parser(environment).parse_args(arguments)
    for flag, variable in _REQUIRED.items():
        if not getattr(options, flag):
            raise ConfigError(f"--{flag.replace('_', '-')} is missing: give it, or set {variable}")
    try:
        ipaddress.ip_address(options.pod_ip)
    except ValueError as error:
        raise ConfigError(f"--pod-ip {options.pod_ip!r} is not an IP address: give the pod's own") from error
    _check_choice("role", "MESHPROXY_ROLE", options.role, (SIDECAR, GATEWAY))
    if options.downstream_codec is not None:
        _check_choice("downstream-codec", "MESHPROXY_DOWNSTREAM_CODEC", options.downstream_codec, CODECS)
    _check_choice("dns-capture", "MESHPROXY_DNS_CAPTURE", options.dns_capture, ("true", "false"))
    for flag in ("discovery_address", "signing_address"):
        _check_address(flag, getattr(options, flag))
    bootstrap = Bootstrap(
        pod_name=options.pod_name,
        pod_namespace=options.pod_namespace,
        pod_ip=options.pod_ip,
        service_account=options.service_account,
        workload_name=options.workload_name or options.pod_name,
        labels=read_labels(Path(options.labels_file)),
        trust_domain=options.trust_domain,
        discovery_address=options.discovery_address,
        signing_address=options.signing_address,
        token_file=Path(options.token_file),
        root_bundle=Path(options.root_bundle),
        admin_port=options.admin_port,
        status_port=options.status_port,
        readiness_port=options.readiness_port,
        prometheus_port=options.prometheus_port,
        announce_file=Path(options.announce_file) if options.announce_file else None,
        drain_timeout=options.drain_timeout,
        log_level=options.log_level,
        concurrency=options.concurrency,
        role=options.role,
        downstream_codec=options.downstream_codec or _DOWNSTREAM_CODECS[options.role],
        app_probes=parse_probes(environment.get(probe.VARIABLE, "")),
        app_metrics=parse_metrics(environment.get(metrics.VARIABLE, "")),
        max_connections=options.max_connections,
        dns_port=options.dns_port if options.dns_capture == "true" else None,
        resolv_conf=Path(options.resolv_conf),
    )
    try:
        _ = bootstrap.spiffe_id
    except SpiffeIdError as error:
        raise ConfigError(f"these names make no SPIFFE id: {error}") from error
    return bootstrap


def read_labels(path: Path) -> dict[str, str]:
    """A downward-API labels file: `key="value"` per line, value escaped as Go's %q. Absent: no labels.

    Raises ConfigError for a line that is not one.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    labels: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, quoted = line.partition("=")
        if not line.strip():
            continue
        if not equals or len(quoted) < 2 or quoted[0] != '"' or quoted[-1] != '"':
            raise ConfigError(f'{path}, line {number}: {line!r} is not `key="value"`')
        labels[key] = quoted[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return labels


_REQUIRED = {
    "pod_name": "POD_NAME",
    "pod_namespace": "POD_NAMESPACE",
    "pod_ip": "POD_IP",
    "service_account": "SERVICE_ACCOUNT",
}

_CONTROL_PLANE = "control-plane.meshproxy-system.svc"
_SECRETS = "/var/run/secrets/meshproxy.io"


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="meshproxy", description="Proxy of the mesh: sidecar or gateway.")

    def add(flag: str, variable: str, default: str, text: str) -> None:
        value = environment.get(variable, default)
        parser.add_argument(f"--{flag}", default=value, help=f"{text} [${variable}, default {default!r}]")

    add("pod-name", "POD_NAME", "", "name of this pod")
    add("pod-namespace", "POD_NAMESPACE", "", "namespace of this pod")
    add("pod-ip", "POD_IP", "", "address of this pod")
    add("service-account", "SERVICE_ACCOUNT", "", "service account of this pod")
    add("workload-name", "MESHPROXY_WORKLOAD_NAME", "", "what runs here, for metrics; else the pod's name")
    add("labels-file", "MESHPROXY_LABELS_FILE", "/etc/podinfo/labels", "downward-API file with the labels")
    add("trust-domain", "MESHPROXY_TRUST_DOMAIN", "cluster.local", "SPIFFE trust domain")
    add("discovery-address", "MESHPROXY_DISCOVERY_ADDRESS", f"{_CONTROL_PLANE}:15012", "xDS server")
    add("signing-address", "MESHPROXY_SIGNING_ADDRESS", f"{_CONTROL_PLANE}:15011", "certificate signing")
    add("token-file", "MESHPROXY_TOKEN_FILE", f"{_SECRETS}/token", "workload token")
    add("root-bundle", "MESHPROXY_ROOT_BUNDLE", f"{_SECRETS}/root-cert.pem", "trusted roots (PEM)")
    add("dns-capture", "MESHPROXY_DNS_CAPTURE", "false", "answer the app's DNS queries: true or false")
    add("resolv-conf", "MESHPROXY_RESOLV_CONF", "/etc/resolv.conf", "names the DNS servers of the pod")
    add("announce-file", "MESHPROXY_ANNOUNCE_FILE", "", "write the ports in use here, as JSON")
    parser.add_argument(
        "--role",
        choices=(SIDECAR, GATEWAY),
        default=environment.get("MESHPROXY_ROLE", SIDECAR),
        help="a gateway binds the ports of its Gateway's listeners itself [$MESHPROXY_ROLE]",
    )
    parser.add_argument(
        "--downstream-codec",
        choices=CODECS,
        default=environment.get("MESHPROXY_DOWNSTREAM_CODEC"),
        help="strict reads all that clients send twice, and believes it only where both readings agree;"
        " default: strict at a gateway, scan at a sidecar [$MESHPROXY_DOWNSTREAM_CODEC]",
    )
    parser.add_argument("--admin-port", type=_port, default=15000, help="admin, loopback only")
    parser.add_argument("--status-port", type=_port, default=15020, help="the app's probes and metrics")
    parser.add_argument("--readiness-port", type=_port, default=15021, help="GET /healthz/ready")
    parser.add_argument("--prometheus-port", type=_port, default=15090, help="GET /stats/prometheus")
    parser.add_argument(
        "--dns-port",
        type=_port,
        default=environment.get("MESHPROXY_DNS_PORT", "15053"),
        help="of the resolver, loopback only [$MESHPROXY_DNS_PORT]",
    )
    parser.add_argument("--drain-timeout", type=_seconds, default=5.0, help="seconds after SIGTERM")
    parser.add_argument(
        "--concurrency",
        type=_workers,
        default=environment.get("MESHPROXY_CONCURRENCY", "1"),
        help="cores that carry traffic; above 1 each has a process of its own [$MESHPROXY_CONCURRENCY]",
    )
    parser.add_argument(
        "--max-connections",
        type=_connections,
        default=environment.get("MESHPROXY_MAX_CONNECTIONS"),
        help="open at once, of each listener and worker; more are reset. Default 10000, and never more than a"
        " quarter of the files that may be open [$MESHPROXY_MAX_CONNECTIONS]",
    )
    level = environment.get("MESHPROXY_LOG_LEVEL", "info")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default=level, help="[$MESHPROXY_LOG_LEVEL]")
    return parser


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: give 0 to 65535")
    return value


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONCURRENCY:
        raise argparse.ArgumentTypeError(f"{text} is no number of workers: give 1 to {MAX_CONCURRENCY}")
    return int(text)


def _connections(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"{text} is no number of connections: give 1 to {MAX_CONNECTIONS}")
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a drain time: give 0 to 3600 seconds")
    return value


def _check_choice(flag: str, variable: str, value: str, choices: Sequence[str]) -> None:
    """argparse looks at flags only, not at what stands in for them."""
    if value not in choices:
        raise ConfigError(f"--{flag} {value!r} (or {variable}) is not one of {', '.join(choices)}")


def _check_address(flag: str, address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) <= 65535):
        raise ConfigError(f"--{flag.replace('_', '-')} {address!r} is not host:port")


def _first(labels: Mapping[str, str], names: Sequence[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")
