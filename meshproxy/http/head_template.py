"""Request heads that differ in little: the rest is remembered, what varies is read alone (pure). [3]

Most heads a client sends are new as a whole (another path, another trace) and old but for one or two lines.
A *template* is the meaning of all field lines but those; it is found by their bytes, with a mark where a line
was cut out, and filled in with the request line and the cut lines. Which field names vary is learned: a name
whose lines keep missing the line memory is cut out from then on.

What a template yields is what `RequestHeads.parse` yields for the same bytes, or nothing: whatever is not
plain (another version, an absolute target, a Connection field with names, a bad value) is left to `parse`,
which also says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from meshproxy.http.bounded_memory import MAX_KEPT_HEAD, BoundedMemory, ParsedMemory
from meshproxy.http.events import Headers, RequestHead
from meshproxy.http.field_line import REQUEST_KINDS, Field
from meshproxy.http.limits import HeadLimits
from meshproxy.http.syntax import FIELD_VALUE, TARGET, is_token

PLAIN_METHODS: Final = frozenset(
    {b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE"}
)
"""A head's other facts do not depend on which of these it is."""
REQUEST_ID: Final = b"x-request-id"
MARK: Final = b"\0"
"""Stands for a line cut out. A peer that sends it itself gets a template with another number of holes, which
is not used."""
_MISSES_TO_VARY: Final = 32
_MAX_VARYING: Final = 4
"""Field names cut out; each costs one search in a head not seen before."""
_MAX_COUNTED: Final = 64

Cut = tuple[int, int, bytes, bytes]
"""(start of the CRLF before the line, end of the line, lower-case name, value)."""


class HeadTemplate:
    """A head without its request line and without some field lines. Shared: never mutated."""

    __slots__ = ("forward", "head", "headers", "lines")

    def __init__(
        self, head: RequestHead, headers: tuple[Headers, ...], forward: tuple[bytes, ...], lines: int
    ) -> None:
        self.head = head
        """Everything that does not depend on what was cut out."""
        self.headers = headers
        """Fields before, between and behind the holes: one more than there are holes."""
        self.forward = forward
        self.lines = lines
        """Field lines without the holes."""

    def fill(self, data: bytes, line_end: int, method: bytes, target: bytes, cuts: list[Cut]) -> RequestHead:
        """The head whose request line is `data[:line_end]`."""
        head = self.head.copy()
        head.method = method
        head.target = target
        head.path = target.partition(b"?")[0].decode("ascii")
        if not cuts:
            head.headers = self.headers[0]
            head.forward = data[: line_end + 2] + self.forward[0]
            return head
        headers = self.headers[0]
        forward = [data[: line_end + 2], self.forward[0]]
        for (start, end, name, value), behind, sent in zip(
            cuts, self.headers[1:], self.forward[1:], strict=True
        ):
            if name != REQUEST_ID:
                headers = (*headers, (name, value), *behind)
                forward.append(data[start + 2 : end + 2])
            else:
                headers = headers + behind
            forward.append(sent)
        head.headers = headers
        head.forward = b"".join(forward)
        return head


class VaryingNames:
    """Learns which field names take a new value in nearly every request."""

    __slots__ = ("_misses", "needles")

    def __init__(self) -> None:
        self.needles: tuple[tuple[bytes, bytes], ...] = ()
        """(CRLF, name as sent, colon, blank; lower-case name) of each."""
        self._misses: dict[bytes, int] = {}

    def missed(self, line: bytes) -> None:
        """A field line was not known."""
        name, colon, _ = line.partition(b": ")
        lower = name.lower()
        if (
            not colon
            or not is_token(name)  # `name:value: rest` is the field `name`, whatever that means
            or (lower in REQUEST_KINDS and lower != REQUEST_ID)
            or 0x5F in lower  # an underscore
            or lower == b"close"
        ):
            return  # it has a meaning, or looks like a twin of one that has, or Connection may name it
        misses = self._misses.get(name, 0) + 1
        if misses < _MISSES_TO_VARY:
            if len(self._misses) >= _MAX_COUNTED:
                self._misses.clear()
            self._misses[name] = misses
            return
        self._misses.pop(name, None)
        needle = b"\r\n%b: " % name
        kept = tuple(one for one in self.needles if one[0] != needle)
        self.needles = ((needle, lower), *kept)[:_MAX_VARYING]


