"""Both ends of ADS against arbitrary input: nothing but the documented refusals."""

from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given
from hypothesis import strategies as st

from control_plane.push import StreamState
from meshproxy.errors import ConfigError
from meshproxy.xds.translate import SHORT_NAMES, translate
from tests.unit.control_plane.xds_sample import TYPES, request, shop
from tests.unit.meshproxy.xds import xds_message as message

_types = st.sampled_from(sorted(SHORT_NAMES))
_valid = st.sampled_from(
    [
        message.packed(part)
        for part in (*message.shop("catalog"), message.listener("tcp", message.tcp_proxy()))
    ]
)


@given(_types, st.binary(max_size=200))
def test_arbitrary_bytes_translate_or_are_refused(type_url: str, body: bytes) -> None:
    _translate(type_url, body)


@given(_valid, st.data())
def test_damaged_messages_translate_or_are_refused(packed: AnyMessage, data: st.DataObject) -> None:
    body = bytearray(packed.value)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    _translate(packed.type_url, bytes(body))


def _translate(type_url: str, body: bytes) -> None:
    try:
        accepted = translate(type_url, [AnyMessage(type_url=type_url, value=body)])
    except ConfigError:
        return
    assert len(accepted) == 1


_names = st.lists(st.sampled_from(["a", "b", "*", "missing"]), max_size=3)
_nonces = st.one_of(st.just("last"), st.sampled_from(["", "s-1", "s-999", "x"]))
_request = st.tuples(st.sampled_from(sorted(TYPES)), _names, _nonces, st.sampled_from([None, "", "no"]))
_services = st.lists(st.sampled_from("abc"), unique=True)


@given(st.lists(st.one_of(_request, _services, st.floats(0, 20)), max_size=30))
def test_a_client_gone_mad_cannot_break_a_stream(events: list[object]) -> None:
    """Nonces never repeat, one answer is awaited per type, and a push always ends."""
    state, now, nonces = StreamState(nonce_prefix="s"), 0.0, list[str]()
    last: dict[str, str] = {}
    for event in events:
        if isinstance(event, tuple):
            short, names, nonce, error = event
            answered = last.get(short, "") if nonce == "last" else nonce
            sent = state.on_request(request(short, names, nonce=answered, error=error), now)
        elif isinstance(event, list):
            sent = state.on_snapshot(shop(*event), now)
        else:
            assert isinstance(event, float)
            now += event
            sent = state.on_timer(now)
        for response in sent:
            nonces.append(response.nonce)
            last[next(key for key, url in TYPES.items() if url == response.type_url)] = response.nonce
        state.statuses()
    assert len(set(nonces)) == len(nonces)
    for _ in range(10):
        now += 5.0
        state.on_timer(now)
    assert state.next_deadline() is None
