"""What becomes of an upstream connection when its response is complete."""

from meshproxy.http.h1_scan import HeadLimits, HeadMemory, ResponseReader
from meshproxy.upstream.http_connection import HttpUpstreamConnection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Transport:
    def __init__(self):
        self.is_closed = False

    def write(self, data):
        pass

    def get_extra_info(self, name):
        return None

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def close(self):
        self.is_closed = True


class Sink:
    """Ends the exchange when the response is there."""

    def __init__(self, connection):
        self._connection = connection

    def on_response(self, events):
        self._connection.finish(reusable=True)


def answered_with(data):
    """(connections freed, was it closed) after one exchange."""
    freed = []
    connection = HttpUpstreamConnection(
        ResponseReader(HeadMemory(), HeadLimits()), freed.append, lambda _: None
    )
    transport = Transport()
    connection.connection_made(transport)
    connection.begin(Sink(connection), b"GET", b"")
    connection.data_received(data)
    return len(freed), transport.is_closed


def test_a_connection_is_pooled_after_a_whole_response():
    assert answered_with(OK) == (1, False)


def test_a_connection_with_bytes_behind_the_response_is_closed():
    assert answered_with(OK + b"HTTP/1.1 200 OK\r\n") == (0, True)
