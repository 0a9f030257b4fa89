"""What h2load prints, judged."""

import pytest

from bench.errors import BenchError, WrongAnswer
from bench.load.h2load import summary
from bench.shape import HTTP2_SHAPES

TEXT = """
finished in 5.00s, 12345.60 req/s, 1.2MB/s
requests: 61728 total, 61800 started, {done} done, {ok} succeeded, {bad} failed, 0 errored, 0 timeout
status codes: 61728 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_what_succeeded_counts() -> None:
    load = summary(TEXT.format(done=61728, ok=61728, bad=0), HTTP2_SHAPES[0], 5.0)
    assert (load.requests, load.rate) == (61728, 61728 / 5)


@pytest.mark.parametrize(("done", "ok", "bad"), [(10, 9, 1), (0, 0, 0)])
def test_what_failed_is_an_error(done: int, ok: int, bad: int) -> None:
    with pytest.raises(WrongAnswer):
        summary(TEXT.format(done=done, ok=ok, bad=bad), HTTP2_SHAPES[0], 5.0)


def test_what_it_never_prints_is_one_too() -> None:
    with pytest.raises(BenchError):
        summary("could not connect", HTTP2_SHAPES[0], 5.0)
