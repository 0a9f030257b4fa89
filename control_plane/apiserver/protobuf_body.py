"""Bodies in Kubernetes' protobuf encoding (pure): what `kubectl create` and clients in Go send for its kinds.

Read with tables of field numbers, from the `generated.proto` files of k8s.io/api and k8s.io/apimachinery,
for the kinds that kubectl makes from its command line. What is not in a table is refused by its number: the
client then has to send JSON, as `kubectl create -f` and `apply -f` do.
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from control_plane.resources.manifest import Manifest

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_DEEPEST = 32


class ProtobufError(ValueError):
    """A body that is not read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message."""

    name: str
    type: str
    """`text`, `int`, `bool`, `bytes`, `int_or_text`, `skip` (not read), or the name of a message."""
    is_list: bool = False
    is_map: bool = False
    is_kept: bool = False
    """A pointer in Go: written only when it was set, so its zero means something."""


def _table(**rows: str) -> Mapping[int, Field]:
    """`replicas="1 int *"`: number, type (`[x]` a list, `{x}` a map from text), `*` for what was set."""
    fields = {}
    for name, row in rows.items():
        number, kind, *kept = row.split()
        bare = kind.strip("[]{}")
        fields[int(number)] = Field(name.rstrip("_"), bare, kind[0] == "[", kind[0] == "{", bool(kept))
    return fields


_MESSAGES: Mapping[str, Mapping[int, Field]] = {
    "Meta": _table(
        name="1 text",
        generateName="2 text",
        namespace="3 text",
        selfLink="4 text",
        uid="5 text",
        resourceVersion="6 text",
        generation="7 int",
        creationTimestamp="8 skip",
        labels="11 {text}",
        annotations="12 {text}",
        finalizers="14 [text]",
    ),
    "Namespace": _table(metadata="1 Meta", spec="2 NamespaceSpec", status="3 skip"),
    "NamespaceSpec": _table(finalizers="1 [text]"),
    "ConfigMap": _table(metadata="1 Meta", data="2 {text}", binaryData="3 {bytes}", immutable="4 bool *"),
    "Secret": _table(
        metadata="1 Meta", data="2 {bytes}", type="3 text", stringData="4 {text}", immutable="5 bool *"
    ),
    "ServiceAccount": _table(
        metadata="1 Meta", imagePullSecrets="3 [Name]", automountServiceAccountToken="4 bool *"
    ),
    "Name": _table(name="1 text"),
    "Service": _table(metadata="1 Meta", spec="2 ServiceSpec", status="3 skip"),
    "ServiceSpec": _table(
        ports="1 [ServicePort]",
        selector="2 {text}",
        clusterIP="3 text",
        type="4 text",
        externalIPs="5 [text]",
        sessionAffinity="7 text",
        loadBalancerIP="8 text",
        externalName="10 text",
        externalTrafficPolicy="11 text",
        healthCheckNodePort="12 int",
        publishNotReadyAddresses="13 bool",
        ipFamilyPolicy="17 text *",
        clusterIPs="18 [text]",
        ipFamilies="19 [text]",
        internalTrafficPolicy="22 text *",
    ),
    "ServicePort": _table(
        name="1 text",
        protocol="2 text",
        port="3 int",
        targetPort="4 int_or_text",
        nodePort="5 int",
        appProtocol="6 text *",
    ),
    "Deployment": _table(metadata="1 Meta", spec="2 DeploymentSpec", status="3 skip"),
    "DeploymentSpec": _table(
        replicas="1 int *",
        selector="2 Selector *",
        template="3 Template",
        strategy="4 Strategy",
        minReadySeconds="5 int",
        revisionHistoryLimit="6 int *",
        paused="7 bool",
        progressDeadlineSeconds="9 int *",
    ),
    "Strategy": _table(type="1 text"),
    "Selector": _table(matchLabels="1 {text}", matchExpressions="2 [SelectorTerm]"),
    "SelectorTerm": _table(key="1 text", operator="2 text", values="3 [text]"),
    "Template": _table(metadata="1 Meta", spec="2 PodSpec"),
    "PodSpec": _table(
        containers="2 [Container]",
        restartPolicy="3 text",
        dnsPolicy="6 text",
        terminationGracePeriodSeconds="4 int *",
        nodeSelector="7 {text}",
        serviceAccountName="8 text",
        serviceAccount="9 text",
        nodeName="10 text",
        hostNetwork="11 bool",
        hostPID="12 bool",
        hostIPC="13 bool",
        hostname="16 text",
        subdomain="17 text",
        schedulerName="19 text",
        priorityClassName="24 text",
    ),
    "Container": _table(
        name="1 text",
        image="2 text",
        command="3 [text]",
        args="4 [text]",
        workingDir="5 text",
        ports="6 [ContainerPort]",
        env="7 [Env]",
        resources="8 Nothing",
        terminationMessagePath="13 text",
        imagePullPolicy="14 text",
        stdin="16 bool",
        stdinOnce="17 bool",
        tty="18 bool",
        terminationMessagePolicy="20 text",
    ),
    "Nothing": {},
    "ContainerPort": _table(
        name="1 text",
        hostPort="2 int",
        containerPort="3 int",
        protocol="4 text",
        hostIP="5 text",
    ),
    "Env": _table(name="1 text", value="2 text"),
    "Job": _table(metadata="1 Meta", spec="2 JobSpec", status="3 skip"),
    "JobSpec": _table(
        parallelism="1 int *",
        completions="2 int *",
        activeDeadlineSeconds="3 int *",
        template="6 Template",
        backoffLimit="7 int *",
        ttlSecondsAfterFinished="8 int *",
    ),
    "Ingress": _table(metadata="1 Meta", spec="2 IngressSpec", status="3 skip"),
    "IngressSpec": _table(
        defaultBackend="1 IngressBackend *",
        tls="2 [IngressTls]",
        rules="3 [IngressRule]",
        ingressClassName="4 text *",
    ),
    "IngressBackend": _table(service="4 IngressService *"),
    "IngressService": _table(name="1 text", port="2 IngressPort"),
    "IngressPort": _table(name="1 text", number="2 int"),
    "IngressTls": _table(hosts="1 [text]", secretName="2 text"),
    "IngressRule": _table(host="1 text", inlined="2 IngressRuleValue"),
    "IngressRuleValue": _table(http="1 IngressHttp *"),
    "IngressHttp": _table(paths="1 [IngressPath]"),
    "IngressPath": _table(path="1 text", backend="2 IngressBackend *", pathType="3 text *"),
    "TokenRequest": _table(metadata="1 Meta", spec="2 TokenRequestSpec *", status="3 skip"),
    "TokenRequestSpec": _table(
        audiences="1 [text]", boundObjectRef="3 BoundObject *", expirationSeconds="4 int *"
    ),
    "BoundObject": _table(kind="1 text", apiVersion="2 text", name="3 text", uid="4 text"),
    "SelfSubjectReview": _table(metadata="1 Meta", status="2 skip"),
    "SelfSubjectAccessReview": _table(metadata="1 Meta", spec="2 AccessSpec", status="3 skip"),
    "AccessSpec": _table(resourceAttributes="1 AccessTo *", nonResourceAttributes="2 AccessToPath *"),
    "AccessTo": _table(
        namespace="1 text",
        verb="2 text",
        group="3 text",
        version="4 text",
        resource="5 text",
        subresource="6 text",
        name="7 text",
    ),
    "AccessToPath": _table(path="1 text", verb="2 text"),
    "SelfSubjectRulesReview": _table(metadata="1 Meta", spec="2 RulesSpec", status="3 skip"),
    "RulesSpec": _table(namespace="1 text"),
    "Eviction": _table(metadata="1 Meta", deleteOptions="2 DeleteOptions *"),
    "DeleteOptions": _table(
        gracePeriodSeconds="1 int *",
        preconditions="2 Preconditions *",
        orphanDependents="3 bool *",
        propagationPolicy="4 text *",
        dryRun="5 [text]",
    ),
    "Preconditions": _table(uid="1 text *", resourceVersion="2 text *"),
}
_ENVELOPE = _table(typeMeta="1 TypeMeta", raw="2 bytes", contentEncoding="3 text", contentType="4 text")
_TYPE_META = _table(apiVersion="1 text", kind="2 text")


def read_protobuf(content: bytes) -> Manifest:
    """The object of a body, without fields that have their zero value. Raises ProtobufError."""
    if not content.startswith(_MAGIC):
        raise ProtobufError("the body does not begin as Kubernetes' protobuf does")
    parts: dict[str, bytes] = {}
    for number, value in _fields(content[len(_MAGIC) :]):
        if number in _ENVELOPE and isinstance(value, bytes):
            parts[_ENVELOPE[number].name] = value
    head = _message("TypeMeta", _TYPE_META, parts.get("typeMeta", b""), 0)
    kind = str(head.get("kind", ""))
    if kind not in _MESSAGES:
        raise ProtobufError(f"protobuf of kind {kind or '(none)'} is not read; send JSON")
    return {**head, **_message(kind, _MESSAGES[kind], parts.get("raw", b""), 0)}


def _message(name: str, table: Mapping[int, Field], content: bytes, depth: int) -> Manifest:
    if depth > _DEEPEST:
        raise ProtobufError("the body is nested too deeply")
    result: Manifest = {}
    for number, value in _fields(content):
        field = table.get(number)
        if field is None:
            raise ProtobufError(f"protobuf field {number} of {name} is not read; send JSON")
        if field.type != "skip":
            _put(result, field, value, depth)
    inlined = result.pop("inlined", None)
    return {**result, **inlined} if isinstance(inlined, dict) else result


def _put(result: Manifest, field: Field, value: int | bytes, depth: int) -> None:
    if field.is_map:
        entries = result.setdefault(field.name, {})
        assert isinstance(entries, dict)
        pair = dict(_fields(_as_bytes(value, field)))
        key = _value(Field("key", "text"), pair.get(1, b""), depth)
        entries[str(key)] = _value(field, pair.get(2, b""), depth)
        return
    read = _value(field, value, depth)
    if field.is_list:
        items = result.setdefault(field.name, [])
        assert isinstance(items, list)
        items.append(read)
    elif read or field.is_kept:
        result[field.name] = read


def _value(field: Field, value: int | bytes, depth: int) -> object:
    if field.type in ("int", "bool"):
        if not isinstance(value, int):
            raise ProtobufError(f"protobuf field {field.name}: not a number")
        return bool(value) if field.type == "bool" else _signed(value)
    content = _as_bytes(value, field)
    if field.type == "bytes":
        return base64.b64encode(content).decode()
    if field.type == "text":
        return _text(content, field)
    if field.type == "int_or_text":
        parts = dict(_fields(content))
        return _text(_as_bytes(parts.get(3, b""), field), field) if parts.get(1) else parts.get(2, 0)
    return _message(field.type, _MESSAGES[field.type], content, depth + 1)


def _as_bytes(value: int | bytes, field: Field) -> bytes:
    if not isinstance(value, bytes):
        raise ProtobufError(f"protobuf field {field.name}: a number where none belongs")
    return value


def _text(content: bytes, field: Field) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise ProtobufError(f"protobuf field {field.name}: not UTF-8") from exc


def _signed(value: int) -> int:
    """Protobuf writes a negative number as the 64 bits of its complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: the wire format of protobuf."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            number_value, place = _varint(content, place)
            yield number, number_value
        elif wire in (_FIXED64, _FIXED32):
            raise ProtobufError(f"protobuf field {number}: no field of these kinds has this encoding")
        elif wire == _BYTES:
            length, place = _varint(content, place)
            if place + length > len(content):
                raise ProtobufError("the protobuf body is cut short")
            yield number, content[place : place + length]
            place += length
        else:
            raise ProtobufError(f"the protobuf body has an unknown encoding {wire}")


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(_LONGEST_VARINT):
        if place >= len(content):
            raise ProtobufError("the protobuf body is cut short")
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value & ((1 << 64) - 1), place
    raise ProtobufError("the protobuf body has a number that is too long")
