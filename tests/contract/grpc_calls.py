"""Calls of every kind, and what `EchoServer` answers to them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio

from tests.contract.grpc_app import SERVICE, EchoServer


async def parts(*texts: bytes) -> AsyncIterator[bytes]:
    for text in texts:
        yield text


async def all_kinds(channel: grpc.aio.Channel, app: EchoServer) -> None:
    """With metadata both ways; the first calls that `app` gets."""
    asked = channel.unary_unary(f"/{SERVICE}/Unary")(
        b"hello", metadata=(("x-a", "b"), ("x-b-bin", b"\0\xff"))
    )
    assert await asked == b"hello"
    assert dict(await asked.initial_metadata())["x-served"] == "yes"
    assert dict(await asked.trailing_metadata())["x-calls"] == "1"
    assert app.metadata["x-a"] == "b"
    assert app.metadata["x-b-bin"] == str(b"\0\xff")
    assert await channel.stream_unary(f"/{SERVICE}/Collect")(parts(b"a", b"b", b"c")) == b"abc"
    repeated = channel.unary_stream(f"/{SERVICE}/Repeat")(b"100 x")
    assert [one async for one in repeated] == [b"x"] * 100
    talk = channel.stream_stream(f"/{SERVICE}/Talk")()
    for word in (b"one", b"two"):
        await talk.write(word)
        assert await talk.read() == word.upper()
    await talk.done_writing()
    assert await talk.read() == grpc.aio.EOF
    assert await talk.code() == grpc.StatusCode.OK
