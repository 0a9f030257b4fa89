"""Names in certificates of strangers: what they are told as, and what they match."""

import ssl

import pytest

from meshproxy.config.tls import SanKind, SanMatch
from meshproxy.transport.outside_peer import OutsidePeer, is_any, outside_peer

SUBJECT = (
    (("countryName", "CH"),),
    (("organizationName", "A, B+C"), ("organizationalUnitName", "#x")),
    (("commonName", 'é "q"\r\n'),),
)


def peer(*names: tuple[str, str]) -> OutsidePeer:
    return OutsidePeer(b"der", SUBJECT, names)


def test_a_subject_is_written_as_rfc_2253_says() -> None:
    assert peer().subject_text == 'CN=é \\"q\\"\r\n,O=A\\, B\\+C+OU=\\#x,C=CH'


def test_what_is_forwarded_is_one_line_of_ascii_in_the_fields_own_syntax() -> None:
    found = peer(("URI", "urn:a;b,c=d"), ("DNS", "a.example"), ("DNS", "b\r\nx: y")).forwarded(
        ("subject", "uri", "dns", "cert")
    )
    assert found.isascii()
    assert found.isprintable()
    kinds = [part.partition("=")[0] for part in found.split(";") if part.partition("=")[0].isalpha()]
    assert kinds == ["Hash", "Cert", "Subject", "URI", "DNS", "DNS"]
    assert "URI=urn:a%3Bb%2Cc%3Dd" in found
    assert "DNS=b%0D%0Ax:%20y" in found


def test_only_what_is_asked_for_is_told_besides_the_hash() -> None:
    assert peer(("DNS", "a")).forwarded(()).startswith("Hash=")
    assert ";" not in peer(("DNS", "a")).forwarded(())
    assert peer().forwarded(("uri",)).endswith(";URI=")


@pytest.mark.parametrize(
    ("name", "match", "is_one"),
    [
        (("DNS", "A.example"), SanMatch(SanKind.DNS, exact="a.EXAMPLE"), True),
        (("DNS", "*.example"), SanMatch(SanKind.DNS, exact="a.example"), True),
        (("DNS", "*.example"), SanMatch(SanKind.DNS, exact="b.a.example"), False),
        (("DNS", "*.example"), SanMatch(SanKind.DNS, exact=".example"), False),
        (("DNS", "a.example"), SanMatch(SanKind.DNS, exact="b.example"), False),
        (("DNS", "a.example"), SanMatch(SanKind.DNS, suffix=".example"), True),
        (("URI", "urn:one"), SanMatch(SanKind.URI, prefix="urn:"), True),
        (("URI", "urn:one"), SanMatch(SanKind.URI, exact="urn:ONE"), False),
        (("URI", "urn:one"), SanMatch(SanKind.DNS, exact="urn:one"), False),
        (("email", "a@b"), SanMatch(SanKind.EMAIL, exact="a@b"), True),
        (("IP Address", "0:0:0:0:0:0:0:1\n"), SanMatch(SanKind.IP_ADDRESS, exact="::1"), True),
        (("IP Address", "what"), SanMatch(SanKind.IP_ADDRESS, exact="::1"), False),
    ],
)
def test_names_and_matchers(name: tuple[str, str], match: SanMatch, is_one: bool) -> None:
    assert is_any(peer(name), (match,)) is is_one
    assert not is_any(peer(name), ())


class _Shown:
    """A finished handshake with this certificate."""

    def __init__(self, found: dict[str, object] | None) -> None:
        self._found = found

    def getpeercert(self, binary_form: bool = False) -> object:
        return (b"der" if binary_form else self._found) if self._found is not None else None


def read(found: dict[str, object] | None, now: float = 0.0) -> OutsidePeer | None:
    return outside_peer(_Shown(found), now)  # type: ignore[arg-type]


def test_nobody_is_who_shows_nothing_or_a_certificate_that_is_over() -> None:
    ends = "Jan  1 00:00:10 1970 GMT"
    assert ssl.cert_time_to_seconds(ends) == 10
    assert read(None) is None
    assert read({"subject": ()}) is None
    assert read({"notAfter": ends}, 10.0) is None
    assert read({"notAfter": ends}, 9.0) == OutsidePeer(b"der", (), ())
