"""`meshctl envoy-bootstrap`: what stock Envoy needs to join the mesh as the sidecar of a pod."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from certs.errors import SpiffeIdError
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.store import write_private
from control_plane.client import ApiClient
from control_plane.envoy_bootstrap import EnvoyNode, bootstrap, secret_files
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from lab.netns import NetworkError
from lab.paths import LabPaths
from lab.pod_record import find_pod
from meshctl.connection import call, find_kubeconfig, kubeconfig_option, namespace_option
from meshctl.sidecar_admin import PodUnreachable, network_of
from meshctl.workload_certificate import SigningFailed, obtain

_AUDIENCE = "meshproxy-ca"
_SYSTEM_NAMESPACE, _CONTROL_PLANE = "meshproxy-system", "control-plane"
_ROOT_BUNDLE, _ROOT_KEY = "meshproxy-root-bundle", "root-cert.pem"
_XDS_PORT, _SIGNING_PORT = 15012, 15011


@dataclass(frozen=True, slots=True)
class _Workload:
    """What the API says of the pod, and a token to prove it."""

    pod: Pod
    root_pem: str
    token: str
    control_plane: str
    """Address of the control plane's Service; empty without one."""


@click.command(name="envoy-bootstrap")
@click.argument("pod")
@namespace_option
@click.option(
    "--out-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Where the certificate goes, as SDS files that Envoy watches. Run again to renew it.",
)
@click.option("--discovery-address", help="host:port of xDS; default: the Service control-plane, 15012.")
@click.option("--signing-address", help="host:port of signing; default: the Service control-plane, 15011.")
@click.option(
    "--network",
    type=click.Path(exists=True, path_type=Path),
    help="Network namespace to ask for the certificate from; default: the pod's, if this machine runs it.",
)
@click.option("--trust-domain", default="cluster.local", show_default=True)
@click.option("--admin-port", type=int, default=15000, show_default=True)
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@kubeconfig_option
def envoy_bootstrap(
    pod: str,
    namespace: str,
    out_dir: Path,
    discovery_address: str | None,
    signing_address: str | None,
    network: Path | None,
    trust_domain: str,
    admin_port: int,
    output: str,
    kubeconfig: Path | None,
) -> None:
    """Print Envoy's bootstrap for POD, and write its certificate into --out-dir.

    Envoy then gets its configuration from this control plane as our own sidecar does.
    """
    workload = call(kubeconfig, lambda client: _look_up(client, pod, namespace))
    signing = signing_address or _default_address(workload, _SIGNING_PORT, "--signing-address")
    discovery = discovery_address or _default_address(workload, _XDS_PORT, "--discovery-address")
    host, port = _split(discovery, "--discovery-address")
    where = network if network is not None else _network(find_kubeconfig(kubeconfig), namespace, pod)
    account = workload.pod.spec.service_account_name
    try:
        identity = SpiffeId.for_workload(TrustDomain(trust_domain), namespace, account)
        certificate = obtain(
            identity, address=signing, token=workload.token, root_pem=workload.root_pem, network=where
        )
    except (SigningFailed, NetworkError, SpiffeIdError) as error:
        raise click.ClickException(f"no certificate for {namespace}/{pod}: {error}") from error
    _write(out_dir, secret_files(certificate.chain, certificate.key, workload.root_pem))
    node = EnvoyNode(
        pod=pod,
        namespace=namespace,
        pod_ip=workload.pod.status.pod_ip,
        service_account=account,
        discovery_host=host,
        discovery_port=port,
        secrets_dir=str(out_dir.resolve()),
        trust_domain=trust_domain,
        labels=dict(workload.pod.metadata.labels),
        admin_port=admin_port,
    )
    document = bootstrap(node)
    text = json.dumps(document, indent=2) if output == "json" else yaml.safe_dump(document, sort_keys=False)
    click.echo(text.rstrip("\n"))


async def _look_up(client: ApiClient, name: str, namespace: str) -> _Workload:
    pod = Pod.read(await client.get("Pod", name, namespace))
    if not pod.status.pod_ip:
        raise click.ClickException(f"pod {namespace}/{name} has no address yet")
    bundle = ConfigMap.read(await client.get("ConfigMap", _ROOT_BUNDLE, namespace))
    token = await client.create_token(
        namespace,
        pod.spec.service_account_name,
        audiences=[_AUDIENCE],
        pod_name=name,
        pod_uid=pod.metadata.uid,
    )
    services = (await client.list("Service", _SYSTEM_NAMESPACE)).items
    addresses = [
        service.spec.cluster_ip
        for service in map(Service.parse, services)
        if service.metadata.name == _CONTROL_PLANE
    ]
    return _Workload(pod, bundle.data[_ROOT_KEY], token.token, next(iter(addresses), ""))


def _default_address(workload: _Workload, port: int, option: str) -> str:
    if not workload.control_plane:
        place = f"{_SYSTEM_NAMESPACE}/{_CONTROL_PLANE}"
        raise click.UsageError(f"there is no Service {place}: say {option}")
    return f"{workload.control_plane}:{port}"


def _split(address: str, option: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise click.UsageError(f"{option} {address!r}: must be host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _network(kubeconfig: Path, namespace: str, pod: str) -> Path | None:
    """The pod's own, when it runs in the lab that the kubeconfig belongs to."""
    found = find_pod(LabPaths(kubeconfig.parent), f"{namespace}/{pod}")
    if found is None:
        return None
    try:
        return network_of(found)
    except PodUnreachable as error:
        raise click.ClickException(str(error)) from error


def _write(out_dir: Path, files: dict[str, dict[str, object]]) -> None:
    """Each by a rename, which is what Envoy watches for; mode 0600, because one holds the key."""
    try:
        out_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, document in files.items():
            write_private(out_dir / name, yaml.safe_dump(document).encode())
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise click.ClickException(f"{out_dir} cannot be written: {reason}") from error
