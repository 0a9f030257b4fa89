"""Keeps `caBundle` of our registration such that the API server can always verify us.

It is the mesh's published bundle together with the root of the certificate that is being presented: while a
CA is replaced, neither a bundle nor a certificate that changes first breaks admission.
"""

import asyncio
import base64
import logging

from certs.bundle import TrustBundle
from certs.errors import CertificateError
from certs.svid import certificate_to_pem
from control_plane.client import ApiClient, Conflict, NotFound, WatchEvent
from injector.certificate import IssuedCertificate
from injector.manifest import Manifest, section
from injector.registration import NAME, registration, with_address, with_ca_bundle

_log = logging.getLogger(__name__)

_ATTEMPTS = 8


def ca_bundle(trust: TrustBundle, presented: IssuedCertificate) -> str:
    """Base64 of PEM; the order does not change while both stay."""
    roots = dict.fromkeys([*trust.roots, presented.root])
    return base64.b64encode(b"".join(map(certificate_to_pem, roots))).decode()


class Registration:
    """The configuration in the API, held to what it shall say."""

    def __init__(self, client: ApiClient, *, creates: bool, url: str = "") -> None:
        """`creates`: make the configuration when there is none, else whoever installs the mesh does. `url`:
        where we are called, if not at our Service; what an earlier one says is corrected."""
        self._client = client
        self._creates = creates
        self._url = url
        self._wanted = ""
        self._lock = asyncio.Lock()
        self.is_followed = asyncio.Event()
        """From here on `keep` learns of every change."""

    async def set(self, wanted: str) -> None:
        """From now on `wanted`; it is in place when this returns. Raises ApiError, httpx.TransportError."""
        self._wanted = wanted
        await self._put_in_place()

    async def keep(self) -> None:
        """Mend what others do to it, for ever."""
        await self._client.list_and_watch(
            "MutatingWebhookConfiguration", self._on_event, on_synced=self.is_followed.set
        )

    async def _on_event(self, event: WatchEvent) -> None:
        if section(event.object, "metadata").get("name") != NAME or not self._wanted:
            return
        if event.type == "DELETED" or self._corrected(event.object) != event.object:
            await self._put_in_place()

    async def _put_in_place(self) -> None:
        async with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    await self._try()
                except Conflict:
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return

    async def _try(self) -> None:
        try:
            current = await self._client.get("MutatingWebhookConfiguration", NAME)
        except NotFound:
            await self._create()
            return
        corrected = self._corrected(current)
        if corrected != current:
            await self._client.update(corrected)
            _log.info("caBundle of %s set", NAME)

    def _corrected(self, current: Manifest) -> Manifest:
        """Such that the API server reaches us, and can verify us."""
        if self._url:
            current = with_address(current, registration(self._wanted, self._url))
        return with_ca_bundle(current, self._wanted)

    async def _create(self) -> None:
        if not self._creates:
            _log.warning("there is no MutatingWebhookConfiguration %s: no pod is injected", NAME)
            return
        await self._client.create(registration(self._wanted, self._url))
        _log.info("%s registered", NAME)


class BundleReader:
    """The mesh's trust bundle, as the control plane publishes it, and news of it."""

    CONFIG_MAP = "meshproxy-root-bundle"
    KEY = "root-cert.pem"

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.changed = asyncio.Event()
        """Set at each change; whoever waits clears it."""
        self.current: TrustBundle | None = None
        self.is_followed = asyncio.Event()
        """From here on `follow` learns of every change."""

    async def read(self) -> TrustBundle | None:
        """None while it is not published. Raises ApiError, httpx.TransportError, CertificateError."""
        try:
            self._take(await self._client.get("ConfigMap", self.CONFIG_MAP, self._namespace))
        except NotFound:
            return None
        return self.current

    async def follow(self) -> None:
        """For ever."""
        await self._client.list_and_watch(
            "ConfigMap", self._on_event, namespace=self._namespace, on_synced=self.is_followed.set
        )

    def _on_event(self, event: WatchEvent) -> None:
        is_ours = section(event.object, "metadata").get("name") == self.CONFIG_MAP
        if not is_ours or event.type == "DELETED":
            return  # the control plane puts it back; meanwhile the old one counts
        try:
            self._take(event.object)
        except CertificateError as error:
            _log.warning("the published trust bundle is not taken over: %s", error)

    def _take(self, config_map: Manifest) -> None:
        text = section(config_map, "data").get(self.KEY)
        bundle = TrustBundle.parse(str(text or "").encode(), f"ConfigMap {self._namespace}/{self.CONFIG_MAP}")
        if bundle != self.current:
            self.current = bundle
            self.changed.set()
