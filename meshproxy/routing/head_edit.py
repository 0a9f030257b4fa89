"""Changing a head that is passed on (pure): header fields, host and path, from bytes to bytes.

An edit takes `forward` of a head (its start line and field lines) and gives what to send instead. Heads
repeat, so results are remembered, in one bounded memory per route table.

Envoy's order: levels one after the other (cluster, route, virtual host, table, unless told otherwise); in
a level removals, then overwriting, then adding; host and path of a request last. Whether a field exists is
judged after the removals of its level and before its additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from meshproxy.config.head_edit import AppendAction, HeaderMutations
from meshproxy.routing.path_rewrite import TargetRewrite

MEMORY_ENTRIES: Final = 256
"""Per generation."""
MEMORY_HEAD: Final = 4096
"""Bytes of the longest head kept: with both generations at most 4 MiB a table."""

_Field = tuple[bytes, bytes]
"""(lower-case name, line without CRLF)."""
_OVERWRITES: Final = (AppendAction.OVERWRITE_IF_EXISTS_OR_ADD, AppendAction.OVERWRITE_IF_EXISTS)


class EditMemory:
    """Edited heads in two generations: what is used survives a flood of others."""

    __slots__ = ("_old", "_young")

    def __init__(self) -> None:
        self._young: dict[tuple[HeadEdit, bytes], bytes] = {}
        self._old: dict[tuple[HeadEdit, bytes], bytes] = {}

    def edited(self, edit: HeadEdit, head: bytes) -> bytes:
        key = (edit, head)
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key) or edit.make(head)
            if len(head) <= MEMORY_HEAD:
                self._keep(key, found)
        return found

    def _keep(self, key: tuple[HeadEdit, bytes], value: bytes) -> None:
        if len(self._young) >= MEMORY_ENTRIES:
            self._old, self._young = self._young, {}
        self._young[key] = value

    @property
    def size(self) -> int:
        """Entries of both generations."""
        return len(self._young) + len(self._old)


def compile_edit(
    levels: Sequence[HeaderMutations],
    memory: EditMemory,
    *,
    rewrite: TargetRewrite | None = None,
    host: str = "",
) -> HeadEdit | None:
    """None when nothing is changed. `levels` in the order of application."""
    used = [level for level in levels if level.add or level.remove]
    if not used and rewrite is None and not host:
        return None
    return HeadEdit(used, memory, rewrite, host)


class HeadEdit:
    """What one route, with one of its clusters, does to a request head or to a response head."""

    __slots__ = ("_host", "_levels", "_memory", "_rewrite")

    def __init__(
        self,
        levels: Sequence[HeaderMutations],
        memory: EditMemory,
        rewrite: TargetRewrite | None,
        host: str,
    ) -> None:
        """Use `compile_edit`."""
        self._levels = tuple(_CompiledLevel(level) for level in levels)
        self._memory = memory
        self._rewrite = rewrite
        self._host = host.encode()

    def apply(self, forward: bytes) -> bytes:
        """Start line and fields, each ended by CRLF, changed."""
        return self._memory.edited(self, forward)

    def make(self, forward: bytes) -> bytes:
        """`apply` without remembering."""
        lines = forward.split(b"\r\n")
        fields = [(line.partition(b":")[0].lower(), line) for line in lines[1:-1]]
        for level in self._levels:
            fields = level.apply(fields)
        if self._host:
            fields = [_with_host(field, self._host) for field in fields]
        start = lines[0] if self._rewrite is None else _with_target(lines[0], self._rewrite)
        return b"\r\n".join((start, *(line for _, line in fields), b""))


def _with_target(start_line: bytes, rewrite: TargetRewrite) -> bytes:
    method, target, version = start_line.split(b" ")
    return b"%b %b %b" % (method, rewrite(target), version)


def _with_host(field: _Field, host: bytes) -> _Field:
    return (field[0], b"host: " + host) if field[0] == b"host" else field


class _CompiledLevel:
    """The mutations of one level, ready to be applied."""

    __slots__ = ("_additions", "_overwrites", "_removed")

    def __init__(self, mutations: HeaderMutations) -> None:
        self._removed = frozenset(name.encode() for name in mutations.remove)
        options = [
            (option.action, option.name.encode(), b"%b: %b" % (option.name.encode(), option.value.encode()))
            for option in mutations.add
        ]
        self._overwrites = [option for option in options if option[0] in _OVERWRITES]
        self._additions = [option for option in options if option[0] not in _OVERWRITES]

    def apply(self, fields: list[_Field]) -> list[_Field]:
        fields = [field for field in fields if field[0] not in self._removed]
        present = {name for name, _ in fields}
        overwritten = {
            name: line
            for action, name, line in self._overwrites
            if action is AppendAction.OVERWRITE_IF_EXISTS_OR_ADD or name in present
        }
        if overwritten:
            fields = [field for field in fields if field[0] not in overwritten]
            fields += overwritten.items()
        for action, name, line in self._additions:
            if action is AppendAction.APPEND_IF_EXISTS_OR_ADD or name not in present:
                fields.append((name, line))
        return fields
