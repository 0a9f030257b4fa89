"""Wires the control plane: store, REST, xDS, signing, discovery, status, metrics; started and stopped in one
order.

All state is in the data directory, so a restart with the same one gives everything back under the same CA.
`ports.json` appears when everything listens, and goes when the process does.
"""

import asyncio
import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Final, Self

import grpc
import grpc.aio

from certs.store import load_or_create_authority, make_private_directory, write_private
from certs.svid import certificate_to_pem
from control_plane.ads import SERVER_OPTIONS, AdsServicer
from control_plane.api.istio.v1.auth.ca_pb2_grpc import add_IstioCertificateServiceServicer_to_server
from control_plane.apiserver.app import RestApp, create_app
from control_plane.apiserver.identity import Role
from control_plane.apiserver.server import RestServer, bind, inherit, server_context
from control_plane.apiserver.service_address import ServiceAllocator
from control_plane.cache import SnapshotCache
from control_plane.collection import collect_thoroughly
from control_plane.debug import monitoring_app, with_syncz
from control_plane.home import ClusterHome, OwnHome, open_cluster, open_own
from control_plane.issuer import CertificateService, PeerAuthenticator, TokenAuthenticator
from control_plane.kubeconfig import Kubeconfig, write_kubeconfig
from control_plane.metrics import ControlPlaneMetrics
from control_plane.node_check import loopback_check, mutual_tls_check
from control_plane.options import Options
from control_plane.publisher import SnapshotPublisher
from control_plane.role_token import role_tokens
from control_plane.root_bundle import RootBundlePublisher
from control_plane.serving_certificate import ServingCertificate, ServingNames, grpc_credentials, load_into
from control_plane.snapshot import SECRET_TYPE
from control_plane.status import StatusWriter
from control_plane.webhook_name import webhook_names
from control_plane.workload_check import AccountCheck, WorkloadCheck

GRACE_SECONDS: Final = 0.5
"""How long running RPCs may take to end when the control plane stops; ADS streams are cut, sidecars
reconnect."""
_CERTIFICATE_CHECKS: Final = 20
"""How often within its life the REST server's certificate is compared with the current one."""
_LONGEST_CHECK_INTERVAL: Final = 60.0

_log = logging.getLogger(__name__)


class SystemClock:
    """The machine's monotonic clock."""

    monotonic = staticmethod(time.monotonic)


class ControlPlane:
    """A running control plane. `start`, then `stop`."""

    def __init__(self, stack: AsyncExitStack, ports: dict[str, int], failure: asyncio.Future[None]) -> None:
        self._stack = stack
        self.failure = failure
        """Raises what ended a part that should run for ever; whoever waits for it stops the process."""
        self.ports = ports
        """By `rest`, `xds`, `signing`, `plaintext_xds`, `metrics`: what was chosen."""

    @classmethod
    async def start(cls, options: Options) -> Self:
        """Serve. Raises OSError, KeyStoreError, DatabaseError when something is not there to be had."""
        async with AsyncExitStack() as stack:
            assembly = _Assembly(options, stack)
            ports = await assembly.run()
            return cls(stack.pop_all(), ports, assembly.failure)

    async def stop(self) -> None:
        """Stop taking requests, let running ones end, close the store."""
        await self._stack.aclose()


