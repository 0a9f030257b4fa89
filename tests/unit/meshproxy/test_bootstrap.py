import pytest

from meshproxy.bootstrap import parse, read_labels
from meshproxy.errors import ConfigError

ENVIRONMENT = {"POD_NAME": "web-1", "POD_NAMESPACE": "shop", "POD_IP": "10.244.0.7", "SERVICE_ACCOUNT": "web"}


def test_the_injectors_environment_is_enough():
    found = parse([], ENVIRONMENT)
    assert str(found.spiffe_id) == "spiffe://cluster.local/ns/shop/sa/web"
    assert (found.admin_port, found.readiness_port, found.prometheus_port) == (15000, 15021, 15090)
    assert found.discovery_address == "control-plane.meshproxy-system.svc:15012"
    assert found.workload.workload == "web-1"


def test_flags_beat_the_environment():
    found = parse(["--pod-name", "other", "--trust-domain", "td.example", "--admin-port", "0"], ENVIRONMENT)
    assert (found.pod_name, found.trust_domain, found.admin_port) == ("other", "td.example", 0)


def test_labels_give_app_and_version(tmp_path):
    labels = tmp_path / "labels"
    labels.write_text('app="web"\nversion="v2"\n\nnote="say \\"hi\\" \\\\ there"\n')
    found = parse(["--labels-file", str(labels), "--workload-name", "web"], ENVIRONMENT)
    assert (found.workload.app, found.workload.version, found.workload.workload) == ("web", "v2", "web")
    assert found.labels["note"] == 'say "hi" \\ there'


@pytest.mark.parametrize(
    ("arguments", "missing", "message"),
    [
        ([], "POD_NAME", "--pod-name is missing"),
        ([], "POD_IP", "--pod-ip is missing"),
        (["--pod-ip", "here"], "", "'here' is not an IP address"),
        (["--discovery-address", "nowhere"], "", "'nowhere' is not host:port"),
        (["--signing-address", "host:0"], "", "'host:0' is not host:port"),
        (["--service-account", "a/b"], "", "no SPIFFE id"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments, missing, message):
    environment = {key: value for key, value in ENVIRONMENT.items() if key != missing}
    with pytest.raises(ConfigError, match=message):
        parse(arguments, environment)


def test_one_worker_is_the_default_and_more_are_asked_for_by_flag_or_environment():
    assert parse([], ENVIRONMENT).concurrency == 1
    assert parse(["--concurrency", "2"], ENVIRONMENT).concurrency == 2
    assert parse([], {**ENVIRONMENT, "MESHPROXY_CONCURRENCY": "4"}).concurrency == 4


def test_connections_of_a_listener() -> None:
    assert parse([], ENVIRONMENT).max_connections is None
    assert parse(["--max-connections", "5"], ENVIRONMENT).max_connections == 5
    assert parse([], {**ENVIRONMENT, "MESHPROXY_MAX_CONNECTIONS": "7"}).max_connections == 7


@pytest.mark.parametrize(
    "arguments",
    [
        ["--admin-port", "70000"],
        ["--drain-timeout", "-1"],
        ["--what"],
        ["--max-connections", "0"],
        ["--max-connections", "many"],
        ["--concurrency", "0"],
        ["--concurrency", "65"],
        ["--concurrency", "auto"],
    ],
)
def test_flags_that_make_no_sense_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        parse(arguments, ENVIRONMENT)
    assert raised.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_broken_labels_file_names_the_line(tmp_path):
    labels = tmp_path / "labels"
    labels.write_text('app="web"\nnonsense\n')
    with pytest.raises(ConfigError, match="line 2: 'nonsense'"):
        read_labels(labels)
    assert read_labels(tmp_path / "absent") == {}


def test_a_gateway_faces_strangers_with_the_strict_codec_unless_told_otherwise() -> None:
    sidecar, gateway = parse([], ENVIRONMENT), parse(["--role", "gateway"], ENVIRONMENT)
    assert (sidecar.role, sidecar.downstream_codec) == ("sidecar", "scan")
    assert (gateway.role, gateway.downstream_codec) == ("gateway", "strict")
    told = parse(["--downstream-codec", "scan"], {**ENVIRONMENT, "MESHPROXY_ROLE": "gateway"})
    assert (told.role, told.downstream_codec) == ("gateway", "scan")


@pytest.mark.parametrize("variable", ["MESHPROXY_ROLE", "MESHPROXY_DOWNSTREAM_CODEC"])
def test_roles_and_codecs_of_the_environment_are_checked_too(variable: str) -> None:
    with pytest.raises(ConfigError, match="'other'"):
        parse([], {**ENVIRONMENT, variable: "other"})


def test_dns_is_answered_only_when_asked_for() -> None:
    assert parse([], ENVIRONMENT).dns_port is None
    found = parse(["--resolv-conf=/pod/resolv.conf"], {**ENVIRONMENT, "MESHPROXY_DNS_CAPTURE": "true"})
    assert (found.dns_port, str(found.resolv_conf)) == (15053, "/pod/resolv.conf")
    assert parse(["--dns-capture=true", "--dns-port=0"], ENVIRONMENT).dns_port == 0
    with pytest.raises(ConfigError, match="--dns-capture 'yes'"):
        parse(["--dns-capture=yes"], ENVIRONMENT)
