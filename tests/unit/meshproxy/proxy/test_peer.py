import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.config.model import WorkloadIdentity
from meshproxy.proxy import peer

WEB = WorkloadIdentity("web", "shop", "web", "v1", "web-sa", "Kubernetes")
PRINCIPAL = "spiffe://cluster.local/ns/shop/sa/web-sa"


def encoded(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode())


def test_a_claim_survives_the_wire():
    assert peer.decode(peer.encode(WEB)) == WEB
    assert peer.header_line(WEB) == b"x-envoy-peer-metadata: " + peer.encode(WEB) + b"\r\n"


def test_a_claim_counts_only_when_the_proved_identity_bears_it_out():
    claim = peer.encode(WEB)
    assert peer.verified(claim, PRINCIPAL) == WEB
    assert peer.verified(claim, "") is peer.UNKNOWN
    assert peer.verified(claim, "spiffe://cluster.local/ns/shop/sa/other") is peer.UNKNOWN
    assert peer.verified(claim, "spiffe://cluster.local/ns/other/sa/web-sa") is peer.UNKNOWN
    assert peer.verified(b"", PRINCIPAL) is peer.UNKNOWN


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"!!!",
        b"abc",
        b"x" * 3000,
        encoded([1]),
        encoded({"workload": 1}),
        encoded({"workload": "a\nb"}),
        encoded({"workload": "a" * 300}),
        encoded({"unheard-of": "x"}),
        base64.urlsafe_b64encode(b"[" * 1500),
    ],
)
def test_what_is_no_claim_of_ours_is_nothing(value):
    assert peer.decode(value) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(value):
    decoded = peer.decode(value)
    assert decoded is None or isinstance(decoded, WorkloadIdentity)


@given(st.binary(max_size=60), st.text(max_size=60))
def test_an_unproved_peer_is_always_unknown(value, principal):
    assert peer.verified(value, "") is peer.UNKNOWN
    assert isinstance(peer.verified(value, principal), WorkloadIdentity)
