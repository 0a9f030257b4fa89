"""A client and a server whose tests do not say which version of HTTP they speak.

`Client.start` makes a `Talk`, a request whose answer is read as it comes; `Server` gives each request to a
handler as an `Asked`. Names of fields are lower case, fields of one name are joined by `, `.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from meshproxy.config.model import Endpoint

Field = tuple[bytes, bytes]
LIMIT = 30.0
"""Seconds after which a test that waits for its peer fails."""


def joined(fields: list[Field]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        name = name.lower()
        found[name] = found[name] + b", " + value if name in found else value
    return found


@dataclass
class Answer:
    status: int = 0
    fields: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    interim: list[int] = field(default_factory=list)
    is_cut: bool = False
    """It ended before its end."""


class Talk(ABC):
    """One request of a client. A request without body is whole from the beginning."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """More of the body, as fast as it is taken."""

    @abstractmethod
    async def end(self, *trailers: Field) -> None: ...

    @abstractmethod
    async def interim(self) -> int:
        """The status of the next interim answer."""

    @abstractmethod
    async def some(self, size: int) -> None:
        """Until so much of the answer's body was read; no more of it is until `answer`."""

    @abstractmethod
    async def answer(self) -> Answer: ...

    @abstractmethod
    async def leave(self) -> None:
        """Want no answer any more."""


class Client(ABC):
    @abstractmethod
    async def start(self, method: bytes, path: bytes, *fields: Field, end: bool = True) -> Talk:
        """`end`: it has no body."""

    @abstractmethod
    async def close(self) -> None: ...

    async def ask(
        self,
        path: bytes = b"/",
        *fields: Field,
        method: bytes = b"GET",
        body: bytes | None = None,
        trailers: tuple[Field, ...] = (),
    ) -> Answer:
        """One whole exchange. A body has its length told, unless there are trailers."""
        if body is None:
            return await (await self.start(method, path, *fields)).answer()
        if not trailers:
            fields = (*fields, (b"content-length", b"%d" % len(body)))
        talk = await self.start(method, path, *fields, end=False)
        await talk.send(body)
        await talk.end(*trailers)
        return await talk.answer()


class Asked(ABC):
    """One request as a server sees it."""

    method: bytes
    path: bytes
    authority: bytes
    fields: dict[bytes, bytes]

    @property
    @abstractmethod
    def body(self) -> bytes:
        """As far as it is here."""

    @property
    @abstractmethod
    def trailers(self) -> dict[bytes, bytes]: ...

    @abstractmethod
    async def whole(self) -> bytes:
        """The body, once all of it is here."""

    @abstractmethod
    async def gone(self) -> None:
        """Until whoever asked has given it up."""

    @abstractmethod
    async def interim(self, status: int) -> None: ...

    @abstractmethod
    async def begin(self, status: int, *fields: Field, end: bool = False) -> None:
        """The answer's head; `end`: nothing comes behind it."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """More of the answer's body, as fast as it is taken."""

    @abstractmethod
    async def end(self, *trailers: Field) -> None: ...

    @abstractmethod
    async def cut(self) -> None:
        """End it where it is, as a failure."""

    @abstractmethod
    def stop_reading(self) -> None: ...

    async def reply(self, status: int = 200, *fields: Field, body: bytes = b"") -> None:
        """A whole answer whose length is told."""
        await self.begin(status, *fields, (b"content-length", b"%d" % len(body)), end=not body)
        if body:
            await self.send(body)
            await self.end()


Handler = Callable[[Asked], Awaitable[None]]


class Server(ABC):
    """What it was asked, in the order in which it came, is in `asked`."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def stop(self) -> None: ...

    @property
    @abstractmethod
    def endpoint(self) -> Endpoint: ...

    async def until_asked(self, count: int = 1) -> Asked:
        """The request that is the `count`th."""
        async with asyncio.timeout(LIMIT):
            while len(self.asked) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        return self.asked[count - 1]
