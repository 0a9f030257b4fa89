"""Header blocks of HTTP/2 (HPACK, RFC 7541) (pure). [3]

Reading: a block that comes again is not decoded again. One that uses the dynamic table means the same as long
as the table stays; one that does not (nginx writes such, although it adds to the table) always means the
same, and adds the same. Both are remembered when they come a second time, with or without a last
`x-request-id`, which differs in every request and which this proxy's peers put last. Writing: only with what
every peer knows (the static table and literals), so that what was written once for some fields can be sent
again on any connection, and the reader's memory hits.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.h2 import huffman
from meshproxy.http.h2.error import COMPRESSION_ERROR, ConnectionFault, HeaderListTooLarge
from meshproxy.http.h2.static_table import FIELD_INDEX, NAME_INDEX, SIZE, STATIC, Field

Fields = tuple[Field, ...]

DEFAULT_TABLE_SIZE: Final = 4096
"""Bytes; SETTINGS_HEADER_TABLE_SIZE where nothing else was agreed (RFC 9113 section 6.5.2)."""
_ENTRY_OVERHEAD: Final = 32
"""RFC 7541 section 4.1."""
_MAX_SHIFT: Final = 28
"""An integer of more bits than this is no length and no index of anything here."""
_MAX_MEMORY: Final = 128
_MAX_KEPT: Final = 4096
"""Blocks remembered by a connection, and bytes of the longest one."""
_MAX_SEEN: Final = 1024
"""Hashes of blocks that came once."""
_ID_NAME: Final = b"\x00\x0cx-request-id"
_ID_LENGTH: Final = 36
ID_PREFIX: Final = _ID_NAME + bytes((_ID_LENGTH,))
"""A literal `x-request-id` with a UUID behind it, as this proxy writes it."""
_ID_BYTES: Final = len(ID_PREFIX) + _ID_LENGTH
ID_FIELD_NAME: Final = b"x-request-id"
NO_TABLE: Final = b"\x20"
"""At the start of a block: what we write uses no dynamic table from now on (RFC 7541 section 6.3). It never
did; a peer that allows less than `DEFAULT_TABLE_SIZE` insists on being told (RFC 9113 section 4.3.1)."""


class Block:
    """The fields of a header block, and what they were found to mean. Shared: only what it means is set."""

    __slots__ = ("closing", "fields", "opening", "trailers")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.opening: object = None
        """What the block is as the head of a message with a body; set by who interprets it."""
        self.closing: object = None
        """And as the head of one without."""
        self.trailers: object = None
        """And behind a body."""


class _Lasting:
    """A block that means the same whatever the table holds."""

    __slots__ = ("added", "block")

    def __init__(self, block: Block, added: Fields) -> None:
        self.block = block
        self.added = added
        """To the dynamic table."""


class BlockReader:
    """The decoding side of one connection."""

    __slots__ = (
        "_added",
        "_entries",
        "_is_changed",
        "_lasting",
        "_limit",
        "_maximum",
        "_memory",
        "_seen",
        "_size",
        "_table_limit",
        "_uses_table",
    )

    def __init__(self, *, max_list_bytes: int, table_size: int = DEFAULT_TABLE_SIZE) -> None:
        """`max_list_bytes`: fields of one block, counted as SETTINGS_MAX_HEADER_LIST_SIZE counts them.
        `table_size` is what we announced."""
        self._limit = max_list_bytes
        self._table_limit = table_size
        self._maximum = min(table_size, DEFAULT_TABLE_SIZE)
        self._entries: list[Field] = []
        """The newest last."""
        self._size = 0
        self._is_changed = False
        self._uses_table = False
        self._added: list[Field] = []
        """What the block being read changes, whether it depends on the dynamic table, and what it adds."""
        self._memory: dict[bytes, Block] = {}
        """Of blocks that are known by the table as it is."""
        self._lasting: dict[bytes, _Lasting] = {}
        self._seen: set[int] = set()

    def read(self, block: bytes) -> tuple[Block, bytes]:
        """A whole block -> (its fields, the value of a last `x-request-id` that is kept out of them).

        Raises ConnectionFault; HeaderListTooLarge for more than allowed.
        """
        cut = len(block) - _ID_BYTES
        request_id = b""
        if cut > 0 and block.startswith(ID_PREFIX, cut):
            key = block[:cut]
            request_id = block[cut + len(ID_PREFIX) :]
        else:
            key = block
        known = self._memory.get(key)
        if known is not None:
            return known, request_id
        lasting = self._lasting.get(key)
        if lasting is not None:
            if lasting.added:
                for field in lasting.added:
                    self._add(field)
                self._memory.clear()
            return lasting.block, request_id
        return self._read_new(block, key)

    def _read_new(self, block: bytes, key: bytes) -> tuple[Block, bytes]:
        """`key`: what of it is remembered by itself, if a field ends there."""
        self._is_changed = self._uses_table = False
        self._added = []
        try:
            fields, before_cut = self._decode(block, len(key))
        except HeaderListTooLarge:
            if self._is_changed:
                self._memory.clear()
            raise
        found, request_id = Block(fields), b""
        if before_cut >= 0 and before_cut < len(fields):
            found, request_id = Block(fields[:before_cut]), fields[before_cut][1]
        if self._is_changed:
            self._memory.clear()
        if before_cut >= 0 and len(key) <= _MAX_KEPT:
            self._remember(key, found)
        return found, request_id

    def _remember(self, key: bytes, found: Block) -> None:
        """From the second time on: heads that all differ leave nothing behind."""
        if self._is_changed and self._uses_table:
            return
        mark = hash(key)
        if mark not in self._seen:
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return
        if len(self._memory) + len(self._lasting) >= _MAX_MEMORY:
            self._memory.clear()
            self._lasting.clear()
        if self._uses_table:
            self._memory[key] = found
        else:
            self._lasting[key] = _Lasting(found, tuple(self._added))

    def _decode(self, block: bytes, cut: int) -> tuple[Fields, int]:
        """The fields, and how many end at `cut`; -1 when `cut` is inside one."""
        fields: list[Field] = []
        before_cut = -1
        total = 0
        position, end = 0, len(block)
        while position < end:
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 0x7F)
                field = self._field(index)
            elif first & 0x40:
                field, position = self._literal(block, position, 0x3F)
                self._added.append(field)
                self._add(field)
            elif first & 0x20:
                size, position = _integer(block, position, 0x1F)
                if fields:
                    raise ConnectionFault(COMPRESSION_ERROR, "a table size changes behind a field")
                self._resize(size)
                continue
            else:
                field, position = self._literal(block, position, 0x0F)
            total += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
            if total <= self._limit:
                fields.append(field)
            if position == cut:
                before_cut = len(fields)
        if total > self._limit:
            raise HeaderListTooLarge(f"the fields of a message take more than {self._limit} bytes")
        return tuple(fields), before_cut

    def _field(self, index: int) -> Field:
        if 0 < index <= SIZE:
            return STATIC[index]
        self._uses_table = True
        back = index - SIZE
        if not 0 < back <= len(self._entries):
            raise ConnectionFault(COMPRESSION_ERROR, f"no field has index {index}")
        return self._entries[-back]

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        index, position = _integer(block, position, mask)
        if index:
            name = self._field(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        return (name, value), position

    def _add(self, field: Field) -> None:
        self._is_changed = True
        self._size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        self._entries.append(field)
        self._evict()

    def _resize(self, size: int) -> None:
        if size > self._table_limit:
            raise ConnectionFault(COMPRESSION_ERROR, f"table size {size}: {self._table_limit} was announced")
        self._is_changed = self._uses_table = True
        self._maximum = size
        self._evict()

    def _evict(self) -> None:
        count = 0
        while self._size > self._maximum:
            name, value = self._entries[count]
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD
            count += 1
        if count:
            del self._entries[:count]


def _unfinished() -> ConnectionFault:
    return ConnectionFault(COMPRESSION_ERROR, "a header block ends inside a field")


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """RFC 7541 section 5.1 -> (value, position behind it). `mask` is the prefix's."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while position < len(block):
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7
        if shift > _MAX_SHIFT:
            raise ConnectionFault(COMPRESSION_ERROR, "an integer of a header block has no end")
    raise _unfinished()


