"""Calls to the control plane's certificate-signing service (`istio.v1.auth`), one short connection each."""

from __future__ import annotations

import ssl
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from control_plane.api.istio.v1.auth.ca_pb2 import IstioCertificateRequest, IstioCertificateResponse
from meshproxy.errors import UpstreamError
from meshproxy.identity.contexts import control_plane_context
from meshproxy.identity.identity import Identity
from meshproxy.rpc.call import dial, unary

CALL_TIMEOUT: Final = 10.0
"""Seconds for the answer, after connecting; the caller retries with backoff."""

METHOD: Final = "/istio.v1.auth.IstioCertificateService/CreateCertificate"


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
        context = control_plane_context(root_pem, None)
        return await _create(self._signing_address, context, csr, (("authorization", f"Bearer {token}"),))

    async def renew(self, csr: bytes, *, current: Identity) -> list[str]:
        """On the mTLS port."""
        context = control_plane_context(current.root_pem, current)
        return await _create(self._renewal_address, context, csr, ())


async def _create(
    address: str, tls: ssl.SSLContext, csr: bytes, metadata: tuple[tuple[str, str], ...]
) -> list[str]:
    request = IstioCertificateRequest(csr=csr.decode("ascii"))
    call = await dial(address, tls)
    try:
        answer = await unary(call, METHOD, request.SerializeToString(), metadata, CALL_TIMEOUT)
        return list(IstioCertificateResponse.FromString(answer).cert_chain)
    except UpstreamError as error:
        raise UpstreamError(f"{address}: {error}") from error
    except DecodeError as error:
        raise UpstreamError(f"{address}: INTERNAL: the answer is no IstioCertificateResponse") from error
