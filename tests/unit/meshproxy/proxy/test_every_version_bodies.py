"""What messages are made of comes through whichever versions are on the two sides."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.meshproxy.proxy.either_version import Asked, Talk
from tests.unit.meshproxy.proxy.every_version import A, Versions, echo, never, versions
from tests.unit.meshproxy.proxy.harness import http_listener

__all__ = ["versions"]

MEBI = 1 << 20
ALL_BYTES = bytes(range(256))


@pytest.mark.parametrize("size", [0, 1, 16_385, 65_537, MEBI])
@pytest.mark.parametrize("is_length_told", [True, False])
async def test_bodies_of_all_sizes(versions: Versions, size: int, is_length_told: bool) -> None:
    body = (ALL_BYTES * (size // 256 + 1))[:size]
    async with versions.through(echo) as (mesh, client, server):
        if is_length_told:
            answer = await client.ask(b"/", method=b"POST", body=body)
        else:
            talk = await client.start(b"POST", b"/", end=False)
            await talk.send(body)
            await talk.end()
            answer = await talk.answer()
        assert (answer.status, answer.is_cut) == (200, False)
        assert answer.body == server.asked[0].body == body
        assert mesh.metric("istio_request_bytes_sum") == size
        assert mesh.metric("istio_response_bytes_sum") == size


async def test_an_answer_that_does_not_tell_its_length(versions: Versions) -> None:
    async def drip(asked: Asked) -> None:
        await asked.begin(200)
        for part in (b"one ", b"two ", b"three"):
            await asked.send(part)
            await asyncio.sleep(0)
        await asked.end()

    async with versions.through(drip) as (_, client, _):
        for _ in range(2):
            answer = await client.ask()
            assert (answer.body, answer.is_cut) == (b"one two three", False)


async def test_trailers_in_both_directions(versions: Versions) -> None:
    async def sum_up(asked: Asked) -> None:
        body = await asked.whole()
        await asked.begin(200)
        await asked.send(body)
        await asked.end((b"x-sum", asked.trailers[b"x-sum"]), (b"x-other", b"1"))

    async with versions.through(sum_up) as (_, client, _):
        answer = await client.ask(b"/", method=b"PUT", body=b"abc", trailers=((b"x-sum", b"294"),))
        assert answer.body == b"abc"
        assert answer.trailers == {b"x-sum": b"294", b"x-other": b"1"}


async def test_answers_without_a_body(versions: Versions) -> None:
    async def answer_as_asked(asked: Asked) -> None:
        status = int(asked.path[1:])
        length = ((b"content-length", b"1234"),) if status != 204 else ()
        await asked.begin(status, (b"etag", b'"x"'), *length, end=True)

    async with versions.through(answer_as_asked) as (mesh, client, _):
        for method, path, length in (
            (b"HEAD", b"/200", b"1234"),
            (b"GET", b"/304", b"1234"),
            (b"GET", b"/204", None),
            (b"HEAD", b"/204", None),
            (b"HEAD", b"/404", b"1234"),
        ):
            for _ in range(2):
                answer = await client.ask(path, method=method)
                assert (answer.status, answer.body, answer.is_cut) == (int(path[1:]), b"", False)
                assert answer.fields.get(b"content-length") == length
                assert answer.fields[b"etag"] == b'"x"'
        assert mesh.metric("istio_requests_total") == 10


async def test_a_client_waits_for_a_word_to_go_on(versions: Versions) -> None:
    async def invite(asked: Asked) -> None:
        assert asked.fields[b"expect"] == b"100-continue"
        await asked.interim(100)
        await asked.interim(103)
        await echo(asked)

    async with versions.through(invite) as (_, client, server):
        expect = (b"expect", b"100-continue"), (b"content-length", b"4")
        talk = await client.start(b"POST", b"/", *expect, end=False)
        assert await talk.interim() == 100
        assert server.asked[0].body == b""
        await talk.send(b"body")
        await talk.end()
        answer = await talk.answer()
        assert (answer.status, answer.body, answer.interim) == (200, b"body", [100, 103])


async def test_a_client_that_waits_for_a_word_may_be_refused(versions: Versions) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.reply(417, body=b"no")

    async with versions.through(refuse) as (_, client, _):
        expect = (b"expect", b"100-continue"), (b"content-length", b"4")
        answer = await (await client.start(b"POST", b"/", *expect, end=False)).answer()
        assert (answer.status, answer.body, answer.interim) == (417, b"no", [])


async def test_an_answer_may_come_before_the_request_is_whole(versions: Versions) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.reply(413, body=b"too large")
        await asked.gone()

    async with versions.through(refuse) as (mesh, client, _):
        talk = await client.start(b"POST", b"/", (b"content-length", b"100000"), end=False)
        await talk.send(b"x" * 1000)
        answer = await talk.answer()
        assert (answer.status, answer.body, answer.is_cut) == (413, b"too large", False)
        assert mesh.live.clusters["a"].active_requests == 0


async def test_many_at_once(versions: Versions) -> None:
    async def shout(asked: Asked) -> None:
        await asked.whole()
        await asked.begin(200)
        for _ in range(50):
            await asked.send(asked.path * 1000)
        await asked.end()

    async with versions.through(shout) as (mesh, client, server):
        paths = [b"/%02d" % number for number in range(40)]
        answers = await asyncio.gather(*(client.ask(path) for path in paths))
        for path, answer in zip(paths, answers, strict=True):
            assert answer.body == path * 50_000
        assert len(server.asked) == 40
        assert mesh.live.clusters["a"].active_requests == 0


async def settled(seen: list[int]) -> int:
    """The last of `seen` once none has come for some turns."""
    before = -1
    while before != len(seen):
        before = len(seen)
        for _ in range(20):
            await asyncio.sleep(0.002)
    return sum(seen)


async def test_a_slow_reader_slows_its_server_and_no_other_client(versions: Versions) -> None:
    sent: list[int] = []
    total = 64 * MEBI

    async def flood(asked: Asked) -> None:
        if asked.path != b"/flood":
            await asked.reply(body=b"small")
            return
        await asked.begin(200, (b"content-length", b"%d" % total))
        while sum(sent) < total:
            await asked.send(b"x" * 65_536)
            sent.append(65_536)

    async with versions.through(flood) as (mesh, client, _):
        talk = await client.start(b"GET", b"/flood")
        await talk.some(1)
        assert await settled(sent) < 16 * MEBI
        others = versions.client_of(mesh)
        for _ in range(5):
            assert (await others.ask()).body == b"small"
        await others.close()


async def test_a_slow_server_slows_its_client(versions: Versions) -> None:
    sent: list[int] = []

    async def read_nothing(asked: Asked) -> None:
        asked.stop_reading()
        await never(asked)

    async def upload(talk: Talk) -> None:
        while True:
            await talk.send(b"x" * 65_536)
            sent.append(65_536)

    config = http_listener(A, timeout=0)
    async with versions.through(read_nothing, config) as (_, client, server):
        talk = await client.start(b"POST", b"/", end=False)
        uploading = asyncio.ensure_future(upload(talk))
        await server.until_asked()
        assert await settled(sent) < 32 * MEBI
        assert not uploading.done()
        uploading.cancel()
