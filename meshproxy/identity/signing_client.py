"""Calls to the control plane's certificate-signing service (`istio.v1.auth`), one short connection each."""

from __future__ import annotations

from typing import Final, Protocol

import grpc

from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest
from control_plane.api.istio.v1.auth.ca_pb2_grpc import IstioCertificateServiceStub
from meshproxy.errors import UpstreamError
from meshproxy.identity.identity import Identity

CALL_TIMEOUT: Final = 10.0
"""Seconds for connecting, the handshake and the answer; the caller retries with backoff."""

_OPTIONS: Final = (
    (
        "grpc.enable_http_proxy",
        0,
    ),  # the control plane is in the mesh; an application's proxy setting is not for us
    ("grpc.use_local_subchannel_pool", 1),  # else a call could reuse a connection with the former certificate
)


class SigningClient(Protocol):
    """What the agent asks of the control plane; a Protocol so that tests can stand in for the network."""

    async def bootstrap(self, csr: bytes, *, token: str, root_pem: bytes) -> list[str]:
        """The first certificate, by token. Raises UpstreamError."""
        ...

    async def renew(self, csr: bytes, *, current: Identity) -> list[str]:
        """The next certificate, by the current one. Raises UpstreamError."""
        ...


class GrpcSigningClient:
    """`SigningClient` over gRPC, which compares the addresses' host with the server's certificate."""

    def __init__(self, signing_address: str, renewal_address: str) -> None:
        """`host:port` of the signing port (15011) and of the mTLS port (15012)."""
        self._signing_address = signing_address
        self._renewal_address = renewal_address

    async def bootstrap(self, csr: bytes, *, token: str, root_pem: bytes) -> list[str]:
        """On the signing port; the token travels only after the server has proved itself."""
        credentials = grpc.ssl_channel_credentials(root_pem)
        return await _create(self._signing_address, credentials, csr, (("authorization", f"Bearer {token}"),))

    async def renew(self, csr: bytes, *, current: Identity) -> list[str]:
        """On the mTLS port."""
        credentials = grpc.ssl_channel_credentials(current.root_pem, current.key_pem, current.chain_pem)
        return await _create(self._renewal_address, credentials, csr, ())


async def _create(
    address: str, credentials: grpc.ChannelCredentials, csr: bytes, metadata: tuple[tuple[str, str], ...]
) -> list[str]:
    request = IstioCertificateRequest(csr=csr.decode("ascii"))
    async with grpc.aio.secure_channel(address, credentials, options=_OPTIONS) as channel:
        stub = IstioCertificateServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        try:
            response = await stub.CreateCertificate(request, metadata=metadata, timeout=CALL_TIMEOUT)
        except grpc.aio.AioRpcError as exc:
            raise UpstreamError(f"{address}: {exc.code().name}: {exc.details()}") from exc
    return list(response.cert_chain)
