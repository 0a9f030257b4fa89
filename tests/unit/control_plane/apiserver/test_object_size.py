"""Objects are as big as Kubernetes takes them, and not bigger."""

from base64 import b64encode

import pytest

from control_plane.apiserver.object_size import MAX_ANNOTATIONS, MAX_DATA, check_size
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse


def config_map(**fields: object) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, **fields}


def secret(**fields: object) -> Manifest:
    return {**config_map(**fields), "kind": "Secret"}


def annotated(value: str) -> Manifest:
    return {**config_map(), "metadata": {"name": "x", "annotations": {"k": value}}}


def encoded(size: int) -> str:
    return b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("fits", "is_too_big", "field"),
    [
        (config_map(data={"k": "x" * MAX_DATA}), config_map(data={"a": "x" * MAX_DATA, "b": "x"}), "data"),
        (
            config_map(data={"k": "é" * (MAX_DATA // 2)}),
            config_map(data={"k": "é" * (MAX_DATA // 2 + 1)}),
            "data",
        ),
        (
            config_map(binaryData={"k": encoded(MAX_DATA)}),
            config_map(binaryData={"k": encoded(MAX_DATA + 1)}),
            "data",
        ),
        (secret(data={"k": encoded(MAX_DATA)}), secret(data={"k": encoded(MAX_DATA + 1)}), "data"),
        (
            secret(data={"k": encoded(MAX_DATA)}, stringData={"k": "x" * MAX_DATA}),
            secret(data={"k": encoded(MAX_DATA)}, stringData={"other": "x"}),
            "data",
        ),
        (annotated("x" * (MAX_ANNOTATIONS - 1)), annotated("x" * MAX_ANNOTATIONS), "metadata.annotations"),
    ],
)
def test_the_limit_is_allowed_and_a_byte_more_is_not(
    fits: Manifest, is_too_big: Manifest, field: str
) -> None:
    assert list(check_size(parse(fits), None)) == []
    [cause] = check_size(parse(is_too_big), None)
    assert (cause.field, cause.reason) == (field, "FieldValueTooLong")


def test_other_kinds_have_no_data() -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}}
    assert list(check_size(parse(account), None)) == []
