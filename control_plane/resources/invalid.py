"""Why an object was refused, field by field, in the words of Kubernetes' `Status` causes (pure)."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

_LONGEST_SHOWN_VALUE = 80
_OF_PYDANTIC = re.compile(r"^(Input|String|Tuple|List|Dictionary) should ")
_COUNTED = re.compile(r" after validation, not \d+$")
_UNQUOTED = frozenset({"int_type", "float_type", "bool_type"})
_REASONS = {
    "missing": "FieldValueRequired",
    "extra_forbidden": "FieldValueForbidden",
    "not_supported": "FieldValueNotSupported",
    "literal_error": "FieldValueNotSupported",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One refused field."""

    field: str
    """Path such as `spec.rules[0].backendRefs[1].weight`; empty for the whole object."""
    message: str
    reason: str = "FieldValueInvalid"
    """A `CauseType` of Kubernetes, e.g. `FieldValueInvalid`."""


class InvalidResource(ValueError):
    """An object that is refused; carries every cause."""

    def __init__(self, kind: str, name: str, causes: Sequence[Cause]) -> None:
        details = "; ".join(
            f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes
        )
        super().__init__(f'{kind} "{name}" is invalid: {details}')
        self.kind = kind
        self.name = name
        self.causes = tuple(causes)


def field_path(location: Sequence[int | str]) -> str:
    """`("spec", "rules", 0, "name")` → `spec.rules[0].name`; a map key that is no word → `labels[a/b]`."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part == "[key]":  # pydantic: the key itself, not its value, was refused
            continue
        elif part.isidentifier():
            path += f".{part}" if path else part
        else:
            path += f"[{part}]"
    return path


def causes_of(error: ValidationError, *, secret: Collection[str] = ()) -> tuple[Cause, ...]:
    """One cause per refused field, in pydantic's order. What lies in the fields `secret` is not shown."""
    causes = []
    for detail in error.errors(include_url=False):
        kind = detail["type"]
        if kind == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts the elements that were valid; their own errors are reported
        reason = _REASONS.get(
            kind, "FieldValueTypeInvalid" if kind.endswith("_type") else "FieldValueInvalid"
        )
        value = None if detail["loc"] and detail["loc"][0] in secret else detail["input"]
        causes.append(Cause(field_path(detail["loc"]), _message(kind, detail["msg"], value), reason))
    return tuple(causes)


def _message(kind: str, text: str, value: object) -> str:
    if kind == "missing":
        return "required"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind == "not_supported":
        return text
    text = _OF_PYDANTIC.sub("must ", _COUNTED.sub("", text))
    if isinstance(value, (str, int, float)):
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        if len(shown) > _LONGEST_SHOWN_VALUE:
            shown = f"{shown[:_LONGEST_SHOWN_VALUE]}…"
        return f"invalid value {shown}: {text}{_mend(kind, value)}"
    return text


def _mend(kind: str, value: str | float) -> str:
    """YAML takes `1`, `true` and `"1"` for what they look like, whoever wrote them for the other."""
    if kind == "string_type":
        return "; put it in quotes"
    return "; leave out the quotes" if kind in _UNQUOTED and isinstance(value, str) else ""
