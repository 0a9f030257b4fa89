"""The kubelet's endpoint: what a request asks for, who may ask, what a command's end is told as."""

import ssl
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from lab.exec_session import ExecRequest, outcome, refusal
from lab.kubelet_certificates import KubeletAuthority
from lab.kubelet_server import log_query, server_context
from lab.log_line import LogQuery
from lab.node_registration import capacity, conditions
from lab.paths import LabPaths


def test_the_query_of_a_log_is_kubernetes() -> None:
    asked = {"follow": "true", "previous": "1", "timestamps": "false", "tailLines": "5", "limitBytes": "9"}
    assert log_query(asked, 0.0) == LogQuery(follow=True, previous=True, tail_lines=5, limit_bytes=9)
    assert log_query({"sinceSeconds": "60"}, 1_700_000_060.0).since == "2023-11-14T22:13:20Z"
    assert log_query({"sinceSeconds": "9" * 18}, 1_700_000_060.0).since == "1970-01-01T00:00:00Z"
    assert log_query({"sinceTime": "2023-11-14T23:13:20+01:00"}, 0.0).since == "2023-11-14T22:13:20Z"
    assert log_query({}, 0.0) == LogQuery()


@pytest.mark.parametrize("asked", [{"tailLines": "-1"}, {"limitBytes": "x"}, {"sinceTime": "yesterday"}])
def test_what_is_no_number_or_time_is_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        log_query(asked, 0.0)


def test_a_command_is_asked_for_by_either_names() -> None:
    asked = [("command", "ls"), ("command", "-l"), ("input", "1"), ("stdout", "true"), ("stderr", "false")]
    assert ExecRequest.of(asked) == ExecRequest(("ls", "-l"), stdin=True, stdout=True)


def test_the_end_of_a_command_is_a_status() -> None:
    assert outcome(0) == {"metadata": {}, "status": "Success"}
    assert outcome(3)["details"] == {"causes": [{"reason": "ExitCode", "message": "3"}]}
    assert refusal("why")["message"] == "why"


def test_certificates_are_of_one_authority_and_name_the_node(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path)
    node = KubeletAuthority(paths).node("node-a", [IPv4Address("10.244.0.1")])
    client = KubeletAuthority(paths).api_server()
    assert KubeletAuthority(paths).api_server() == client
    served = x509.load_pem_x509_certificate(node.pair.certificate.read_bytes())
    authority = x509.load_pem_x509_certificate(node.authority.read_bytes())
    served.verify_directly_issued_by(authority)
    names = served.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["node-a"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("10.244.0.1")]
    assert node.pair.key.stat().st_mode & 0o777 == 0o600
    assert server_context(node).verify_mode is ssl.CERT_REQUIRED


def test_conditions_of_a_node_keep_the_time_of_their_last_change() -> None:
    first = conditions([], "t1")
    later = {str(one["type"]): one for one in conditions(first, "t2", is_ready=False)}
    assert (later["MemoryPressure"]["lastTransitionTime"], later["MemoryPressure"]["lastHeartbeatTime"]) == (
        "t1",
        "t2",
    )
    assert (later["Ready"]["status"], later["Ready"]["lastTransitionTime"]) == ("False", "t2")


def test_a_node_has_what_the_machine_has() -> None:
    assert capacity().keys() == {"cpu", "memory", "ephemeral-storage", "pods"}
