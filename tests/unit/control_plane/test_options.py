"""The control plane's command line."""

from pathlib import Path

import pytest

from certs.spiffe_id import TrustDomain
from control_plane.apiserver.kubelet import KubeletFiles
from control_plane.options import Options, parse_options
from control_plane.translate.settings import MeshSettings, MtlsMode, OutboundTrafficPolicy


def test_the_data_directory_is_enough() -> None:
    options = parse_options(["--data-dir", "/d"])
    assert options == Options(Path("/d"))
    assert options.mesh == MeshSettings(
        TrustDomain("cluster.local"), MtlsMode.STRICT, OutboundTrafficPolicy.ALLOW_ANY
    )
    assert (options.xds_port, options.signing_port, options.metrics_port) == (15012, 15011, 15014)
    assert (options.rest_address, options.plaintext_xds_address) == ("127.0.0.1:15015", "127.0.0.1:15010")
    assert (options.debounce.quiet, options.debounce.longest, options.leaf_ttl) == (0.1, 10.0, 86_400)


def test_every_flag_arrives() -> None:
    flags = (
        "--data-dir d --rest-fd 7 --bind-address 10.0.0.1 --xds-port 1 --signing-port 2 --metrics-port 3 "
        "--plaintext-xds-address [::1]:4 --trust-domain td --mtls-mode PERMISSIVE --leaf-ttl 10 "
        "--outbound-traffic-policy REGISTRY_ONLY --debounce-after 0 --debounce-max 1 --log-level debug "
        "--extra-san a --extra-san 10.0.0.2"
    )
    options = parse_options(flags.split())
    assert options.rest_fd == 7
    assert options.bind_address == "10.0.0.1"
    assert options.mesh.mtls_mode is MtlsMode.PERMISSIVE
    assert options.mesh.outbound_traffic_policy is OutboundTrafficPolicy.REGISTRY_ONLY
    assert options.mesh.identity("shop", "web") == "spiffe://td/ns/shop/sa/web"
    assert options.extra_sans == ("a", "10.0.0.2")
    assert options.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "--data-dir"),
        ("--data-dir d --trust-domain UPPER", "trust domain 'UPPER'"),
        ("--data-dir d --mtls-mode MAYBE", "MAYBE"),
        ("--data-dir d --leaf-ttl 1", "--leaf-ttl 1"),
        ("--data-dir d --plaintext-xds-address 0.0.0.0:15010", "loopback"),
        ("--data-dir d --plaintext-xds-address nonsense", "must be host:port"),
        ("--data-dir d --plaintext-xds-address nonsense:1", "does not appear to be"),
        ("--data-dir d --rest-address :1", "--rest-address :1"),
        ("--data-dir d --debounce-after -1", "-1"),
        ("--data-dir d --debounce-after nan", "nan"),
        ("--data-dir d --debounce-max inf", "inf"),
        ("--data-dir d --leaf-ttl nan", "--leaf-ttl nan"),
        ("--data-dir d --leaf-ttl inf", "--leaf-ttl inf"),
        ("--data-dir d --service-cluster-ip-range 10.96.0.0/8", "has host bits set"),
        ("--data-dir d --service-cluster-ip-range 10.0.0.0/8", "from 4 to 20 bits"),
        ("--data-dir d --service-cluster-ip-range 10.96.0.0/16,10.97.0.0/16", "at most one network"),
        ("--data-dir d --service-cluster-ip-range x", "--service-cluster-ip-range x"),
        ("--data-dir d --xds-port 65536", "--xds-port 65536"),
        ("--data-dir d --metrics-port -1", "--metrics-port -1"),
        ("--data-dir d --rest-address 127.0.0.1:70000", "port 70000"),
        ("--data-dir d --rest-address 127.0.0.1:" + "1" * 5000, "must be host:port"),
        ("--data-dir d --extra-san bäd", "--extra-san 'bäd'"),
        ("--data-dir d --extra-san -x", "--extra-san"),
    ],
)
def test_a_wrong_flag_is_refused_by_name(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options(flags.split())
    assert message in capsys.readouterr().err


def test_files_for_kubelets_come_together() -> None:
    flags = ["--kubelet-certificate-authority", "ca", "--kubelet-client-certificate", "crt"]
    files = parse_options(["--data-dir", "d", *flags, "--kubelet-client-key", "key"]).kubelet_files
    assert files == KubeletFiles(Path("ca"), Path("crt"), Path("key"))
    assert parse_options(["--data-dir", "d"]).kubelet_files is None
    with pytest.raises(SystemExit):
        parse_options(["--data-dir", "d", *flags])
