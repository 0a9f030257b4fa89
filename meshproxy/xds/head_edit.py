"""Header mutations, path and host rewrites -> their values in the model (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Protocol

from control_plane.api.envoy.config.core.v3.base_pb2 import HeaderValueOption
from control_plane.api.envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute
from meshproxy.config.head_edit import (
    AppendAction,
    HeaderMutations,
    HeaderOption,
    HeadMutations,
    PathRewrite,
    RegexSubstitution,
)
from meshproxy.errors import ConfigError, RemoteProtocolError
from meshproxy.http.syntax import FIELD_VALUE, TARGET, is_token, parse_authority
from meshproxy.xds.strict import require

_ACTIONS: Final = {
    HeaderValueOption.APPEND_IF_EXISTS_OR_ADD: AppendAction.APPEND_IF_EXISTS_OR_ADD,
    HeaderValueOption.ADD_IF_ABSENT: AppendAction.ADD_IF_ABSENT,
    HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD: AppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    HeaderValueOption.OVERWRITE_IF_EXISTS: AppendAction.OVERWRITE_IF_EXISTS,
}
_PROTECTED: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "x-request-id",
        "x-envoy-peer-metadata",
        "x-forwarded-client-cert",
        "x-meshproxy-unserved",
    }
)
"""Fields that frame a message or route it, and the mesh's own: this proxy writes them itself."""
_MAX_OPTIONS: Final = 1000
"""Envoy's limit of one list."""


class MutatedLevel(Protocol):
    """The four fields that a cluster's share, a route, a virtual host and a table have in common."""

    @property
    def request_headers_to_add(self) -> Iterable[HeaderValueOption]: ...
    @property
    def request_headers_to_remove(self) -> Iterable[str]: ...
    @property
    def response_headers_to_add(self) -> Iterable[HeaderValueOption]: ...
    @property
    def response_headers_to_remove(self) -> Iterable[str]: ...


def translate_mutations(level: MutatedLevel, path: str) -> HeadMutations:
    """Of a level that has passed the strict check. Raises ConfigError."""
    return HeadMutations(
        _mutations(level.request_headers_to_add, level.request_headers_to_remove, f"{path}.request_headers"),
        _mutations(
            level.response_headers_to_add, level.response_headers_to_remove, f"{path}.response_headers"
        ),
    )


def _mutations(add: Iterable[HeaderValueOption], remove: Iterable[str], path: str) -> HeaderMutations:
    options = [_option(option, f"{path}_to_add[{index}]") for index, option in enumerate(add)]
    require(len(options) <= _MAX_OPTIONS, f"{path}_to_add", f"more than {_MAX_OPTIONS} fields")
    return HeaderMutations(
        tuple(option for option in options if option is not None),
        tuple(field_name(name, f"{path}_to_remove[{index}]") for index, name in enumerate(remove)),
    )


def translate_options(
    options: Iterable[HeaderValueOption], path: str, refused: Collection[str] = ()
) -> tuple[HeaderOption, ...]:
    """A single list of fields to add; `refused` are names that it must not have. Raises ConfigError."""
    made = []
    for index, option in enumerate(options):
        translated = _option(option, f"{path}[{index}]")
        if translated is not None:
            name = translated.name
            require(name not in refused, f"{path}[{index}].header.key", f"{name!r} is written by the proxy")
            made.append(translated)
    return tuple(made)


def _option(option: HeaderValueOption, path: str) -> HeaderOption | None:
    """None for an empty value that is not to be kept: Envoy drops such a field."""
    name = field_name(option.header.key, f"{path}.header.key")
    value = _value(option.header.value, f"{path}.header.value")
    if not value and not option.keep_empty_value:
        return None
    return HeaderOption(name, value, _action(option, path))


def _action(option: HeaderValueOption, path: str) -> AppendAction:
    if not option.HasField("append"):
        return _ACTIONS[option.append_action]
    require(option.append_action == 0, f"{path}.append", "is not allowed beside append_action")
    return (
        AppendAction.APPEND_IF_EXISTS_OR_ADD
        if option.append.value
        else AppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    )


def field_name(name: str, path: str) -> str:
    """In lower case, when it is one that may be changed. Raises ConfigError."""
    lower = name.lower()
    require(is_token(lower.encode()), path, f"{name!r} is not a header name")
    require(lower not in _PROTECTED, path, f"{name!r} must not be changed: the proxy writes it itself")
    return lower


def _value(text: str, path: str) -> str:
    """A literal: `%%` is a per cent sign, and Envoy's `%COMMAND%`s are refused."""
    value = text.replace("%%", "%")
    require(
        "%" not in text.replace("%%", ""), path, f"{text!r} has a % command; write %% for a per cent sign"
    )
    is_clean = not value.encode().translate(None, FIELD_VALUE) and value == value.strip(" \t")
    require(is_clean, path, f"{text!r} has control characters, or blanks around it")
    return value


def translate_substitution(rewrite: RegexMatchAndSubstitute, path: str) -> RegexSubstitution:
    """Raises ConfigError; the pattern is compiled later."""
    require(bool(rewrite.pattern.regex), f"{path}.pattern.regex", "must not be empty")
    require(_is_target(rewrite.substitution), f"{path}.substitution", "has what no path can have")
    return RegexSubstitution(rewrite.pattern.regex, rewrite.substitution)


class RewritingAction(Protocol):
    """What RouteAction and RedirectAction say about the path."""

    @property
    def prefix_rewrite(self) -> str: ...
    @property
    def regex_rewrite(self) -> RegexMatchAndSubstitute: ...


def translate_path_rewrite(action: RewritingAction, has_regex: bool, path: str) -> PathRewrite | None:
    """Of a RouteAction or a RedirectAction. Raises ConfigError."""
    if has_regex:
        require(not action.prefix_rewrite, f"{path}.regex_rewrite", "is not allowed beside prefix_rewrite")
        return PathRewrite(regex=translate_substitution(action.regex_rewrite, f"{path}.regex_rewrite"))
    prefix = action.prefix_rewrite
    if not prefix:
        return None
    check_target(prefix, f"{path}.prefix_rewrite")
    require("?" not in prefix, f"{path}.prefix_rewrite", f"{prefix!r} has a query")
    return PathRewrite(prefix=prefix)


def check_target(target: str, path: str) -> None:
    """Raise ConfigError unless `target` can stand in a request line, in origin form."""
    require(target.startswith("/"), path, f"{target!r} does not start with /")
    require(_is_target(target), path, f"{target!r} has what no path can have; encode it with %")


def _is_target(text: str) -> bool:
    return not text.encode().translate(None, TARGET)


def check_host(host: str, path: str) -> str:
    """`host`, when it is `host` or `host:port`. Raises ConfigError."""
    try:
        parse_authority(host.encode())
    except RemoteProtocolError as error:
        raise ConfigError(f"{path}: {host!r} is not a host with or without a port") from error
    return host
