"""An API server and a signing service on real sockets: all that an injector needs around it."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from certs.ca import CertificateAuthority, create_authority
from certs.csr import generate_key
from certs.spiffe_id import TrustDomain
from certs.svid import certificate_to_pem
from control_plane.api.istio.v1.auth.ca_pb2_grpc import add_IstioCertificateServiceServicer_to_server
from control_plane.client import ApiClient
from control_plane.issuer import CertificateService, PeerAuthenticator, TokenAuthenticator
from control_plane.kubeconfig import write_kubeconfig
from control_plane.resources.manifest import Manifest
from control_plane.serving_certificate import ServingCertificate, ServingNames, grpc_credentials
from control_plane.tokens import TOKEN_AUDIENCE, TokenAuthority
from control_plane.webhook_name import webhook_names
from injector.options import Options, parse_options
from tests.unit.control_plane.apiserver.serving import Serving, serving
from tests.unit.control_plane.replay_guard import MemoryReplayGuard

MESH = TrustDomain("cluster.local")
NAMESPACE = "meshproxy-system"


@dataclass
class Mesh:
    """What a test sees of the world around the injector."""

    api: Serving
    client: ApiClient
    authority: CertificateAuthority
    tokens: TokenAuthority
    directory: Path
    certificate: ServingCertificate
    services: list[CertificateService] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def options(self, *more: str) -> Options:
        return parse_options(
            [
                *("--kubeconfig", str(self.directory / "kubeconfig")),
                *("--token-file", str(self.directory / "token")),
                *("--state-dir", str(self.directory / "state")),
                *("--listen", "127.0.0.1:0"),
                *("--signing-address", f"localhost:{self.ports[0]}"),
                *("--renewal-address", f"localhost:{self.ports[1]}"),
                *more,
            ]
        )

    def write_token(self) -> None:
        token = self.tokens.mint(
            namespace=NAMESPACE,
            service_account="injector",
            pod_name="injector",
            pod_uid="1",
            audiences=[TOKEN_AUDIENCE],
            ttl=600,
            now=time.time(),
        )
        (self.directory / "token").write_text(token.token)

    async def publish(self, *roots: CertificateAuthority) -> None:
        """The trust bundle, as the control plane does."""
        pem = b"".join(certificate_to_pem(authority.root) for authority in roots).decode()
        await self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "meshproxy-root-bundle", "namespace": NAMESPACE},
                "data": {"root-cert.pem": pem},
            }
        )

    def sign_with(self, authority: CertificateAuthority) -> None:
        """What is issued from now on comes from another CA."""
        for service in self.services:
            service._authority = authority

    def serve_signing_with(self, authority: CertificateAuthority) -> None:
        """The signing service itself presents a certificate of another CA from now on."""
        self.certificate._authority = authority
        self.certificate._renew_at = 0.0

    def refuse_everybody(self) -> None:
        """From now on nobody gets a certificate."""
        for service in self.services:
            service._dns_names = {}

    async def point_service_at(self, port: int) -> None:
        """The Service of the injector, with an endpoint that tests turn to 127.0.0.1."""
        ports = [{"name": "https", "port": 443, "targetPort": 15017}]
        meta: Manifest = {"name": "injector", "namespace": NAMESPACE}
        await self.client.apply(
            {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": ports}}
        )
        await self.client.apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": {"kubernetes.io/service-name": "injector"}},
                "addressType": "IPv4",
                "ports": [{"name": "https", "port": port}],
                "endpoints": [{"addresses": ["10.1.2.3"]}],
            }
        )


async def _nobody_is_missing(*names: str) -> str | None:
    return None


def new_authority() -> CertificateAuthority:
    return create_authority(MESH, now=time.time()).authority


@asynccontextmanager
async def signing_mesh(directory: Path, *, leaf_ttl: float = 3600.0) -> AsyncIterator[Mesh]:
    """Everything listens; the bundle is published and a token lies ready."""
    authority = new_authority()
    tokens = TokenAuthority(generate_key(), MemoryReplayGuard())
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(serving(directory))
        client = await stack.enter_async_context(ApiClient(api.config))
        by_token = TokenAuthenticator(tokens, MESH, _nobody_is_missing)
        by_certificate = PeerAuthenticator(_nobody_is_missing)
        certificate = ServingCertificate(authority, ServingNames.with_extra([]))
        mesh = Mesh(api, client, authority, tokens, directory, certificate)
        for authenticator in (by_token, by_certificate):
            names = webhook_names(MESH)
            service = CertificateService(authority, authenticator, leaf_ttl=leaf_ttl, dns_names=names)
            server = grpc.aio.server()
            add_IstioCertificateServiceServicer_to_server(service, server)  # type: ignore[no-untyped-call]
            mutual = authenticator is by_certificate
            credentials = grpc_credentials(certificate, require_client_certificate=mutual)
            mesh.ports.append(server.add_secure_port("127.0.0.1:0", credentials))
            mesh.services.append(service)
            await server.start()
            stack.push_async_callback(server.stop, None)
        write_kubeconfig(directory / "kubeconfig", api.config)
        mesh.write_token()
        await mesh.publish(authority)
        yield mesh
