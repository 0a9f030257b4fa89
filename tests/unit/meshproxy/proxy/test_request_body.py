"""What is held of a request's body."""

import tracemalloc

from meshproxy.http.events import Trailers
from meshproxy.proxy.request_body import MAX_HELD_BODY, HeldBody


def test_small_parts_are_held_as_one():
    body = HeldBody()
    for part in (b"ab", b"c", b"d" * 2000, b"e", b"f"):
        body.add(part)
    assert body.held == b"abc" + b"d" * 2000 + b"ef"
    assert body.size == 2005
    body.trailers = Trailers(((b"x-t", b"1"),))
    assert body.trailer_fields == ((b"x-t", b"1"),)


def test_a_body_in_tiny_chunks_takes_little_more_than_its_size():
    tracemalloc.start()
    try:
        body = HeldBody()
        for number in range(MAX_HELD_BODY // 2):
            body.add(b"%02d" % (number % 100))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not body.is_too_large
    assert held < 2 * MAX_HELD_BODY


def test_what_was_let_go_is_gone():
    body = HeldBody()
    body.add(b"x" * (MAX_HELD_BODY + 1))
    assert body.is_too_large
    body.let_go()
    body.add(b"more")
    assert (body.held, body.size, body.is_replayable) == (b"", MAX_HELD_BODY + 1, False)
