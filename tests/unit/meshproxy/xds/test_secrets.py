"""Certificates over SDS: what is taken, what is refused, and that nobody is shown a key."""

import json
import logging
from random import Random

import pytest

from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from meshproxy.clock import SystemClock
from meshproxy.config.tls import TlsCertificate
from meshproxy.errors import ConfigError
from meshproxy.xds.client import XdsClient
from meshproxy.xds.node import node_of
from meshproxy.xds.translate import SECRET_TYPE, Accepted, translate
from tests.unit.meshproxy.proxy.outside import authority
from tests.unit.meshproxy.xds import xds_message as message

CHAIN, KEY = authority("world").issue("a.example")
OTHER_KEY = authority("world").issue("a.example")[1]
NAME = "kubernetes://edge/cert"


def secret(chain: bytes = CHAIN, key: bytes = KEY, name: str = NAME) -> Secret:
    made = Secret(name=name)
    made.tls_certificate.certificate_chain.inline_bytes = chain
    made.tls_certificate.private_key.inline_bytes = key
    return made


def accepted(made: Secret) -> dict[str, Accepted]:
    return translate(SECRET_TYPE, [message.packed(made)])


def test_a_certificate_is_taken_whole() -> None:
    value = accepted(secret())[NAME].value
    assert isinstance(value, TlsCertificate)
    assert (value.chain_pem, value.key_pem) == (CHAIN, KEY)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (secret(key=OTHER_KEY), "certificate and private key cannot be used: key values mismatch"),
        (secret(chain=b"nothing"), "cannot be used"),
        (secret(key=b"nothing"), "cannot be used"),
        (secret(key=b""), "private_key: must have 1 to 65536 bytes"),
        (secret(chain=CHAIN * 200), "certificate_chain: must have 1 to 65536 bytes"),
        (secret(name="default"), "name: 'default' is not kubernetes://<namespace>/<name>"),
        (Secret(name=NAME), "tls_certificate is needed"),
    ],
)
def test_what_cannot_be_used_is_refused_without_a_word_of_it(made: Secret, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        accepted(made)
    assert problem in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
    assert "BEGIN" not in str(refused.value)


def test_files_and_other_kinds_are_refused() -> None:
    made = secret()
    made.tls_certificate.private_key.filename = "/etc/shadow"
    with pytest.raises(ConfigError, match=r"private_key.filename: is not read"):
        accepted(made)
    trusted = Secret(name=NAME)
    trusted.validation_context.trusted_ca.inline_bytes = CHAIN
    with pytest.raises(ConfigError, match=r"validation_context: this field of .*Secret is not supported"):
        accepted(trusted)


async def _never() -> object:
    raise AssertionError("not asked")


def test_neither_dump_nor_repr_shows_a_key(caplog: pytest.LogCaptureFixture) -> None:
    node = node_of(
        role="router", pod_name="p", namespace="n", pod_ip="10.0.0.1", service_account="s", labels={}
    )
    client = XdsClient(node, _never, lambda snapshot: None, clock=SystemClock(), rng=Random(1))  # type: ignore[arg-type]
    with caplog.at_level(logging.DEBUG):
        found = accepted(secret())
        client._state.types[SECRET_TYPE].accepted.update(found)
        sds = client.dump()["sds"]
    assert isinstance(sds, dict)
    shown = {name: dict(view.items()) for name, view in sds["resources"].items()}
    text = json.dumps(shown, default=dict)
    assert "certificate_chain" in text
    assert "private_key" not in text
    for said in (text, repr(found), repr(found[NAME].value), caplog.text):
        assert "PRIVATE" not in said
        assert KEY.decode().splitlines()[1] not in said
