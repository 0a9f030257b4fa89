"""The injector's process: it comes up in the right order, and stays trusted while certificates change."""

import asyncio
import base64
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from certs.bundle import TrustBundle
from certs.svid import certificate_to_pem
from control_plane.client import ApiError
from control_plane.resources.manifest import Manifest, objects, section
from injector import process
from injector.process import CertificateEnded, Injector
from injector.registration import NAME
from injector.serving import MAX_BODY
from tests.unit.injector.signing_mesh import Mesh, new_authority, signing_mesh

INJECTED = ["meshproxy-init", "meshproxy"]
KIND = "MutatingWebhookConfiguration"
LEAF_TTL = 3600.0


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[Mesh]:
    async with signing_mesh(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints of Services are on 127.0.0.1, which no EndpointSlice may name."""
    connect = anyio.connect_tcp

    async def connect_locally(remote_host: str, remote_port: int, **more: object) -> object:
        host = "127.0.0.1" if remote_host == "10.1.2.3" else remote_host
        return await connect(host, remote_port, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(anyio, "connect_tcp", connect_locally)


class WallClock:
    """The injector's idea of the time, ahead of everybody else's."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def injecting(
    mesh: Mesh, *flags: str, wall_clock: Callable[[], float] = time.time
) -> AsyncIterator[Injector]:
    listener = socket.create_server(("127.0.0.1", 0))
    await mesh.point_service_at(listener.getsockname()[1])
    options = mesh.options(*(flags or ("--register",)))
    injector = await Injector.start(options, listener, rng=random.Random(1), wall_clock=wall_clock)
    try:
        yield injector
        assert not injector.failure.done()
    finally:
        await injector.stop()


async def roots_in_place(mesh: Mesh) -> set[bytes]:
    """PEM of each root that the API server verifies the injector against."""
    configuration = await mesh.client.get(KIND, NAME)
    (bundle,) = {
        str(section(webhook, "clientConfig")["caBundle"]) for webhook in objects(configuration, "webhooks")
    }
    roots = TrustBundle.parse(base64.b64decode(bundle)).roots
    return {certificate_to_pem(root) for root in roots}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 — another server's state
            await asyncio.sleep(0.005)


async def enable(mesh: Mesh) -> None:
    labels = {"meshproxy.io/injection": "enabled"}
    namespace: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": labels},
    }
    await mesh.client.apply(namespace)


async def try_pod(mesh: Mesh) -> list[object]:
    """Names of the init containers of a pod that would be created now."""
    spec = {"containers": [{"name": "app", "image": "app:1"}]}
    meta = {"generateName": "web-", "namespace": "shop"}
    pod: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    created = await mesh.client.create(pod, dry_run=True)
    return [container["name"] for container in objects(section(created, "spec"), "initContainers")]


