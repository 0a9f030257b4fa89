"""The xDS subset is wire-compatible with Envoy's API; the committed stubs are those of the `.proto` files.

`xds_facts.json` holds (message, field, number, type, oneof) as PyPI's `xds-protos` 1.85.0 (Envoy's own API,
compiled) describes them. That package cannot live in this environment: it overwrites files of
`opentelemetry-proto`.
"""

import importlib
import json
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    FileDescriptor,
    ServiceDescriptor,
)
from grpc_tools import protoc

from control_plane.api.generate import ROOT, include_paths, proto_files

Fact = tuple[str, str, int, str, str]
FACTS: set[Fact] = {
    (message, field, number, kind, oneof)
    for message, field, number, kind, oneof in json.loads(
        (Path(__file__).parent / "xds_facts.json").read_text()
    )
}
SCALARS = {
    value: name.removeprefix("TYPE_").lower()
    for name, value in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def _committed(proto: str) -> FileDescriptor:
    module = importlib.import_module(proto.removesuffix(".proto").replace("/", ".") + "_pb2")
    descriptor = module.DESCRIPTOR
    assert isinstance(descriptor, FileDescriptor)
    return descriptor


def _kind(field: FieldDescriptor) -> str:
    reference = field.message_type or field.enum_type
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return f"map<string, {_kind(value)}>"
    name = reference.full_name if reference else SCALARS[field.type]
    return f"repeated {name}" if field.is_repeated else name


def _enum_facts(enum: EnumDescriptor) -> set[Fact]:
    return {(enum.full_name, value.name, value.number, "enum value", "") for value in enum.values}


def _message_facts(message: Descriptor) -> set[Fact]:
    facts: set[Fact] = set()
    for field in message.fields:
        oneof = field.containing_oneof.name if field.containing_oneof else ""
        facts.add((message.full_name, field.name, field.number, _kind(field), oneof))
    for nested in message.nested_types:
        if not nested.GetOptions().map_entry:
            facts |= _message_facts(nested)
    for enum in message.enum_types:
        facts |= _enum_facts(enum)
    return facts


def _ours() -> set[Fact]:
    facts: set[Fact] = set()
    for proto in proto_files():
        file = _committed(proto)
        if not file.package.startswith("envoy."):
            continue
        for message in file.message_types_by_name.values():
            facts |= _message_facts(message)
        for enum in file.enum_types_by_name.values():
            facts |= _enum_facts(enum)
    return facts


def test_every_field_of_the_subset_has_envoys_number_type_and_oneof() -> None:
    assert _ours() == FACTS


def test_the_discovery_method_has_envoys_path() -> None:
    file = _committed("control_plane/api/envoy/service/discovery/v3/ads.proto")
    service = file.services_by_name["AggregatedDiscoveryService"]
    assert isinstance(service, ServiceDescriptor)
    method = service.methods_by_name["StreamAggregatedResources"]
    assert service.full_name == "envoy.service.discovery.v3.AggregatedDiscoveryService"
    assert method.input_type.full_name == "envoy.service.discovery.v3.DiscoveryRequest"
    assert method.output_type.full_name == "envoy.service.discovery.v3.DiscoveryResponse"
    assert (method.client_streaming, method.server_streaming) == (True, True)


def test_the_signing_service_has_istios_path_and_numbers() -> None:
    file = _committed("control_plane/api/istio/v1/auth/ca.proto")
    request = file.message_types_by_name["IstioCertificateRequest"]
    response = file.message_types_by_name["IstioCertificateResponse"]
    assert {field.name: field.number for field in request.fields} == {
        "csr": 1,
        "validity_duration": 3,
        "metadata": 4,
    }
    assert {field.name: field.number for field in response.fields} == {"cert_chain": 1}
    service = file.services_by_name["IstioCertificateService"]
    assert service.full_name == "istio.v1.auth.IstioCertificateService"
    assert list(service.methods_by_name) == ["CreateCertificate"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """What protoc makes of the `.proto` files now."""
    output = tmp_path_factory.mktemp("descriptors") / "set.pb"
    includes = [f"-I{path}" for path in include_paths()]
    assert protoc.main(["protoc", *includes, f"--descriptor_set_out={output}", *proto_files()]) == 0
    files = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    return {file.name: file for file in files.file}


@pytest.mark.parametrize("proto", proto_files())
def test_committed_stubs_are_those_of_the_proto_file(
    proto: str, compiled: dict[str, descriptor_pb2.FileDescriptorProto]
) -> None:
    committed = descriptor_pb2.FileDescriptorProto.FromString(_committed(proto).serialized_pb)
    fresh = compiled[proto]
    for message in _walk(fresh):
        for field in message.field:
            field.ClearField("json_name")
    assert committed == fresh


def _walk(
    parent: descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto,
) -> list[descriptor_pb2.DescriptorProto]:
    nested = (
        parent.message_type if isinstance(parent, descriptor_pb2.FileDescriptorProto) else parent.nested_type
    )
    return [message for child in nested for message in (child, *_walk(child))]


@pytest.mark.parametrize("proto", proto_files())
def test_type_stubs_are_committed_and_the_package_is_regular(proto: str) -> None:
    base = ROOT / proto.removesuffix(".proto")
    assert base.with_name(base.name + "_pb2.pyi").is_file()
    assert (base.parent / "__init__.py").is_file()


def test_googles_status_is_imported_not_redefined() -> None:
    pool = descriptor_pool.Default()
    _committed("control_plane/api/envoy/service/discovery/v3/discovery.proto")
    assert pool.FindMessageTypeByName("google.rpc.Status").file.name == "google/rpc/status.proto"
