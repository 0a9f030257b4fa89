"""Regular expressions from configuration, against bytes that a client chose (pure).

They are RE2's, as in Envoy: time is linear in the text whatever the pattern, so no request can stall the
data path. Python's `re` backtracks and is not used. The wheel is imported when the first pattern is
compiled: a sidecar without one never loads it. Patterns and texts are UTF-8, as Envoy reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshproxy.config.head_edit import RegexSubstitution
from meshproxy.errors import ConfigError

if TYPE_CHECKING:
    import re2

_RANGE_LENGTH: Final = 64
"""Bytes of the literal start of a pattern that are of use."""


class Regex:
    """A compiled pattern."""

    __slots__ = ("_pattern", "groups", "literal_start")

    def __init__(self, pattern: str) -> None:
        """Raises ConfigError for a pattern that RE2 does not take."""
        self._pattern = _compile(pattern)
        self.groups = self._pattern.groups
        self.literal_start = _literal_start(self._pattern)
        """What every text that matches as a whole starts with; often empty."""

    def matches(self, text: bytes) -> bool:
        """Whether the whole of `text` matches."""
        return self._pattern.fullmatch(text) is not None


class Substitution:
    """`RegexMatchAndSubstitute`, compiled: every match is replaced, as RE2's GlobalReplace does."""

    __slots__ = ("_parts", "_regex")

    def __init__(self, settings: RegexSubstitution) -> None:
        """Raises ConfigError for a bad pattern, and for a substitution that names a group it has not."""
        self._regex = _compile(settings.pattern)
        self._parts = _substitution_parts(settings.substitution, self._regex.groups)

    def apply(self, text: bytes) -> bytes:
        pieces: list[bytes] = []
        end = -1
        start = 0
        for match in self._regex.finditer(text):
            begin, stop = match.span()
            if begin == stop == end:
                continue  # an empty match right behind the last one is none
            pieces.append(text[start:begin])
            pieces += [part if isinstance(part, bytes) else match.group(part) or b"" for part in self._parts]
            start = end = stop
        pieces.append(text[start:])
        return b"".join(pieces)


def _compile(pattern: str) -> re2._Regexp:
    try:
        import re2
    except ImportError as error:
        raise ConfigError(
            f"regular expression {pattern!r}: the package google-re2 is missing; install meshproxy[sidecar]"
        ) from error
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern.encode(), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace")
        raise ConfigError(
            f"regular expression {pattern!r}: {reason}; write one that RE2 takes (no look-around, no "
            "back-references)"
        ) from error


def _literal_start(pattern: re2._Regexp) -> bytes:
    """RE2 gives bounds between which every text it matches as a whole lies: what they share, all share."""
    import re2

    try:
        low, high = pattern.possiblematchrange(_RANGE_LENGTH)
    except re2.error:
        return b""
    length = 0
    for first, second in zip(low, high, strict=False):
        if first != second:
            break
        length += 1
    start: bytes = low[:length]
    return start


def _substitution_parts(substitution: str, groups: int) -> tuple[bytes | int, ...]:
    """Literal bytes and numbers of groups, in order."""
    parts: list[bytes | int] = []
    text = substitution.encode()
    while text:
        literal, backslash, rest = text.partition(b"\\")
        parts.append(literal)
        if not backslash:
            break
        mark, text = rest[:1], rest[1:]
        if mark == b"\\":
            parts.append(mark)
        elif mark.isdigit() and int(mark) <= groups:
            parts.append(int(mark))
        else:
            raise ConfigError(
                f"substitution {substitution!r}: \\{mark.decode('utf-8', 'replace')} is no group of its "
                f"pattern, which has {groups}; write \\0 to \\{min(groups, 9)}, or \\\\ for a backslash"
            )
    return tuple(part for part in parts if part != b"")
