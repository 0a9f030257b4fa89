"""A connection: what RFC 9113 asks of a server and of a client, with python-hyper's `h2` as the peer."""

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import (
    CANCEL,
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
)
from meshproxy.http.h2.frame import frame
from meshproxy.http.h2.hpack import block_bytes
from meshproxy.http.h2.settings import H2Limits
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording, flood, server

BLOCK = block_bytes(REQUEST)
END = frames.END_STREAM
WHOLE = frames.END_HEADERS


def open_stream(stream_id: int = 1, flags: int = 0) -> bytes:
    return frames.header_frames(stream_id, BLOCK, flags, 16384)


def sent(session: Recording) -> list[tuple[int, int, int, bytes]]:
    """Frames of the output: (type, flags, stream, payload)."""
    data, found = session.take_output(), []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], frames.word(data, 5), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


class Pair:
    """A session of ours and a peer of python-hyper's."""

    def __init__(self, *, is_client: bool, limits: H2Limits | None = None) -> None:
        self.ours = Recording(limits, is_client=is_client)
        config = H2Configuration(client_side=not is_client, header_encoding=None)
        self.peer = H2Connection(config)
        self.ours.start()
        self.peer.initiate_connection()
        self.events: list[Event] = []
        self.exchange()

    def exchange(self) -> list[Event]:
        """Until neither side has anything to say."""
        found: list[Event] = []
        while True:
            out, answer = self.ours.take_output(), self.peer.data_to_send()
            if not out and not answer:
                return found
            if out:
                found += self.peer.receive_data(out)
            if answer:
                self.ours.receive(answer)


def kinds(events: list[Event]) -> list[type]:
    wanted = (RequestReceived, ResponseReceived, DataReceived, TrailersReceived, StreamEnded, StreamReset)
    return [type(event) for event in events if isinstance(event, wanted)]


def test_a_request_with_body_and_trailers_and_its_answer() -> None:
    pair = Pair(is_client=False)
    pair.peer.send_headers(1, [*REQUEST, (b"x-a", b"b")])
    pair.peer.send_data(1, b"body")
    pair.peer.send_headers(1, [(b"x-t", b"1")], end_stream=True)
    pair.exchange()
    told = pair.ours.take()
    assert told[0][0] == "head"
    assert dict(told[0][2])[b"x-a"] == b"b"  # type: ignore[call-overload]
    assert told[1:] == [("data", 1, b"body", False), ("trailers", 1, ((b"x-t", b"1"),))]
    stream = pair.ours.streams[1]
    pair.ours.send_head(stream, block_bytes(((b":status", b"200"),)), end=False)
    pair.ours.send_data(stream, b"answer", end=False)
    pair.ours.send_trailers(stream, block_bytes(((b"grpc-status", b"0"),)))
    assert kinds(pair.exchange()) == [ResponseReceived, DataReceived, TrailersReceived, StreamEnded]
    assert pair.ours.take() == [("over", 1)]
    assert pair.ours.streams == {}


def test_as_a_client() -> None:
    pair = Pair(is_client=True)
    stream = pair.ours.open()
    pair.ours.send_head(stream, BLOCK, end=False)
    pair.ours.send_data(stream, b"body", end=True)
    assert kinds(pair.exchange()) == [RequestReceived, DataReceived, StreamEnded]
    pair.peer.send_headers(1, [(b":status", b"103")])
    pair.peer.send_headers(1, [(b":status", b"200")])
    pair.peer.send_data(1, b"", end_stream=True)
    pair.exchange()
    assert pair.ours.take() == [
        ("head", 1, ((b":status", b"103"),), False),
        ("head", 1, ((b":status", b"200"),), False),
        ("data", 1, b"", True),
        ("over", 1),
    ]


def test_a_slow_reader_slows_its_sender_and_no_other_stream() -> None:
    limits = H2Limits(stream_window=65_535)
    pair = Pair(is_client=False, limits=limits)
    for stream_id in (1, 3):
        pair.peer.send_headers(stream_id, REQUEST)
    pair.exchange()
    pair.ours.pause(pair.ours.streams[1])
    total = 0
    while (window := pair.peer.local_flow_control_window(1)) > 0:
        pair.peer.send_data(1, b"x" * min(window, 16384))
        total += min(window, 16384)
        pair.exchange()
    assert total == 65_535
    for _ in range(64):
        pair.peer.send_data(3, b"y" * 16384)
        pair.exchange()
    pair.ours.resume(pair.ours.streams[1])
    pair.exchange()
    assert pair.peer.local_flow_control_window(1) == 65_535


