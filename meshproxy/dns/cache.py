"""Answers kept for as long as they say (pure): bounded, negative ones too (RFC 2308), least recently used go
first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from meshproxy.dns.message import ANY, NOERROR, NXDOMAIN, Answer, Question

_ENTRY_SIZE: Final = 512
_RECORD_SIZE: Final = 176
"""Bytes that the objects around names and data take: many times the data of an address."""


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What is kept and how long. A `max_entries` of 0 keeps nothing."""

    max_entries: int = 2048
    max_answer_size: int = 65_536
    """Bytes of one answer in memory; what is bigger is not kept."""
    max_size: int = 8 << 20
    """Bytes of all answers in memory."""
    max_ttl: int = 3600
    """Seconds. A wrong answer does not outlive this."""
    max_negative_ttl: int = 300
    """Seconds."""


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    kept_at: float
    expires_at: float
    size: int


class DnsCache:
    """By question. `now` is monotonic."""

    def __init__(self, settings: CacheSettings | None = None) -> None:
        self._settings = settings or CacheSettings()
        self._entries: OrderedDict[tuple[bytes, int], _Entry] = OrderedDict()
        self.size = 0
        """Bytes of all answers in memory, about."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, question: Question, now: float) -> tuple[Answer, int] | None:
        """(the answer, its age in whole seconds)."""
        key = question.key
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires_at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.answer, int(now - entry.kept_at)

    def keep(self, question: Question, answer: Answer, now: float) -> None:
        """Remember `answer` if it says for how long."""
        key, ttl, size = question.key, self._ttl(answer, question.type), _size(answer)
        if ttl <= 0 or size > self._settings.max_answer_size:
            return
        self._drop(key)
        self._entries[key] = _Entry(answer, now, now + ttl, size)
        self.size += size
        while len(self._entries) > self._settings.max_entries or self.size > self._settings.max_size:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[bytes, int]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size

    def _ttl(self, answer: Answer, kind: int) -> int:
        is_settled = answer.rcode in (NOERROR, NXDOMAIN)
        has_data = any(kind in (record.type, ANY) for record in answer.records)
        if not is_settled or not (has_data or answer.soa):
            return 0  # nothing is there, and nobody says for how long (RFC 2308 section 5)
        records = answer.records if answer.soa is None else (*answer.records, answer.soa)
        least = min((record.ttl for record in records), default=0)
        if answer.soa is not None:
            return min(least, self._settings.max_negative_ttl)
        return min(least, self._settings.max_ttl)


def _size(answer: Answer) -> int:
    return _ENTRY_SIZE + sum(
        _RECORD_SIZE + len(record.name) + len(record.data)
        for record in (*answer.records, answer.soa)
        if record
    )
