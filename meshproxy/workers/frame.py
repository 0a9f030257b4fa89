"""Messages as bytes (pure): a length, then a pickle, on a socket pair that only the two processes hold.

Both ends are the same program under the same uid, started one by the other, so the values need no schema of
their own. Reading is still held to classes that messages are made of: the worker faces hostile peers, and a
worker that was taken over must not be able to run code in the main process by what it answers.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator
from typing import Final

from meshproxy.errors import LocalProtocolError

_LENGTH: Final = struct.Struct("!I")
MAX_BYTES: Final = 256 * 1024 * 1024
"""Of one message. The whole configuration of 1,000 services is about 10 MiB."""

_MODULES: Final = frozenset(
    {
        "meshproxy.identity.identity",
        "meshproxy.telemetry.labels",
        "meshproxy.telemetry.transfer",
        "meshproxy.workers.config_change",
        "meshproxy.workers.message",
        "certs.spiffe_id",
    }
)
"""Where the classes of messages are from: values, whose making does nothing else."""
_CONFIG: Final = "meshproxy.config."
"""And every module of this package, which holds frozen values only."""


def encode(message: object) -> bytes:
    """`message` with its length before it. Raises LocalProtocolError for what cannot be sent."""
    try:
        content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise LocalProtocolError(f"{type(message).__name__} cannot go to another process: {error}") from error
    if len(content) > MAX_BYTES:
        raise LocalProtocolError(
            f"{type(message).__name__} takes {len(content)} bytes, above {MAX_BYTES}: have fewer services"
        )
    return _LENGTH.pack(len(content)) + content


class FrameReader:
    """Bytes as they come to whole messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """The messages that `data` completes. Raises LocalProtocolError for what is none; then the
        connection is of no more use."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if length > MAX_BYTES:
                raise LocalProtocolError(f"a message of {length} bytes is announced, above {MAX_BYTES}")
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                return
            content = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield _decode(content)


class _ValueUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module not in _MODULES and not module.startswith(_CONFIG)) or "." in name:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a message")
        found = super().find_class(module, name)
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is no class of its module")
        return found


def _decode(content: bytes) -> object:
    try:
        return _ValueUnpickler(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise LocalProtocolError(f"a message of {len(content)} bytes cannot be read: {error}") from error
