"""The injector's command line: what is wrong is refused by name, defaults are the mesh's."""

from pathlib import Path

import pytest

from certs.spiffe_id import TrustDomain
from injector.options import parse_options
from injector.registration import DNS_NAMES
from injector.template import InjectorSettings

REQUIRED = ["--kubeconfig", "/k", "--token-file", "/t", "--state-dir", "/s"]


def test_defaults():
    options = parse_options(REQUIRED)
    assert (options.kubeconfig, options.token_file, options.state_directory) == (
        Path("/k"),
        Path("/t"),
        Path("/s"),
    )
    assert (options.host, options.port, options.registers) == ("0.0.0.0", 15017, False)
    assert options.settings == InjectorSettings()
    assert options.signing_address == InjectorSettings().signing_address
    assert options.renewal_address == InjectorSettings().discovery_address
    assert options.trust_domain == TrustDomain("cluster.local")
    assert options.log_level == "INFO"


def test_what_is_given_counts():
    flags = [
        "--listen",
        "[::]:0",
        "--register",
        "--image",
        "m:2",
        "--python",
        "python3",
        "--trust-domain",
        "a.b",
    ]
    flags += [
        "--discovery-address",
        "d:1",
        "--sidecar-signing-address",
        "s:2",
        "--sidecar-log-level",
        "debug",
    ]
    options = parse_options([*REQUIRED, *flags])
    assert (options.host, options.port, options.registers) == ("::", 0, True)
    wanted = InjectorSettings(
        image="m:2",
        python="python3",
        trust_domain="a.b",
        discovery_address="d:1",
        signing_address="s:2",
        log_level="debug",
    )
    assert options.settings == wanted


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--listen", "0.0.0.0"], "must be address:port"),
        (["--listen", "0.0.0.0:65536"], "must be address:port"),
        (["--listen", "0.0.0.0:x"], "must be address:port"),
        (["--listen", "host:1"], "'host' does not appear to be an IPv4 or IPv6 address"),
        (["--trust-domain", "Not A Domain"], "Not A Domain"),
        (["--log-level", "loud"], "invalid choice"),
    ],
)
def test_wrong_values_are_refused(flags, message, capsys):
    with pytest.raises(SystemExit):
        parse_options([*REQUIRED, *flags])
    assert message in capsys.readouterr().err


def test_the_files_are_required():
    with pytest.raises(SystemExit):
        parse_options([])


def test_the_name_of_a_url_stands_in_the_certificate():
    assert parse_options(REQUIRED).dns_names == DNS_NAMES
    options = parse_options([*REQUIRED, "--webhook-url", "https://localhost:7", "--listen-fd", "5"])
    assert (options.webhook_url, options.listen_fd) == ("https://localhost:7", 5)
    assert options.dns_names == (*DNS_NAMES, "localhost")


@pytest.mark.parametrize("url", ["http://localhost:7", "https://", "https://a/b", "a"])
def test_a_url_with_more_than_a_place_is_refused(url: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parse_options([*REQUIRED, "--webhook-url", url])
    assert "--webhook-url" in capsys.readouterr().err
