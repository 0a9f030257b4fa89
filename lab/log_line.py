"""Lines of container logs as the CRI has them, and what of them a reader asks for (pure).

`2026-01-01T00:00:00.000000001Z stdout F text`: time (RFC 3339, nanoseconds, UTC), stream, whether the line is
full (`F`) or goes on in the next (`P`), text. Source: kubernetes/design-proposals kubelet-cri-logging.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

LONGEST_LINE = 16 * 1024
"""Bytes of text in one line; what is longer is written as several, all but the last marked partial."""
_FIELDS = 3


def log_time(nanoseconds: int) -> str:
    """RFC 3339 with nine digits, UTC; `nanoseconds` since the epoch."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


class LineSplitter:
    """Turns what one stream writes into lines of a log."""

    def __init__(self, stream: str) -> None:
        """`stream` is `stdout` or `stderr`."""
        self._stream = stream.encode()
        self._rest = b""

    def feed(self, data: bytes, now: str) -> bytes:
        """The finished lines, written at time `now` (RFC 3339)."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        finished = b"".join(self._line(line, now) for line in lines)
        while len(self._rest) > LONGEST_LINE:
            finished += self._entry(self._rest[:LONGEST_LINE], now, b"P")
            self._rest = self._rest[LONGEST_LINE:]
        return finished

    def end(self, now: str) -> bytes:
        """The line that was begun and not ended, if there is one."""
        rest, self._rest = self._rest, b""
        return self._line(rest, now) if rest else b""

    def _line(self, line: bytes, now: str) -> bytes:
        parts = [line[start : start + LONGEST_LINE] for start in range(0, len(line), LONGEST_LINE)] or [b""]
        tags = [b"P"] * (len(parts) - 1) + [b"F"]
        return b"".join(self._entry(part, now, tag) for part, tag in zip(parts, tags, strict=True))

    def _entry(self, text: bytes, now: str, tag: bytes) -> bytes:
        return b"%b %b %b %b\n" % (now.encode(), self._stream, tag, text)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What a reader asks for, by the names of `PodLogOptions`."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: str = ""
    """RFC 3339; lines from then on. Empty: all."""
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: str = "All"
    """`All`, `Stdout` or `Stderr`."""


def shown_line(line: bytes, query: LogQuery) -> bytes:
    """The text of a log's line as its reader sees it; empty when it is left out."""
    parts = line.rstrip(b"\n").split(b" ", _FIELDS)
    if len(parts) <= _FIELDS:
        return b""
    time, stream, tag, text = parts
    if query.stream != "All" and query.stream.lower().encode() != stream:
        return b""
    if query.since and time.decode("ascii", "replace") < query.since:
        return b""
    shown = text if tag.startswith(b"P") else text + b"\n"
    return time + b" " + shown if query.timestamps else shown


def tail_of(lines: Iterable[bytes], count: int | None) -> list[bytes]:
    """The last `count` full lines, with the partial ones before each; None: all of them."""
    found = list(lines)
    if count is None:
        return found
    ends = [number for number, line in enumerate(found) if not _is_partial(line)]
    if count >= len(ends) + 1:
        return found
    start = ends[-count - 1] + 1 if 0 < count < len(ends) else (0 if count else len(found))
    return found[start:]


def _is_partial(line: bytes) -> bool:
    parts = line.split(b" ", _FIELDS)
    return len(parts) > _FIELDS - 1 and parts[2].startswith(b"P")


def limited(chunks: Iterable[bytes], limit: int | None) -> Iterator[bytes]:
    """The chunks up to `limit` bytes in all."""
    left = limit
    for chunk in chunks:
        if left is None:
            yield chunk
            continue
        if left <= 0:
            return
        yield chunk[:left]
        left -= len(chunk)
