"""Whatever is sent over HTTP/2, in whatever order, with windows and transports that open and close: the peer
gets each stream's bytes in order, and its end once. The peer, python-hyper's `h2`, takes nothing else."""

from __future__ import annotations

from collections import defaultdict

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, TrailersReceived
from h2.settings import SettingCodes
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.http.h2.hpack import block_bytes
from meshproxy.http.h2.stream import Stream
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording

BLOCK = block_bytes(REQUEST)
TRAILERS = block_bytes(((b"x-sum", b"1"),))
STREAMS = 3

SIZES = st.sampled_from((0, 1, 100, 16_383, 16_384, 16_385, 40_000, 70_000))
WINDOWS = (0, 1000, 16_384, 65_535)
"""The largest comes when all is over."""
WHICH = st.integers(0, STREAMS - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), WHICH, SIZES),
        st.tuples(st.just("send the last"), WHICH, SIZES),
        st.tuples(st.just("end"), WHICH),
        st.tuples(st.just("trailers"), WHICH),
        st.tuples(st.just("full"), st.booleans()),
        st.tuples(st.just("read"), st.booleans()),
        st.tuples(st.just("window"), st.sampled_from(WINDOWS)),
    ),
    max_size=40,
)


class Conversation:
    """One connection with some requests whose bodies are sent."""

    def __init__(self, window: int) -> None:
        self.ours = Recording(is_client=True)
        self.peer = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        self.ours.start()
        self.peer.initiate_connection()
        self.streams: list[Stream] = []
        for _ in range(STREAMS):
            stream = self.ours.open()
            self.ours.send_head(stream, BLOCK, end=False)
            self.streams.append(stream)
        self.sent: dict[int, bytes] = defaultdict(bytes)
        self.trailers: set[int] = set()
        self.received: dict[int, bytes] = defaultdict(bytes)
        self.received_trailers: set[int] = set()
        self.ended: list[int] = []
        self.ended_by_us: list[int] = []
        self.is_read = True
        """The peer gives credit for what it receives."""
        self.owed: list[tuple[int, int]] = []
        self.window = 65_535
        self.exchange()
        self.set_window(window)
        self.exchange()

    def set_window(self, size: int) -> None:
        self.window = size
        self.peer.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: size})

    def send(self, number: int, size: int, *, end: bool) -> None:
        stream = self.streams[number]
        if stream.id in self.ended_by_us:
            return
        data = bytes([65 + len(self.sent[stream.id]) % 26]) * size
        self.sent[stream.id] += data
        self.ours.send_data(stream, data, end=end)
        if end:
            self.ended_by_us.append(stream.id)

    def end_with_trailers(self, number: int) -> None:
        stream = self.streams[number]
        if stream.id not in self.ended_by_us:
            self.ended_by_us.append(stream.id)
            self.trailers.add(stream.id)
            self.ours.send_trailers(stream, TRAILERS)

    def exchange(self) -> None:
        while True:
            if self.is_read:
                owed, self.owed = self.owed, []
                for stream, size in owed:
                    self.peer.acknowledge_received_data(size, stream)
            out, answer = self.ours.take_output(), self.peer.data_to_send()
            if not out and not answer and not (self.is_read and self.owed):
                return
            for event in self.peer.receive_data(out):
                if isinstance(event, DataReceived):
                    self.received[event.stream_id] += event.data or b""
                    self.owed.append((event.stream_id, event.flow_controlled_length or 0))
                elif isinstance(event, TrailersReceived):
                    self.received_trailers.add(event.stream_id)
                elif isinstance(event, StreamEnded):
                    self.ended.append(event.stream_id)
            self.ours.receive(answer)

    def finish(self) -> None:
        """Everything is open again: all that was held back goes."""
        self.is_read = True
        self.set_window(200_000)
        self.ours.transport_full(is_full=False)
        self.exchange()
        for number in range(STREAMS):
            self.send(number, 0, end=True)
        self.exchange()


@given(st.sampled_from(WINDOWS), STEPS)
def test_bytes_come_in_order_and_each_stream_ends_once(window: int, steps: list[tuple[object, ...]]) -> None:
    talk = Conversation(window)
    for what, *arguments in steps:
        match what, arguments:
            case "send", [int(number), int(size)]:
                talk.send(number, size, end=False)
            case "send the last", [int(number), int(size)]:
                talk.send(number, size, end=True)
            case "end", [int(number)]:
                talk.send(number, 0, end=True)
            case "trailers", [int(number)]:
                talk.end_with_trailers(number)
            case "full", [bool(is_full)]:
                talk.ours.transport_full(is_full=is_full)
            case "read", [bool(is_read)]:
                talk.is_read = is_read
            case "window", [int(size)] if size > talk.window:  # below 0 `h2` takes not even empty frames
                talk.set_window(size)
        talk.exchange()
    talk.finish()
    for stream in talk.streams:
        assert talk.received[stream.id] == talk.sent[stream.id]
        assert talk.ended.count(stream.id) == 1
    assert talk.received_trailers == talk.trailers
    assert not any(stream.queued for stream in talk.streams)