def test_what_paused_streams_hold_is_bounded_for_the_connection() -> None:
    limits = H2Limits(stream_window=65_535, max_unread=200_000)
    pair = Pair(is_client=False, limits=limits)
    total = 0
    for stream_id in range(1, 41, 2):
        pair.peer.send_headers(stream_id, REQUEST)
        pair.exchange()
        pair.ours.pause(pair.ours.streams[stream_id])
        while (window := pair.peer.local_flow_control_window(stream_id)) > 0:
            pair.peer.send_data(stream_id, b"x" * min(window, 16384))
            total += min(window, 16384)
            pair.exchange()
    assert total <= 300_000
    for stream in list(pair.ours.streams.values()):
        pair.ours.resume(stream)
    pair.exchange()
    assert pair.peer.local_flow_control_window(1) > 0


def test_data_waits_for_the_windows_and_streams_take_turns() -> None:
    pair = Pair(is_client=False)
    for stream_id in (1, 3):
        pair.peer.send_headers(stream_id, REQUEST, end_stream=True)
    pair.exchange()
    pair.ours.take()
    for stream in pair.ours.streams.values():
        pair.ours.send_head(stream, block_bytes(((b":status", b"200"),)), end=False)
        pair.ours.send_data(stream, b"x" * 100_000, end=False)
        pair.ours.send_trailers(stream, block_bytes(((b"t", b"1"),)))
    assert pair.ours.take() == [("blocked", 1), ("blocked", 3)]
    got = {1: 0, 3: 0}
    done = set()
    while len(done) < 2:
        events = pair.exchange()
        for event in events:
            if isinstance(event, DataReceived):
                assert event.stream_id is not None
                got[event.stream_id] += len(event.data or b"")
                pair.peer.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            if isinstance(event, TrailersReceived):
                done.add(event.stream_id)
    assert got == {1: 100_000, 3: 100_000}
    assert pair.ours.take() == [("over", 1), ("over", 3)] or pair.ours.streams == {}


def test_a_full_transport_holds_data_back() -> None:
    session = server()
    session.receive(open_stream(flags=END))
    session.take()
    stream = session.streams[1]
    session.transport_full(is_full=True)
    session.send_data(stream, b"x", end=False)
    assert session.take() == [("blocked", 1)]
    assert session.take_output() == b""
    session.transport_full(is_full=False)
    assert sent(session) == [(frames.DATA, 0, 1, b"x")]
    assert session.take() == [("ready", 1)]


def test_a_smaller_initial_window_may_make_windows_negative() -> None:
    session = server()
    session.receive(open_stream(flags=END))
    stream = session.streams[1]
    session.send_data(stream, b"x" * 60_000, end=False)
    session.take_output()
    session.receive(frames.settings({4: 10}))
    assert stream.send_window < 0
    session.send_data(stream, b"y", end=True)
    session.receive(frames.window_update(1, 59_000))
    assert [one for one in sent(session) if one[0] == frames.DATA] == []
    session.receive(frames.window_update(1, 2_000))
    assert [one for one in sent(session) if one[0] == frames.DATA] == [(frames.DATA, END, 1, b"y")]


def test_settings_and_ping_are_answered() -> None:
    session = server()
    session.receive(frames.settings({3: 1}) + frame(frames.PING, 0, 0, b"12345678"))
    assert sent(session) == [
        (frames.SETTINGS, frames.ACK, 0, b""),
        (frames.PING, frames.ACK, 0, b"12345678"),
    ]
    session.receive(frame(frames.PING, frames.ACK, 0, b"12345678"))
    assert session.take() == [("ping answer",)]


def test_frames_may_come_in_any_pieces() -> None:
    whole = frames.PREFACE + frames.settings({}) + open_stream() + frame(frames.DATA, END, 1, b"abc")
    session = Recording()
    session.start()
    for index in range(len(whole)):
        session.receive(whole[index : index + 1])
    assert session.take() == [("head", 1, REQUEST, False), ("data", 1, b"abc", True)]


