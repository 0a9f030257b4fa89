"""What peers do to a session besides plain faults: races with resets, windows of a byte, endless frames."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
)
from meshproxy.http.h2.frame import END_HEADERS, END_STREAM, frame
from meshproxy.http.h2.hpack import block_bytes
from meshproxy.http.h2.settings import H2Limits
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording, flood, server

BLOCK = block_bytes(REQUEST)
ANSWER = block_bytes(((b":status", b"200"),))


def head(stream_id: int = 1, flags: int = 0) -> bytes:
    return frame(frames.HEADERS, END_HEADERS | flags, stream_id, BLOCK)


def client(limits: H2Limits | None = None) -> Recording:
    session = Recording(limits, is_client=True)
    session.start()
    session.receive(frames.settings({}))
    session.take_output()
    return session


def test_answers_to_streams_given_up_harm_no_other_stream() -> None:
    """A client with many requests leaves: what was on its way for them arrives on a connection others use."""
    session = client()
    other = session.open()
    for stream in [session.open() for _ in range(3000)]:
        session.send_head(stream, BLOCK, end=True)
        session.reset(stream, CANCEL)
    session.take_output()
    for stream_id in range(3, 6000, 2):
        session.receive(frame(frames.HEADERS, END_HEADERS, stream_id, ANSWER))
        session.receive(frame(frames.DATA, END_STREAM, stream_id, b"late"))
    assert set(session.streams) == {other.id}
    assert session.take_output() == b""


def test_frames_for_streams_given_up_have_an_end() -> None:
    session = client()
    session.reset(session.open(), CANCEL)
    assert 9_000 < flood(session, frame(frames.DATA, 0, 1, b""), 11_000) <= 10_000


@pytest.mark.parametrize("kind", [frames.PING, frames.SETTINGS])
def test_acknowledgements_of_nothing_have_an_end(kind: int) -> None:
    payload = bytes(8) if kind == frames.PING else b""
    assert 9_000 < flood(server(), frame(kind, frames.ACK, 0, payload), 11_000) <= 10_000


def test_a_byte_at_a_time_has_an_end() -> None:
    """'Data dribble' (CVE-2019-9511): each byte of window costs us a frame."""
    session = server()
    session.receive(frames.settings({4: 0}) + head(1, END_STREAM))
    session.send_head(session.streams[1], ANSWER, end=False)
    session.send_data(session.streams[1], bytes(100_000), end=True)
    assert 9_000 < flood(session, frames.window_update(1, 1), 11_000) <= 10_000


def test_windows_of_a_kilobyte_have_none() -> None:
    session = server(H2Limits(control_budget=10))
    session.receive(frames.settings({4: 0}) + head(1, END_STREAM))
    session.send_head(session.streams[1], ANSWER, end=False)
    session.send_data(session.streams[1], bytes(50_000), end=True)
    assert flood(session, frames.window_update(1, 1024), 48) == 48


def test_many_values_in_one_settings_frame_cost_as_many_frames() -> None:
    session = server(H2Limits(control_budget=100))
    values = b"".join(b"\0\x04" + (65_535 + turn % 2).to_bytes(4, "big") for turn in range(480))
    assert flood(session, frame(frames.SETTINGS, 0, 0, values), 10) == 1


def test_of_several_initial_windows_the_last_one_counts() -> None:
    session = server()
    session.receive(head())
    session.receive(frame(frames.SETTINGS, 0, 0, b"\0\x04\0\0\0\x05\0\x04\x7f\xff\xff\xff\0\x04\0\0\0\x07"))
    assert session.streams[1].send_window == 7


def test_new_streams_are_refused_while_heads_are_not_read() -> None:
    """No window holds HEADERS back: answers without a body would gather for ever."""
    session = server(H2Limits(max_unsent_heads=100))
    session.transport_full(is_full=True)
    for stream_id in range(1, 21, 2):
        session.receive(head(stream_id, END_STREAM))
        if stream_id in session.streams:
            session.send_head(session.streams[stream_id], ANSWER + bytes(40), end=True)
    assert [told[1] for told in session.take() if told[0] == "head"] == [1, 3, 5]
    assert session.take_output().endswith(frames.rst_stream(19, REFUSED_STREAM))
    session.transport_full(is_full=False)
    session.receive(head(21))
    assert set(session.streams) == {21}


def test_a_goaway_never_names_a_higher_stream_than_before() -> None:
    """RFC 9113 section 6.8. What came behind the first one is not served, and may be tried elsewhere."""
    session = server()
    session.receive(head(1))
    session.refuse_new()
    session.receive(head(3) + frame(frames.DATA, 0, 3, b"x") + frame(frames.DATA, END_STREAM, 3, b""))
    assert session.streams.keys() == {1}
    assert session.take_output() == frames.goaway(1, 0)
    with pytest.raises(ConnectionFault):
        session.receive(frame(frames.PUSH_PROMISE, END_HEADERS, 1, bytes(4)))
    assert session.take_output()[9:17] == (1).to_bytes(4, "big") + PROTOCOL_ERROR.to_bytes(4, "big")


def test_streams_that_were_answered_may_be_left_as_often_as_one_likes() -> None:
    """How a watch ends in gRPC: the client has its answer's head, and goes."""
    session = server()
    for stream_id in range(1, 3001, 2):
        session.receive(head(stream_id, END_STREAM))
        session.send_head(session.streams[stream_id], ANSWER, end=False)
        session.receive(frames.rst_stream(stream_id, CANCEL))
        session.take_output()
    assert not session.streams