async def presented(injector: Injector, mesh: Mesh) -> bytes:
    """The certificate (DER) that a client is shown now; it must be good for the Service's name."""
    context = ssl.create_default_context(cadata=b"".join(await roots_in_place(mesh)).decode())

    def shown() -> bytes:
        with (
            socket.create_connection(("127.0.0.1", injector.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="injector.meshproxy-system.svc") as client,
        ):
            return client.getpeercert(binary_form=True) or b""

    return await asyncio.to_thread(shown)


async def test_pods_are_injected_as_soon_as_it_has_started(mesh):
    await enable(mesh)
    async with injecting(mesh):
        assert await try_pod(mesh) == INJECTED


async def test_an_injector_that_is_down_holds_up_pods_of_the_mesh_and_no_others(mesh):
    await enable(mesh)
    async with injecting(mesh):
        pass
    with pytest.raises(ApiError, match="failed calling webhook") as refused:
        await try_pod(mesh)
    assert refused.value.status == 500
    await mesh.client.patch("Namespace", "shop", "", {"metadata": {"labels": None}})
    assert await try_pod(mesh) == []


async def test_the_certificate_of_an_earlier_life_is_used_again(mesh):
    async with injecting(mesh) as injector:
        first = await presented(injector, mesh)
    (mesh.directory / "token").write_text("used up")
    async with injecting(mesh) as injector:
        assert await presented(injector, mesh) == first


async def test_a_kept_certificate_of_another_ca_or_a_broken_one_is_not_used(mesh):
    async with injecting(mesh) as injector:
        first = await presented(injector, mesh)
    (mesh.directory / "state" / "certificate.pem").write_text("rubbish")
    mesh.write_token()
    async with injecting(mesh) as injector:
        assert await presented(injector, mesh) != first
    other = new_authority()
    mesh.sign_with(other)
    await mesh.publish(mesh.authority, other)
    mesh.write_token()
    (mesh.directory / "state" / "certificate.pem").unlink()
    async with injecting(mesh) as injector:
        assert certificate_to_pem(other.root) in await roots_in_place(mesh)


async def test_it_waits_for_bundle_and_token(mesh):
    await mesh.client.delete("ConfigMap", "meshproxy-root-bundle", "meshproxy-system")
    (mesh.directory / "token").unlink()
    await enable(mesh)
    listener = socket.create_server(("127.0.0.1", 0))
    await mesh.point_service_at(listener.getsockname()[1])
    starting = asyncio.ensure_future(Injector.start(mesh.options("--register"), listener))
    await asyncio.sleep(0)
    await mesh.publish(mesh.authority)
    mesh.write_token()
    injector = await asyncio.wait_for(starting, 30)
    try:
        assert await try_pod(mesh) == INJECTED
    finally:
        await injector.stop()


async def test_a_start_that_is_given_up_leaves_nothing_open(mesh):
    (mesh.directory / "token").unlink()
    listener = socket.create_server(("127.0.0.1", 0))
    starting = asyncio.ensure_future(Injector.start(mesh.options(), listener))
    await asyncio.sleep(0.05)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    listener.close()


async def test_certificates_are_renewed_and_admission_never_fails(tmp_path):
    clock = WallClock()
    async with signing_mesh(tmp_path, leaf_ttl=LEAF_TTL) as mesh:
        await enable(mesh)
        async with injecting(mesh, wall_clock=clock) as injector:
            first = await presented(injector, mesh)
            clock.ahead = 0.9 * LEAF_TTL
            await mesh.publish(mesh.authority, new_authority())  # news, which make it look at the clock
            while await presented(injector, mesh) == first:
                assert await try_pod(mesh) == INJECTED
            assert await try_pod(mesh) == INJECTED
    assert (mesh.services[0].issued, mesh.services[1].issued) == (1, 1)


async def test_a_new_ca_is_taken_over_and_admission_never_fails(tmp_path):
    clock = WallClock()
    async with signing_mesh(tmp_path, leaf_ttl=LEAF_TTL) as mesh:
        await enable(mesh)
        old, new = mesh.authority, new_authority()
        both = {certificate_to_pem(old.root), certificate_to_pem(new.root)}
        async with injecting(mesh, wall_clock=clock) as injector:
            first = await presented(injector, mesh)
            mesh.sign_with(new)
            clock.ahead = 0.9 * LEAF_TTL
            await mesh.publish(old, new)
            while await presented(injector, mesh) == first:
                assert await try_pod(mesh) == INJECTED
            assert await roots_in_place(mesh) == both
            mesh.serve_signing_with(new)
            await mesh.publish(new)
            while await roots_in_place(mesh) == both:
                assert await try_pod(mesh) == INJECTED
            assert await roots_in_place(mesh) == {certificate_to_pem(new.root)}
            assert await try_pod(mesh) == INJECTED


async def test_the_root_of_what_is_presented_stays_trusted_until_there_is_another(mesh):
    await enable(mesh)
    old, new = mesh.authority, new_authority()
    async with injecting(mesh):
        await mesh.publish(new)  # nobody can sign what leads there: the signing service is of the old CA

        async def trusts_both() -> bool:
            return await roots_in_place(mesh) == {certificate_to_pem(old.root), certificate_to_pem(new.root)}

        await until(trusts_both)
        assert await try_pod(mesh) == INJECTED


async def test_a_certificate_that_ended_without_a_successor_ends_the_process(tmp_path):
    clock = WallClock()
    async with signing_mesh(tmp_path, leaf_ttl=LEAF_TTL) as mesh:
        listener = socket.create_server(("127.0.0.1", 0))
        injector = await Injector.start(mesh.options("--register"), listener, wall_clock=clock)
        try:
            mesh.refuse_everybody()
            mesh.write_token()
            clock.ahead = LEAF_TTL
            await mesh.publish(mesh.authority, new_authority())  # news, which make it look at the clock
            with pytest.raises(CertificateEnded, match="name_not_granted"):
                await asyncio.wait_for(asyncio.shield(injector.failure), 30)
        finally:
            await injector.stop()


async def test_a_wall_clock_that_jumps_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "LONGEST_SLEEP", 0.05)
    clock = WallClock()
    async with (
        signing_mesh(tmp_path, leaf_ttl=LEAF_TTL) as mesh,
        injecting(mesh, wall_clock=clock) as injector,
    ):
        first = await presented(injector, mesh)
        clock.ahead = 0.9 * LEAF_TTL

        async def is_renewed() -> bool:
            return await presented(injector, mesh) != first

        await until(is_renewed)


async def test_what_others_do_to_the_registration_is_mended(mesh):
    async with injecting(mesh):
        right = await roots_in_place(mesh)
        configuration = await mesh.client.get(KIND, NAME)
        wrong = base64.b64encode(certificate_to_pem(new_authority().root)).decode()
        webhooks = objects(configuration, "webhooks")
        section(webhooks[1], "clientConfig")["caBundle"] = wrong
        await mesh.client.update(configuration)

        async def is_mended() -> bool:
            current = await mesh.client.get(KIND, NAME)
            bundles = {section(one, "clientConfig")["caBundle"] for one in objects(current, "webhooks")}
            return len(bundles) == 1

        await until(is_mended)
        assert await roots_in_place(mesh) == right
        await mesh.client.delete(KIND, NAME)

        async def is_there() -> bool:
            return any(
                section(one, "metadata")["name"] == NAME for one in (await mesh.client.list(KIND)).items
            )

        await until(is_there)
        assert await roots_in_place(mesh) == right


async def test_without_register_only_an_existing_registration_is_kept(mesh):
    async with injecting(mesh, "--log-level", "debug"):
        assert (await mesh.client.list(KIND)).items == []


async def test_http_answers(mesh):
    async with injecting(mesh) as injector:
        context = ssl.create_default_context(cadata=b"".join(await roots_in_place(mesh)).decode())
        url = f"https://127.0.0.1:{injector.port}"
        name = {"sni_hostname": "injector.meshproxy-system.svc"}
        async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as http:

            async def ask(method: str, path: str, content: bytes = b"") -> int:
                request = http.build_request(method, path, content=content, extensions=name)
                return (await http.send(request)).status_code

            assert await ask("GET", "/healthz") == 200
            assert await ask("GET", "/readyz") == 200
            assert await ask("GET", "/inject") == 405
            assert await ask("POST", "/elsewhere") == 404
            assert await ask("POST", "/inject", b"rubbish") == 400
            assert await ask("POST", "/inject", b"{}") == 400
            assert await ask("POST", "/inject", b"[" * 100_000) == 400
            assert await ask("POST", "/inject", b" " * (MAX_BODY + 1)) == 413