class _Assembly:
    """The parts while they are put together; whatever was opened is closed again by `stack`."""

    def __init__(self, options: Options, stack: AsyncExitStack) -> None:
        self._options = options
        self._stack = stack
        self._directory = options.data_dir
        self._ports_file = options.data_dir / "ports.json"
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> dict[str, int]:
        options, directory = self._options, self._directory
        make_private_directory(directory)
        self._home = await self._open_home()
        self._store = self._home.store
        self._ports_file.unlink(
            missing_ok=True
        )  # after the store, whose lock says that nobody else runs here
        trust_domain = options.mesh.trust_domain
        self._authority = load_or_create_authority(directory / "ca", trust_domain, now=time.time())
        self._serving = ServingCertificate(
            self._authority, ServingNames.with_extra(options.extra_sans), ttl=options.leaf_ttl
        )
        self._cache = SnapshotCache()
        self._metrics = ControlPlaneMetrics(self._cache, time.monotonic)
        self._is_ready = False
        self._keep_running(collect_thoroughly(), "collection")
        await self._start_discovery()
        ports = {
            **await self._start_rest(),
            **await self._start_grpc(),
            "metrics": await self._start_http(
                monitoring_app(self._cache, self._metrics), None, self._metrics_address()
            ),
        }
        self._announce(ports)
        return ports

    async def _open_home(self) -> OwnHome | ClusterHome:
        if self._options.kubeconfig:
            return await open_cluster(self._options.kubeconfig, self._stack)
        return await open_own(self._directory, self._stack)

    async def _start_discovery(self) -> None:
        """Read the store before anybody is served from it."""
        self._publisher = publisher = SnapshotPublisher(
            self._store,
            self._cache,
            self._options.mesh,
            clock=SystemClock(),
            debounce=self._options.debounce,
            statuses=StatusWriter(self._store, time.time),
            observer=self._metrics,
        )
        self._keep_running(publisher.run(), "discovery")
        self._keep_running(publisher.push(), "push")
        self._keep_running(publisher.write_statuses(), "status")
        root_pem = certificate_to_pem(self._authority.root)
        self._keep_running(RootBundlePublisher(self._store, root_pem).run(), "root-bundle")
        synced = asyncio.ensure_future(publisher.is_synced.wait())
        try:
            await asyncio.wait((synced, self.failure), return_when=asyncio.FIRST_COMPLETED)
        finally:
            synced.cancel()
        if self.failure.done():
            self.failure.result()  # raises; else nobody would ever be synced, and nobody told

    # --- REST and metrics -----------------------------------------------------------------------------------

    async def _start_rest(self) -> dict[str, int]:
        """Nothing when the objects live in somebody else's API server."""
        if not isinstance(self._home, OwnHome):
            return {}
        tokens = role_tokens(self._directory)
        token = tokens[Role.ADMIN]
        rest = create_app(
            self._home.store,
            admin_token=token,
            role_tokens=tokens,
            token_minter=self._home.tokens,
            token_verifier=self._home.tokens,
            kubelet_files=self._options.kubelet_files,
            now=time.time,
            services=ServiceAllocator(self._options.service_networks),
            is_ready=lambda: self._is_ready,
        )
        context = server_context()
        load_into(context, self._serving.current())
        self._keep_running(self._renew(context), "serving-certificate")
        port = await self._start_http(with_syncz(rest, self._cache), context, self._options.rest_address)
        root_pem = certificate_to_pem(self._authority.root).decode()
        server = f"https://127.0.0.1:{port}"
        write_kubeconfig(self._directory / "kubeconfig", Kubeconfig(server, root_pem, token))
        return {"rest": port}

    async def _start_http(self, app: RestApp, context: ssl.SSLContext | None, address: str) -> int:
        is_rest = context is not None
        inherited = self._options.rest_fd if is_rest else None
        listener = bind(address) if inherited is None else inherit(inherited)
        server = RestServer(app, tls=context)
        self._stack.push_async_callback(server.stop)
        return await server.start(listener)

    def _metrics_address(self) -> str:
        return _endpoint(self._options.bind_address, self._options.metrics_port)

    async def _renew(self, context: ssl.SSLContext) -> None:
        """Give the REST server each new certificate; the gRPC servers ask for it at every handshake."""
        presented = self._serving.current()
        while True:
            await asyncio.sleep(min(self._options.leaf_ttl / _CERTIFICATE_CHECKS, _LONGEST_CHECK_INTERVAL))
            if (current := self._serving.current()) is not presented:
                load_into(context, current)
                presented = current
                _log.info("serving certificate renewed until %d", current.svid.not_after)

    # --- gRPC -----------------------------------------------------------------------------------------------

    async def _start_grpc(self) -> dict[str, int]:
        options = self._options
        granted = webhook_names(options.mesh.trust_domain, options.injector_names)
        by_token = CertificateService(
            self._authority,
            TokenAuthenticator(self._home.tokens, options.mesh.trust_domain, WorkloadCheck(self._store)),
            leaf_ttl=options.leaf_ttl,
            dns_names=granted,
        )
        by_certificate = CertificateService(
            self._authority,
            PeerAuthenticator(AccountCheck(self._store)),
            leaf_ttl=options.leaf_ttl,
            dns_names=granted,
        )
        self._metrics.issued = lambda: by_token.issued + by_certificate.issued
        self._metrics.refused = lambda: Counter(by_token.refused) + Counter(by_certificate.refused)
        publisher = self._publisher
        checked = mutual_tls_check(lambda: publisher.registry, options.mesh)
        unchecked = loopback_check(lambda node_id: self._cache.get(node_id) is not None)
        return {
            "xds": await self._start_server(
                _endpoint(options.bind_address, options.xds_port),
                grpc_credentials(self._serving, require_client_certificate=True),
                AdsServicer(self._cache, authorize=checked, observer=self._metrics),
                by_certificate,
            ),
            "signing": await self._start_server(
                _endpoint(options.bind_address, options.signing_port),
                grpc_credentials(self._serving, require_client_certificate=False),
                None,
                by_token,
            ),
            "plaintext_xds": await self._start_server(
                options.plaintext_xds_address,
                None,
                AdsServicer(
                    self._cache,
                    authorize=unchecked,
                    observer=self._metrics,
                    withheld=frozenset({SECRET_TYPE}),
                ),
                None,
            ),
        }

    async def _start_server(
        self,
        address: str,
        credentials: grpc.ServerCredentials | None,
        ads: AdsServicer | None,
        signing: CertificateService | None,
    ) -> int:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        if ads is not None:
            ads.add_to(server)
        if signing is not None:
            add_IstioCertificateServiceServicer_to_server(signing, server)  # type: ignore[no-untyped-call]
        try:
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:  # gRPC's way to say that the address is taken
            raise OSError(f"cannot listen on {address}: {error}") from error
        await server.start()
        self._stack.push_async_callback(server.stop, GRACE_SECONDS)
        return int(port)

    # --- the rest -------------------------------------------------------------------------------------------

    def _keep_running(self, coroutine: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        task.add_done_callback(self._on_task_done)
        self._stack.push_async_callback(_cancel, task)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("%s ended unexpectedly", task.get_name(), exc_info=error)
            if not self.failure.done():
                self.failure.set_exception(error)

    def _announce(self, ports: dict[str, int]) -> None:
        """From here on the control plane is ready."""
        self._is_ready = True
        write_private(self._ports_file, json.dumps(ports).encode())
        self._stack.callback(self._ports_file.unlink, missing_ok=True)
        _log.info("ready: %s", ", ".join(f"{name} {port}" for name, port in ports.items()))


def _endpoint(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
