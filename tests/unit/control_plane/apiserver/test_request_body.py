"""JSON that must not get in: it could be stored, and then nobody could list its kind any more."""

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.request_body import parse_object
from tests.unit.control_plane.apiserver.conftest import Api

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00x": 1}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": ' + b"1" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"",
    ],
)
def test_refused(content: bytes) -> None:
    with pytest.raises(Failure) as refused:
        parse_object(content)
    assert refused.value.status == 400


def test_whole_characters_are_taken_however_they_are_written() -> None:
    assert parse_object(b'{"a": "\\ud83d\\ude00", "b": 1.5e3}') == {"a": "😀", "b": 1500.0}
    assert parse_object('{"a": "ä"}'.encode()) == {"a": "ä"}


async def test_a_number_in_the_query_that_cannot_be_read(api: Api) -> None:
    for name in ("resourceVersion", "timeoutSeconds"):
        for value in ("9" * 5000, "9" * 19, "x", "-1", "1e3"):
            code, _ = await api.call("GET", CONFIG_MAPS, watch="1", **{name: value})
            assert code == 400


async def test_a_version_of_the_future_is_gone(api: Api) -> None:
    code, answer = await api.call("GET", CONFIG_MAPS, watch="1", resourceVersion="9" * 18)
    assert (code, answer["reason"]) == (410, "Expired")
