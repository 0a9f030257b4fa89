"""Answers kept for as long as they say (pure): bounded, negative ones too (RFC 2308), least recently used go
first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from meshproxy.dns.message import ANY, NOERROR, NXDOMAIN, Answer, Question


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What is kept and how long. A `max_entries` of 0 keeps nothing."""

    max_entries: int = 2048
    max_answer_size: int = 4096
    """Bytes of names and data in one answer; what is bigger is not kept, so that all of it is below 8 MiB."""
    max_ttl: int = 3600
    """Seconds. A wrong answer does not outlive this."""
    max_negative_ttl: int = 300
    """Seconds."""


@dataclass(frozen=True, slots=True)
class _Entry:
    answer: Answer
    kept_at: float
    expires_at: float


class DnsCache:
    """By question. `now` is monotonic."""

    def __init__(self, settings: CacheSettings | None = None) -> None:
        self._settings = settings or CacheSettings()
        self._entries: OrderedDict[tuple[bytes, int], _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, question: Question, now: float) -> tuple[Answer, int] | None:
        """(the answer, its age in whole seconds)."""
        key = question.key
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires_at:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry.answer, int(now - entry.kept_at)

    def keep(self, question: Question, answer: Answer, now: float) -> None:
        """Remember `answer` if it says for how long."""
        ttl = self._ttl(answer, question.type)
        if ttl <= 0 or _size(answer) > self._settings.max_answer_size:
            return
        self._entries[question.key] = _Entry(answer, now, now + ttl)
        self._entries.move_to_end(question.key)
        while len(self._entries) > self._settings.max_entries:
            self._entries.popitem(last=False)

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
    return sum(len(record.name) + len(record.data) for record in answer.records)