def test_padding_counts_for_windows_and_is_dropped() -> None:
    session = server()
    payload = bytes((3,)) + b"abc" + bytes(3)
    session.receive(open_stream() + frame(frames.DATA, frames.PADDED, 1, payload))
    assert session.take()[1] == ("data", 1, b"abc", False)
    assert session.streams[1].uncredited == len(payload)


# --- ends ---


def test_goaway_in_two_steps() -> None:
    session = server()
    session.receive(open_stream(1))
    session.announce_end()
    session.receive(open_stream(3))
    session.refuse_new()
    session.receive(open_stream(5))
    assert set(session.streams) == {1, 3}
    goaways = [one[3][:8] for one in sent(session) if one[0] == frames.GOAWAY]
    assert goaways == [bytes.fromhex("7fffffff00000000"), bytes.fromhex("0000000300000000")]


def test_a_client_learns_which_of_its_streams_were_not_served() -> None:
    session = Recording(is_client=True)
    session.start()
    session.receive(frames.settings({}))
    first, second = session.open(), session.open()
    session.receive(frames.goaway(first.id, NO_ERROR))
    assert session.take() == [
        ("reset", second.id, REFUSED_STREAM),
        ("over", second.id),
        ("goaway", first.id, NO_ERROR),
    ]
    assert not session.can_open
    assert list(session.streams.values()) == [first]


def test_late_frames_of_a_stream_we_reset_are_taken_without_complaint() -> None:
    session = server()
    session.receive(open_stream())
    session.reset(session.streams[1], CANCEL)
    session.take_output()
    session.take()
    session.receive(frame(frames.DATA, END, 1, b"late") + frames.rst_stream(1, CANCEL))
    assert session.take() == []
    assert session.take_output() == b""


def test_the_peer_takes_a_request_back() -> None:
    session = server()
    session.receive(open_stream() + frames.rst_stream(1, CANCEL))
    assert session.take()[1:] == [("reset", 1, CANCEL), ("over", 1)]


def test_more_streams_than_announced_are_refused() -> None:
    session = server(H2Limits(max_concurrent_streams=1))
    session.receive(open_stream(1) + open_stream(3))
    assert sent(session) == [(frames.RST_STREAM, 0, 3, REFUSED_STREAM.to_bytes(4, "big"))]
    assert set(session.streams) == {1}


def test_a_head_that_is_too_large_leaves_the_connection_alone() -> None:
    session = server(H2Limits(max_head_bytes=300))
    block = block_bytes((*REQUEST, (b"x", b"y" * 200)))
    session.receive(frames.header_frames(1, block, END, 16384) + open_stream(3))
    assert session.take() == [("too large", 1, True), ("head", 3, REQUEST, False)]


# --- faults ---

