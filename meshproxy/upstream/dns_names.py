"""The endpoints of a DNS cluster: its names, looked up again and again. [6]

Every name has a task that sleeps between lookups. What was found last holds until something else is found: a
resolver that fails, or has no answer, takes no endpoint away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from meshproxy.config.dns import DnsSettings
from meshproxy.config.model import Endpoint
from meshproxy.upstream.lookup import of_family
from meshproxy.upstream.services import UpstreamServices

_log = logging.getLogger(__name__)

LOOKUP_TIMEOUT: Final = 10.0
"""Seconds after which a lookup has failed."""
MAX_ADDRESSES: Final = 256
"""Of one name; more are left out."""
_JITTER: Final = 0.1
"""Share of the interval added at random at most, so that proxies do not all ask at once."""


class DnsNames:
    """One cluster's. `on_change(endpoints)` hears of addresses that came or went."""

    __slots__ = ("_endpoints", "_found", "_name", "_on_change", "_services", "_settings", "_watchers")

    def __init__(
        self, name: str, services: UpstreamServices, on_change: Callable[[tuple[Endpoint, ...]], None]
    ) -> None:
        self._name = name
        self._services = services
        self._on_change = on_change
        self._settings = DnsSettings()
        self._endpoints: tuple[Endpoint, ...] = ()
        self._found: dict[str, list[str]] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}

    def update(
        self, settings: DnsSettings, endpoints: Sequence[Endpoint], *, is_started: bool
    ) -> tuple[Endpoint, ...]:
        """Follow these names; what is known of them already. Without `is_started` nothing is looked up."""
        if settings != self._settings:
            self.stop()
        self._settings, self._endpoints = settings, tuple(endpoints)
        names = {endpoint.address for endpoint in endpoints if not is_address(endpoint.address)}
        for name in self._watchers.keys() - names:
            self._watchers.pop(name).cancel()
            self._found.pop(name, None)
        if is_started:
            for name in sorted(names - self._watchers.keys()):
                watch = self._watch(name, settings)
                self._watchers[name] = self._services.tasks.start(watch, f"lookups of {name}")
        return self._resolved()

    def stop(self) -> None:
        """No more lookups; what was found is forgotten."""
        for watcher in self._watchers.values():
            watcher.cancel()
        self._watchers, self._found = {}, {}

    def _resolved(self) -> tuple[Endpoint, ...]:
        """Every address of every name; an address that two names have stands once."""
        found: dict[tuple[str, int], Endpoint] = {}
        for endpoint in self._endpoints:
            host = endpoint.address
            for address in [host] if is_address(host) else self._found.get(host, ()):
                found.setdefault((address, endpoint.port), replace(endpoint, address=address))
        return tuple(found.values())

    async def warm(self) -> None:
        """Look every name up once, before anybody asks for it; what is found holds when this is cut short."""
        names = [one.address for one in self._endpoints if not is_address(one.address)]
        await asyncio.gather(*(self._look_up(name, self._settings) for name in dict.fromkeys(names)))

    async def _watch(self, name: str, settings: DnsSettings) -> None:
        services = self._services
        while True:
            await self._look_up(name, settings)
            pause = settings.refresh_rate * (1.0 + _JITTER * services.rng.random())
            await services.sleep(pause)

    async def _look_up(self, name: str, settings: DnsSettings) -> None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT):
                addresses = of_family(await self._services.look_up(name), settings.family)[:MAX_ADDRESSES]
        except (OSError, TimeoutError) as error:
            self._services.on_lookup(self._name, "failure")
            level = logging.DEBUG if name in self._found else logging.WARNING
            _log.log(level, "%s: %s not found: %s", self._name, name, error)
            return
        self._services.on_lookup(self._name, "success" if addresses else "empty")
        if addresses:
            self._take(name, addresses, settings)

    def _take(self, name: str, addresses: list[str], settings: DnsSettings) -> None:
        before = self._found.get(name, [])
        if settings.is_logical:
            found = before if before and before[0] in addresses else addresses[:1]
        else:
            found = sorted(addresses)
        if found != before:
            self._found[name] = found
            self._on_change(self._resolved())


def is_address(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
