"""An admission webhook on a real socket with TLS, whose answers a test says; it keeps what it was asked."""

import asyncio
import base64
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from certs.ca import CertificateAuthority, create_authority
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import certificate_to_pem
from control_plane.resources.manifest import Manifest

NAME = "hook.default.svc"
TRUST_DOMAIN = TrustDomain("cluster.local")
Answer = Callable[[Manifest], "bytes | Manifest | Awaitable[bytes | Manifest]"]
"""Of a request (`AdmissionReview.request`): a response object, or raw bytes of a whole HTTP answer."""


def allow(request: Manifest) -> Manifest:
    return {"uid": request["uid"], "allowed": True}


def deny(request: Manifest, **status: object) -> Manifest:
    return {"uid": request["uid"], "allowed": False, "status": status}


def patching(*operations: Manifest, warnings: tuple[str, ...] = ()) -> Answer:
    """Allows, with a JSON patch."""

    def answer(request: Manifest) -> Manifest:
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        response = allow(request) | {"patchType": "JSONPatch", "patch": patch}
        return response | ({"warnings": list(warnings)} if warnings else {})

    return answer


@dataclass
class WebhookServer:
    """Listens at `url`; certificate for `NAME` and 127.0.0.1."""

    port: int
    ca_bundle: str
    """Base64 of PEM, as a configuration has it."""
    answer: Answer = allow
    answers: dict[str, Answer] = field(default_factory=dict)
    """By path, before `answer`."""
    requests: list[Manifest] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def client(self, path: str = "/") -> Manifest:
        """A `clientConfig`."""
        return {"url": self.url + path, "caBundle": self.ca_bundle}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            review = json.loads(await reader.readexactly(length))
            path = head.split(b" ")[1].decode()
            self.heads.append(head)
            self.paths.append(path)
            self.requests.append(review["request"])
            result = self.answers.get(path.partition("?")[0], self.answer)(review["request"])
            content = await result if isinstance(result, Awaitable) else result
            writer.write(content if isinstance(content, bytes) else http_answer(_review(content)))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the client has gone
        finally:
            writer.close()


def _review(response: Manifest) -> bytes:
    answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    return json.dumps(answer).encode()


def http_answer(body: bytes, status: str = "200 OK", *, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n%s" % (status.encode(), len(body), headers, body)


@asynccontextmanager
async def webhook_server(
    authority: CertificateAuthority | None = None, *, dns_names: tuple[str, ...] = (NAME,)
) -> AsyncIterator[WebhookServer]:
    """Serves until the end of the block."""
    authority = authority or create_authority(TRUST_DOMAIN, now=time.time()).authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, authority, dns_names)
    root = base64.b64encode(certificate_to_pem(authority.root)).decode()
    hook = WebhookServer(0, root)
    server = await asyncio.start_server(hook.serve, "127.0.0.1", 0, ssl=context)
    hook.port = server.sockets[0].getsockname()[1]
    try:
        yield hook
    finally:
        server.close()


def _load(context: ssl.SSLContext, authority: CertificateAuthority, dns_names: tuple[str, ...]) -> None:
    keyed = authority.issue_serving(
        SpiffeId.for_workload(TRUST_DOMAIN, "default", "hook"),
        dns_names=dns_names,
        addresses=[ip_address("127.0.0.1")],
        now=time.time(),
    )
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(keyed.key_pem + keyed.svid.chain_pem)
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