HEAD = open_stream()
FAULTS = [
    (frame(9, WHOLE, 1, BLOCK), PROTOCOL_ERROR),
    (frame(1, 0, 1, BLOCK) + frame(0, 0, 1, b""), PROTOCOL_ERROR),
    (frame(1, 0, 1, BLOCK) + frame(9, WHOLE, 3, b""), PROTOCOL_ERROR),
    (frame(1, WHOLE, 0, BLOCK), PROTOCOL_ERROR),
    (frame(1, WHOLE, 2, BLOCK), PROTOCOL_ERROR),
    (open_stream(5) + open_stream(3), STREAM_CLOSED),
    (frame(1, WHOLE | frames.PADDED, 1, b"\xff" + BLOCK), PROTOCOL_ERROR),
    (frame(1, WHOLE | frames.HAS_PRIORITY, 1, b"\0"), FRAME_SIZE_ERROR),
    (frame(1, WHOLE, 1, b"\xbe"), COMPRESSION_ERROR),
    (frame(0, 0, 1, b"x"), PROTOCOL_ERROR),
    (frame(0, 0, 0, b"x"), PROTOCOL_ERROR),
    (HEAD + frame(0, frames.PADDED, 1, b"\x05abc"), PROTOCOL_ERROR),
    (frame(8, 0, 0, bytes(4)), PROTOCOL_ERROR),
    (frame(8, 0, 1, b"\0\0\0\x01"), PROTOCOL_ERROR),
    (frames.window_update(0, frames.MAX_WINDOW), FLOW_CONTROL_ERROR),
    (frame(8, 0, 0, b"\0"), FRAME_SIZE_ERROR),
    (frame(3, 0, 1, bytes(4)), PROTOCOL_ERROR),
    (frame(3, 0, 0, bytes(4)), PROTOCOL_ERROR),
    (frame(3, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    (frame(4, 0, 1, b""), PROTOCOL_ERROR),
    (frame(4, frames.ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    (frame(4, 0, 0, bytes(5)), FRAME_SIZE_ERROR),
    (frames.settings({2: 2}), PROTOCOL_ERROR),
    (frames.settings({4: 2**31}), FLOW_CONTROL_ERROR),
    (frames.settings({5: 16383}), PROTOCOL_ERROR),
    (frames.settings({5: 2**24}), PROTOCOL_ERROR),
    (HEAD + frames.window_update(1, 2**31 - 1 - 65_535) + frames.settings({4: 65_536}), FLOW_CONTROL_ERROR),
    (frame(5, WHOLE, 1, bytes(4)), PROTOCOL_ERROR),
    (frame(6, 0, 1, bytes(8)), PROTOCOL_ERROR),
    (frame(6, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    (frame(7, 0, 1, bytes(8)), PROTOCOL_ERROR),
    (frame(7, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    (frame(2, 0, 0, bytes(5)), PROTOCOL_ERROR),
    (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", FRAME_SIZE_ERROR),
]


@pytest.mark.parametrize(("data", "code"), FAULTS)
def test_faults_of_the_connection(data: bytes, code: int) -> None:
    session = server()
    with pytest.raises(ConnectionFault) as fault:
        session.receive(data)
    assert fault.value.code == code
    last = sent(session)[-1]
    assert (last[0], frames.word(last[3], 4)) == (frames.GOAWAY, code)
    session.receive(HEAD)  # nothing is read any more
    assert session.take_output() == b""


STREAM_FAULTS = [
    (open_stream(flags=END) + frame(0, 0, 1, b"x"), STREAM_CLOSED),
    (open_stream(flags=END) + HEAD, STREAM_CLOSED),
    (HEAD + frames.window_update(1, 0), PROTOCOL_ERROR),
    (HEAD + frames.window_update(1, 2**31 - 1), FLOW_CONTROL_ERROR),
    (HEAD + frame(1, WHOLE, 1, block_bytes(((b"t", b"1"),))), PROTOCOL_ERROR),
    (HEAD + frame(2, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    (HEAD + frame(2, 0, 1, b"\0\0\0\x01\0"), PROTOCOL_ERROR),
    (frame(1, WHOLE | frames.HAS_PRIORITY, 1, b"\0\0\0\x01\0" + BLOCK), PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("data", "code"), STREAM_FAULTS)
def test_faults_of_a_stream(data: bytes, code: int) -> None:
    session = server()
    session.receive(data)
    assert sent(session)[-1] == (frames.RST_STREAM, 0, 1, code.to_bytes(4, "big"))
    assert ("reset", 1, code) in session.take()
    session.receive(open_stream(3))
    assert ("head", 3, REQUEST, False) in session.take()


@pytest.mark.parametrize("length", [b"1", b"3"])
def test_a_body_is_as_long_as_declared(length: bytes) -> None:
    session = server()
    block = block_bytes((*REQUEST, (b"content-length", length)))
    session.receive(frames.header_frames(1, block, 0, 16384) + frame(0, END, 1, b"xx"))
    assert ("reset", 1, PROTOCOL_ERROR) in session.take()


def test_data_beyond_the_window_of_its_stream() -> None:
    session = server(H2Limits(stream_window=20_000))
    session.receive(frame(4, frames.ACK, 0, b"") + HEAD)
    session.pause(session.streams[1])
    session.receive(frame(0, 0, 1, bytes(16384)) * 2)
    assert ("reset", 1, FLOW_CONTROL_ERROR) in session.take()


def test_a_head_that_is_refused_resets_its_stream() -> None:
    session = server()
    session.refuse = PROTOCOL_ERROR
    session.receive(HEAD)
    assert sent(session) == [(frames.RST_STREAM, 0, 1, PROTOCOL_ERROR.to_bytes(4, "big"))]


def test_no_preface_no_connection() -> None:
    for data in (b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"):
        session = Recording()
        with pytest.raises(ConnectionFault, match="preface"):
            session.receive(data)
    session = Recording()
    with pytest.raises(ConnectionFault, match="first frame"):
        session.receive(frames.PREFACE + HEAD)


# --- floods ---


@pytest.mark.parametrize(
    "data",
    [
        frame(frames.PING, 0, 0, bytes(8)),
        frames.settings({}),
        frame(frames.PRIORITY, 0, 1, b"\0\0\0\x03\0"),
        frames.window_update(0, 1),
        frame(0x42, 0, 0, b""),
        frames.rst_stream(1, CANCEL),
    ],
)
def test_frames_that_carry_nothing_are_bounded(data: bytes) -> None:
    session = server()
    session.receive(HEAD)
    assert 9_000 < flood(session, data, 11_000) < 10_100


def test_empty_data_is_bounded() -> None:
    session = server()
    session.receive(HEAD)
    assert flood(session, frame(0, 0, 1, b""), 2_000) <= 1_010


def test_rapid_reset_is_bounded() -> None:
    """CVE-2023-44487."""
    session = server()
    for count in range(1000):
        stream_id = 2 * count + 1
        try:
            session.receive(open_stream(stream_id, END) + frames.rst_stream(stream_id, CANCEL))
        except ConnectionFault:
            break
    assert count == 500


def test_requests_that_are_answered_pay_for_some_that_are_not() -> None:
    session = server(H2Limits(reset_budget=2))
    for stream_id in range(1, 2001, 4):
        session.receive(open_stream(stream_id, END))
        session.send_head(session.streams[stream_id], block_bytes(((b":status", b"200"),)), end=True)
        session.receive(open_stream(stream_id + 2, END) + frames.rst_stream(stream_id + 2, CANCEL))
        session.take_output()
    assert not session.is_closed


def test_continuation_is_bounded() -> None:
    session = server()
    session.receive(frame(frames.HEADERS, 0, 1, b""))
    assert flood(session, frame(frames.CONTINUATION, 0, 1, b""), 1_000) < 70
    session = server()
    session.receive(frame(frames.HEADERS, 0, 1, b""))
    assert flood(session, frame(frames.CONTINUATION, 0, 1, bytes(16384)), 100) == 3


def test_answers_that_nobody_reads_are_bounded() -> None:
    session = server()
    session.transport_full(is_full=True)
    assert flood(session, frame(frames.PING, 0, 0, bytes(8)), 2_000) == 1_000


def test_a_terminated_peer_sees_why() -> None:
    pair = Pair(is_client=False)
    with pytest.raises(ConnectionFault):
        pair.ours.receive(frame(frames.PUSH_PROMISE, WHOLE, 1, bytes(4)))
    events = pair.peer.receive_data(pair.ours.take_output())
    assert [event.error_code for event in events if isinstance(event, ConnectionTerminated)] == [1]


@pytest.mark.parametrize("size", [0, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("is_end_apart", [False, True])
def test_a_stream_is_ended_once_however_many_frames_its_data_takes(size: int, is_end_apart: bool) -> None:
    session = Recording(is_client=True)
    session.start()
    stream = session.open()
    session.send_head(stream, BLOCK, end=False)
    session.take_output()
    session.send_data(stream, b"x" * size, end=not is_end_apart)
    if is_end_apart:
        session.send_data(stream, b"", end=True)
    frames_sent = sent(session)
    assert sum(len(payload) for _, _, _, payload in frames_sent) == size
    assert [flags & END for _, flags, _, _ in frames_sent] == [0] * (len(frames_sent) - 1) + [END]


def test_a_client_opens_a_hundred_streams_until_it_knows_better() -> None:
    session = Recording(is_client=True)
    session.start()
    while session.can_open:
        session.open()
    assert len(session.streams) == 100
    session.receive(frames.settings({}))
    assert session.can_open
    session.receive(frames.settings({3: 100}))
    assert not session.can_open
