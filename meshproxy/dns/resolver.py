"""Where an answer comes from: the mesh's names, what was asked before, the servers of resolv.conf.

`known` answers without waiting, `ask` by asking others. What the table cannot say for sure goes to the
cluster's DNS: names of the cluster while no control plane is connected, because there may be new ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from meshproxy.clock import Clock
from meshproxy.config.name_table import NameTable
from meshproxy.dns import mesh_names
from meshproxy.dns.message import SERVFAIL, Answer, Question
from meshproxy.dns.name import text_of
from meshproxy.dns.upstream import Upstream
from meshproxy.errors import UpstreamError
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.telemetry.names import DNS_REQUESTS

_log = logging.getLogger(__name__)

MESH: Final = "mesh"
CACHE: Final = "cache"
UPSTREAM: Final = "upstream"
_CODES: Final = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}


class Resolver:
    """Answers questions of one pod."""

    def __init__(
        self, upstream: Upstream, metrics: MeshMetrics, *, is_current: Callable[[], bool], clock: Clock
    ) -> None:
        """`is_current`: whether the control plane tells of changes now."""
        self.table = NameTable()
        """Assign a new one to change it."""
        self._upstream = upstream
        self._metrics = metrics
        self._is_current = is_current
        self._clock = clock

    def known(self, question: Question) -> tuple[Answer, int] | None:
        """(answer, its age in seconds), if nobody need be asked."""
        found = mesh_names.answer(question, self.table)
        if found is None and self._is_current():
            found = mesh_names.absence(question, self.table)
        if found is not None:
            self._count(MESH, found)
            return found, 0
        kept = self._upstream.cache.find(question, self._clock.monotonic())
        if kept is not None:
            self._count(CACHE, kept[0])
        return kept

    async def ask(self, question: Question) -> Answer:
        """What the servers say; SERVFAIL when none does, except of names that the table can tell about."""
        try:
            found = await self._upstream.answer(question)
        except UpstreamError as error:
            _log.debug("dns: %s: %s", text_of(question.name), error)
            found = self._without_servers(question)
        self._count(UPSTREAM, found)
        return found

    def _without_servers(self, question: Question) -> Answer:
        """The last word of the control plane is better than none."""
        return mesh_names.absence(question, self.table) or Answer(SERVFAIL)

    def _count(self, source: str, answer: Answer) -> None:
        code = _CODES.get(answer.rcode, "OTHER")
        self._metrics.counter_of(DNS_REQUESTS.name, (source, code)).add(1)