RESET_BY: list[Callable[[int], bytes]] = [
    lambda stream_id: frames.window_update(stream_id, 0),
    lambda stream_id: frames.window_update(stream_id, 2**31 - 1),
    lambda stream_id: frame(frames.PRIORITY, 0, stream_id, bytes(3)),
    lambda stream_id: frame(frames.DATA, 0, stream_id, b"x"),
    lambda stream_id: head(stream_id, END_STREAM),
]


@pytest.mark.parametrize("fault", RESET_BY)
def test_faults_that_make_us_reset_are_counted_as_resets(fault: Callable[[int], bytes]) -> None:
    """CVE-2025-8671: the server is made to send the RST_STREAM."""
    session = server()
    for stream_id in range(1, 1001, 2):
        session.receive(head(stream_id, END_STREAM) + fault(stream_id))
    with pytest.raises(ConnectionFault) as raised:
        session.receive(head(1001, END_STREAM) + fault(1001))
    assert raised.value.code == ENHANCE_YOUR_CALM


def test_budgets_come_back_with_time() -> None:
    """A client that asks every ten seconds whether we are there may do so for ever."""
    session = server()
    for _ in range(300):
        session.receive(frame(frames.PING, 0, 0, bytes(8)) * 100)
        session.recover()
    stream_id = 1
    for _ in range(200):
        for _ in range(5):
            session.receive(head(stream_id) + frames.rst_stream(stream_id, CANCEL))
            stream_id += 2
        session.recover()
    assert flood(session, frame(frames.PING, 0, 0, bytes(8)), 20_000) <= 20_000 // 2 + 1


def test_late_frames_of_a_thousand_streams_we_reset() -> None:
    session = server()
    for stream_id in range(1, 2001, 2):
        session.receive(head(stream_id))
        session.reset(session.streams[stream_id], CANCEL)
    session.take_output()
    for stream_id in range(1, 2001, 2):
        session.receive(frame(frames.DATA, 0, stream_id, b"late"))
        session.receive(head(stream_id, END_STREAM))
    assert session.take_output() == b""


@pytest.mark.parametrize("data", [frame(frames.DATA, 0, 1, b""), head(1)])
def test_frames_on_a_stream_we_reset_have_an_end(data: bytes) -> None:
    session = server()
    session.receive(head(1))
    session.reset(session.streams[1], CANCEL)
    assert 9_000 < flood(session, data, 11_000) <= 10_020


def test_a_stream_that_ended_by_itself_takes_no_more() -> None:
    for late in (frame(frames.DATA, 0, 1, b"x"), head(1)):
        session = server()
        session.receive(head(1, END_STREAM))
        session.send_head(session.streams[1], ANSWER, end=True)
        session.take_output()
        if late == head(1):
            with pytest.raises(ConnectionFault) as fault:
                session.receive(late)
            assert fault.value.code == STREAM_CLOSED
        else:
            session.receive(late)
            assert session.take_output() == frames.rst_stream(1, STREAM_CLOSED)
