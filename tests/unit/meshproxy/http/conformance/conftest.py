"""Every test of this folder runs over both codecs. A codec is asked several times, so that the scanning one
answers cold and from memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshproxy.http.codec import Codec, scan_codec, strict_codec
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

MakeCodec = Callable[..., Codec]


def _scan(**limits: int) -> Codec:
    return scan_codec(HeadMemory(), HeadLimits(**limits))


def _strict(**limits: int) -> Codec:
    return strict_codec(HeadLimits(**limits))


@pytest.fixture(params=[_scan, _strict], ids=["scan", "strict"])
def make_codec(request: pytest.FixtureRequest) -> MakeCodec:
    """Limits by name -> codec."""
    made: MakeCodec = request.param
    return made


@pytest.fixture
def codec(make_codec: MakeCodec) -> Codec:
    return make_codec()
