"""A whole API server on a real socket with TLS, for tests of the server and of its client."""

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from certs.ca import CertificateAuthority, create_authority
from certs.spiffe_id import SpiffeId, TrustDomain
from certs.svid import KeyedSvid, certificate_to_pem
from control_plane.apiserver.app import create_app
from control_plane.apiserver.identity import Role
from control_plane.apiserver.kubelet import KubeletFiles
from control_plane.apiserver.server import RestServer, bind, server_context
from control_plane.apiserver.system_object import ensure_system_objects
from control_plane.kubeconfig import Kubeconfig
from control_plane.serving_certificate import load_into
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.apiserver.minter import RecordingMinter

ADMIN_TOKEN = "of-the-administrator"
TRUST_DOMAIN = TrustDomain("cluster.local")


def new_authority() -> CertificateAuthority:
    return create_authority(TRUST_DOMAIN, now=time.time()).authority


def new_certificate(authority: CertificateAuthority) -> KeyedSvid:
    """A fresh one for 127.0.0.1."""
    name = SpiffeId.for_workload(TRUST_DOMAIN, "meshproxy-system", "control-plane")
    addresses = [ip_address("127.0.0.1"), ip_address("::1")]
    return authority.issue_serving(name, dns_names=["localhost"], addresses=addresses, now=time.time())


@dataclass
class Serving:
    config: Kubeconfig
    store: SqliteStore
    server: RestServer
    tls: ssl.SSLContext
    authority: CertificateAuthority
    directory: Path


@asynccontextmanager
async def serving(
    directory: Path,
    *,
    retained: int = 256,
    address: str = "127.0.0.1:0",
    role_tokens: Mapping[Role, str] | None = None,
    kubelet_files: KubeletFiles | None = None,
) -> AsyncIterator[Serving]:
    """A server over the store in `directory`; stopped and closed at the end."""
    authority = new_authority()
    tls = server_context()
    load_into(tls, new_certificate(authority))
    store = await SqliteStore.open(directory / "state.db", retained=retained)
    await ensure_system_objects(store)
    app = create_app(
        store,
        admin_token=ADMIN_TOKEN,
        token_minter=RecordingMinter(),
        now=time.time,
        role_tokens=role_tokens,
        kubelet_files=kubelet_files,
    )
    server = RestServer(app, tls=tls)
    port = await server.start(bind(address))
    root = certificate_to_pem(authority.root).decode()
    config = Kubeconfig(f"https://127.0.0.1:{port}", root, ADMIN_TOKEN)
    try:
        yield Serving(config, store, server, tls, authority, directory)
    finally:
        await server.stop()
        await store.close()
