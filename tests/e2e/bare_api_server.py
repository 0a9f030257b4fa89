"""An API server and nothing of a mesh beside it: `python -m tests.e2e.bare_api_server DIRECTORY`.

Its kubeconfig appears in the directory when it listens.
"""

import asyncio
import signal
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

from certs.spiffe_id import TrustDomain
from certs.store import load_or_create_authority
from certs.svid import certificate_to_pem
from control_plane.apiserver.app import create_app
from control_plane.apiserver.identity import Role
from control_plane.apiserver.server import RestServer, bind, server_context
from control_plane.apiserver.service_address import ServiceAllocator
from control_plane.home import open_own
from control_plane.kubeconfig import Kubeconfig, write_kubeconfig
from control_plane.options import parse_options
from control_plane.role_token import role_tokens
from control_plane.serving_certificate import ServingCertificate, ServingNames, load_into

KUBECONFIG = "kubeconfig"


async def serve(directory: Path) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as stack:
        home = await open_own(directory, stack)
        tokens = role_tokens(directory)
        app = create_app(
            home.store,
            admin_token=tokens[Role.ADMIN],
            role_tokens=tokens,
            token_minter=home.tokens,
            token_verifier=home.tokens,
            now=time.time,
            services=ServiceAllocator(parse_options(["--data-dir", str(directory)]).service_networks),
        )
        authority = load_or_create_authority(directory / "ca", TrustDomain("api.example"), now=time.time())
        context = server_context()
        load_into(context, ServingCertificate(authority, ServingNames.with_extra(()), ttl=3600.0).current())
        server = RestServer(app, tls=context)
        stack.push_async_callback(server.stop)
        port = await server.start(bind("127.0.0.1:0"))
        root = certificate_to_pem(authority.root).decode()
        config = Kubeconfig(f"https://127.0.0.1:{port}", root, tokens[Role.ADMIN])
        write_kubeconfig(directory / KUBECONFIG, config)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
