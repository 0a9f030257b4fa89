"""The init container's command line."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from meshproxy.errors import ConfigError
from meshproxy.interception.__main__ import main, parser, settings_of
from meshproxy.interception.apply import InterceptionError, Interceptor
from meshproxy.interception.settings import InterceptionSettings


class RecordingInterceptor(Interceptor):
    """Records what was asked for instead of doing it."""

    def __init__(self, failure: str = "") -> None:
        super().__init__(sysctl=Path("/nonexistent"))
        self.applied: list[InterceptionSettings] = []
        self.cleaned = 0
        self._failure = failure

    def apply(self, settings: InterceptionSettings) -> None:
        if self._failure:
            raise InterceptionError(self._failure)
        self.applied.append(settings)

    def clean(self) -> None:
        self.cleaned += 1


def settings(*flags: str, **environment: str) -> InterceptionSettings:
    return settings_of(parser(environment).parse_args(flags))


def test_without_flags_everything_has_its_default() -> None:
    assert settings() == InterceptionSettings()


def test_every_flag_reaches_its_setting() -> None:
    assert settings(
        "--mode=REDIRECT",
        "--inbound-port=16006",
        "--outbound-port=16001",
        "--proxy-uid=2000",
        "--proxy-gid=2001",
        "--include-inbound-ports=80,443",
        "--exclude-inbound-ports=22",
        "--include-outbound-ports=9000",
        "--exclude-outbound-ports=3306",
        "--include-outbound-ip-ranges=10.0.0.0/8",
        "--exclude-outbound-ip-ranges=10.9.0.0/16,fd00::/8",
        "--drop-invalid=false",
    ) == InterceptionSettings(
        inbound_port=16006,
        outbound_port=16001,
        proxy_uid=2000,
        proxy_gid=2001,
        include_inbound_ports=(80, 443),
        exclude_inbound_ports=(22,),
        include_outbound_ports=(9000,),
        exclude_outbound_ports=(3306,),
        include_outbound_ranges=(ip_network("10.0.0.0/8"),),
        exclude_outbound_ranges=(ip_network("10.9.0.0/16"), ip_network("fd00::/8")),
        drop_invalid=False,
    )


def test_the_environment_gives_values_and_flags_win() -> None:
    assert settings(MESHPROXY_INBOUND_PORT="16006").inbound_port == 16006
    assert settings("--inbound-port=17006", MESHPROXY_INBOUND_PORT="16006").inbound_port == 17006


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--mode=TPROXY", "--mode: 'TPROXY' is not supported; use REDIRECT"),
        ("--inbound-port=x", "--inbound-port: 'x' is not a number"),
        ("--inbound-port=70000", "inbound port 70000: use 1-65535"),
        ("--exclude-outbound-ports=http", "--exclude-outbound-ports: 'http' is not a port"),
        (
            "--exclude-outbound-ip-ranges=10.0.0.1/8",
            "--exclude-outbound-ip-ranges: '10.0.0.1/8' is not an address",
        ),
        ("--dns-port=0", "DNS port 0: use 1-65535"),
        ("--dns-capture=yes", "--dns-capture: 'yes' is neither; use true or false"),
        ("--drop-invalid=maybe", "--drop-invalid: 'maybe' is neither; use true or false"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value_and_the_mend(
    flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(flag)
    assert main([flag], {}, RecordingInterceptor()) == 2
    assert message in capsys.readouterr().err


def test_dns_is_captured_to_the_servers_of_resolv_conf(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.96.0.10\nnameserver fd00::a\nnameserver here\nsearch lan\n")
    found = settings("--dns-capture=true", f"--resolv-conf={file}", "--dns-port=5300")
    assert (found.dns_port, [str(one) for one in found.dns_servers]) == (5300, ["10.96.0.10", "fd00::a"])
    assert not settings(f"--resolv-conf={file}").dns_servers
    with pytest.raises(ConfigError, match=r"--resolv-conf: .*missing cannot be read"):
        settings("--dns-capture=true", f"--resolv-conf={tmp_path}/missing")


def test_apply_clean_and_dry_run_do_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    interceptor = RecordingInterceptor()
    assert main(["--proxy-uid=7"], {}, interceptor) == 0
    assert main(["--clean"], {}, interceptor) == 0
    assert main(["--dry-run"], {}, interceptor) == 0
    assert interceptor.applied == [InterceptionSettings(proxy_uid=7)]
    assert interceptor.cleaned == 1
    assert "-j REDIRECT --to-ports 15001" in capsys.readouterr().out


def test_rules_that_cannot_be_applied_end_with_1_and_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}, RecordingInterceptor(failure="no nat table")) == 1
    assert capsys.readouterr().err == "interception: no nat table\n"
