"""Messages as bytes: whole, in pieces, damaged, and what an answer must not be able to do."""

import dataclasses
import os
import pickle
import ssl
import struct
import typing
from collections.abc import Iterator

import pytest

from certs.spiffe_id import SpiffeId
from meshproxy.config.model import Direction, Endpoint, WorkloadIdentity
from meshproxy.errors import LocalProtocolError
from meshproxy.identity.identity import Identity
from meshproxy.telemetry.labels import SecurityPolicy
from meshproxy.workers import frame
from meshproxy.workers.config_change import ConfigChange
from meshproxy.workers.frame import FrameReader, encode
from meshproxy.workers.message import Answered, Begin, Done, Ordered, Refused, UseIdentity

MESSAGES = (
    Ordered(1, Begin(WorkloadIdentity("web"), "spiffe://cluster.local/ns/a/sa/b", "info")),
    Answered(1, Done()),
    Answered(2, Refused("listener x: address in use"), is_last=False),
)


def _framed(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def test_messages_arrive_whole_and_in_order():
    assert tuple(FrameReader().feed(b"".join(map(encode, MESSAGES)))) == MESSAGES


def test_messages_arrive_byte_by_byte():
    reader = FrameReader()
    stream = b"".join(map(encode, MESSAGES))
    found = [message for index in range(len(stream)) for message in reader.feed(stream[index : index + 1])]
    assert tuple(found) == MESSAGES


def test_configuration_keeps_its_types():
    sent = (Direction.INBOUND, {"a": (Endpoint("10.0.0.1", 80),)}, frozenset("ab"))
    assert list(FrameReader().feed(encode(sent))) == [sent]


def _classes(kind: object) -> Iterator[type]:
    """Every class of ours that values of `kind` may hold, itself included."""
    pending, seen = [kind], set()
    while pending:
        one = pending.pop()
        pending += typing.get_args(one)
        if isinstance(one, type) and one.__module__.startswith(("meshproxy.", "certs.")) and one not in seen:
            seen.add(one)
            yield one
            if dataclasses.is_dataclass(one):
                pending += typing.get_type_hints(one).values()


@pytest.mark.parametrize("kind", list(_classes(ConfigChange)), ids=lambda kind: kind.__name__)
def test_every_class_of_a_configuration_may_be_part_of_a_message(kind):
    by_name = f"c{kind.__module__}\n{kind.__name__}\n.".encode()
    assert list(FrameReader().feed(_framed(by_name))) == [kind]


def test_an_identity_goes_with_its_key_and_without_what_was_built_from_it():
    web = SpiffeId.parse("spiffe://cluster.local/ns/a/sa/b")
    identity = Identity(web, 1, 7, 0, 1, b"chain", b"root", b"key")
    identity.contexts["client", True, ()] = ssl.create_default_context()
    (message,) = FrameReader().feed(encode(UseIdentity.of(identity)))
    assert isinstance(message, UseIdentity)
    assert message.identity == identity
    assert message.identity.key_pem == b"key"
    assert message.identity.contexts == {}


class _Runs:
    """What an attacker would send: its reading is a call."""

    def __reduce__(self) -> object:
        return os.system, ("exit 1",)


@pytest.mark.parametrize(
    "content",
    [
        b"no pickle",
        b"",
        pickle.dumps(_Runs()),
        pickle.dumps(SecurityPolicy)[:-1],
        b"cmeshproxy.workers.frame\npickle\n.",
        b"\x80\x04\x8c\x1emeshproxy.telemetry.transfer\x8c\x06islice\x93.",
        b"\x80\x04\x8c\x16meshproxy.config.model\x8c\x12Direction.__name__\x93.",
        b"cmeshproxy.config.model\nNothing\n.",
    ],
)
def test_what_is_no_message_is_refused(content):
    with pytest.raises(LocalProtocolError, match=f"{len(content)} bytes cannot be read"):
        list(FrameReader().feed(_framed(content)))


def test_a_message_above_the_limit_is_neither_sent_nor_taken(monkeypatch):
    whole = encode(b"x" * 100)
    monkeypatch.setattr(frame, "MAX_BYTES", 50)
    with pytest.raises(LocalProtocolError, match="above 50"):
        encode(b"x" * 100)
    with pytest.raises(LocalProtocolError, match="above 50"):
        list(FrameReader().feed(whole[:4]))


def test_what_has_no_form_as_bytes_is_refused_by_name():
    with pytest.raises(LocalProtocolError, match="generator cannot go to another process"):
        encode(number for number in range(3))
