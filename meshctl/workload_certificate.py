"""A certificate for a workload that has no agent of ours: a key made here, signed by the control plane."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from certs.csr import create_csr, generate_key, key_to_pem
from certs.spiffe_id import SpiffeId
from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest
from lab import netns

_SERVER_NAME = "control-plane.meshproxy-system.svc"
"""A name in the control plane's certificate, whatever address it is reached at."""
_TIMEOUT = 10.0


class SigningFailed(Exception):
    """The signing service could not be reached, or refused; the message says why."""


@dataclass(frozen=True, slots=True)
class WorkloadCertificate:
    """PEM texts."""

    chain: str
    """The certificate, then its intermediates."""
    key: str
    """A secret."""


def obtain(
    identity: SpiffeId, *, address: str, token: str, root_pem: str, network: Path | None
) -> WorkloadCertificate:
    """Ask the signing service at `address` (`host:port`), from inside the namespace `network` if given.

    Raises SigningFailed, NetworkError.
    """
    key = generate_key()
    csr = create_csr(key, identity).decode()

    def ask() -> list[str]:
        return asyncio.run(_sign(csr, address, token, root_pem.encode()))

    chain = ask() if network is None else netns.inside(network, ask)
    return WorkloadCertificate("".join(chain[:-1]), key_to_pem(key).decode())


async def _sign(csr: str, address: str, token: str, root_pem: bytes) -> list[str]:
    """The chain, the root last."""
    # Imported here: gRPC's threads must be born in the namespace that the connection is made from.
    import grpc.aio

    from control_plane.api.istio.v1.auth.ca_pb2_grpc import IstioCertificateServiceStub

    options = (("grpc.ssl_target_name_override", _SERVER_NAME), ("grpc.enable_http_proxy", 0))
    credentials = grpc.ssl_channel_credentials(root_pem)
    async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
        stub = IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        try:
            answer = await stub.CreateCertificate(
                IstioCertificateRequest(csr=csr),
                metadata=(("authorization", f"Bearer {token}"),),
                timeout=_TIMEOUT,
            )
        except grpc.aio.AioRpcError as error:
            raise SigningFailed(f"{address}: {error.code().name}: {error.details()}") from error
    return list(answer.cert_chain)