class HeadTemplates:
    """The templates of one set of limits."""

    __slots__ = ("_compile", "_knows", "_max_fields", "_max_target", "memory", "varying")

    def __init__(
        self,
        fields: ParsedMemory[Field],
        limits: HeadLimits,
        compile_lines: Callable[[list[bytes]], HeadTemplate | None],
    ) -> None:
        """`compile_lines(field lines, MARK for a hole)` raises RemoteProtocolError, or gives None for lines
        that are not plain."""
        self.memory: BoundedMemory[HeadTemplate] = BoundedMemory(
            max_entries=512, max_bytes=262144, max_key=MAX_KEPT_HEAD
        )
        self.varying = VaryingNames()
        self._compile = compile_lines
        self._knows = fields.knows
        self._max_fields = limits.max_fields
        self._max_target = limits.max_target_bytes

    def read(self, data: bytes, end: int) -> tuple[RequestHead, bytes] | None:
        """(head, its `x-request-id` or empty) of the block `data[:end]`, behind which CRLF follows; None: it
        is not plain. Raises RemoteProtocolError."""
        line_end = data.find(b"\r\n")
        parts = data[:line_end].split(b" ")
        if len(parts) != 3 or line_end >= end:
            return None
        method, target, version = parts
        if (
            version != b"HTTP/1.1"
            or method not in PLAIN_METHODS
            or target[:1] != b"/"
            or len(target) > self._max_target
            or target.translate(None, TARGET)
        ):
            return None
        cuts = self._cut(data, line_end, end)
        if cuts is None:
            return None
        key = _key(data, line_end, end, cuts)
        template = self.memory.get(key) or self.memory.recall(key)
        if template is None:
            template = self._learn(key)
        if (
            template is None
            or len(template.forward) != len(cuts) + 1
            or template.lines + len(cuts) > self._max_fields
        ):
            return None
        request_id = b""
        for cut in cuts:
            if cut[2] == REQUEST_ID:
                request_id = cut[3]
        return template.fill(data, line_end, method, target, cuts), request_id

    def _cut(self, data: bytes, line_end: int, end: int) -> list[Cut] | None:
        """The lines that vary, in their order; None when one of them is not plain."""
        cuts: list[Cut] = []
        for needle, name in self.varying.needles:
            start = data.find(needle, line_end, end)
            if start < 0:
                continue
            stop = data.find(b"\r\n", start + 2)
            value = data[start + len(needle) : stop]
            if not value or value != value.strip(b" \t") or value.translate(None, FIELD_VALUE):
                return None
            cuts.append((start, stop, name, value))
        if len(cuts) > 1:
            cuts.sort()
        return cuts

    def _learn(self, key: bytes) -> HeadTemplate | None:
        lines = key.split(b"\r\n")
        del lines[0]  # what stands before the first CRLF: nothing
        if len(lines) > self._max_fields:
            return None
        new = [line for line in lines if line != MARK and not self._knows(line)]
        template = self._compile(lines)
        for line in new:  # only now: it is a field line
            self.varying.missed(line)
        if template is not None:
            self.memory.offer(key, template)
        return template


def _key(data: bytes, line_end: int, end: int, cuts: list[Cut]) -> bytes:
    """The field lines with a mark for each cut."""
    if not cuts:
        return data[line_end:end]
    parts = []
    for start, stop, _, _ in cuts:
        parts.append(data[line_end:start])
        line_end = stop
    parts.append(data[line_end:end])
    return b"\r\n\0".join(parts)