def _string(block: bytes, position: int) -> tuple[bytes, int]:
    if position >= len(block):
        raise _unfinished()
    is_huffman = block[position] & 0x80
    length, position = _integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise _unfinished()
    data = block[position:end]
    return (huffman.decode(data) if is_huffman else data), end


# --- writing ---


def indexed(index: int) -> bytes:
    """A field of the static table."""
    return bytes((0x80 | index,))


def field_bytes(name: bytes, value: bytes) -> bytes:
    """One field: indexed where the static table has it, else a literal that leaves the table alone."""
    known = FIELD_INDEX.get((name, value))
    if known is not None:
        return indexed(known)
    index = NAME_INDEX.get(name, 0)
    if index:
        return _prefixed(index, 0x0F, 0) + _plain(value)
    return b"\x00%b%b" % (_plain(name), _plain(value))


def block_bytes(fields: Fields) -> bytes:
    """A whole block."""
    return b"".join([field_bytes(name, value) for name, value in fields])


def _plain(text: bytes) -> bytes:
    return _prefixed(len(text), 0x7F, 0) + text


def _prefixed(value: int, mask: int, flags: int) -> bytes:
    if value < mask:
        return bytes((flags | value,))
    out = bytearray((flags | mask,))
    value -= mask
    while value >= 0x80:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)
