"""What a route changes in a head it passes on (pure, frozen): fields added and removed, path, host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class AppendAction(Enum):
    """`HeaderValueOption.HeaderAppendAction`."""

    APPEND_IF_EXISTS_OR_ADD = "append_if_exists_or_add"
    ADD_IF_ABSENT = "add_if_absent"
    OVERWRITE_IF_EXISTS_OR_ADD = "overwrite_if_exists_or_add"
    OVERWRITE_IF_EXISTS = "overwrite_if_exists"


@dataclass(frozen=True, slots=True)
class HeaderOption:
    """`HeaderValueOption`: one field to write."""

    name: str
    """Lower case."""
    value: str
    action: AppendAction = AppendAction.APPEND_IF_EXISTS_OR_ADD


@dataclass(frozen=True, slots=True)
class HeaderMutations:
    """What one level (cluster, route, virtual host, table) does to one kind of head.

    Removals come first, then overwriting, then adding; presence is judged after the removals.
    """

    add: tuple[HeaderOption, ...] = ()
    remove: tuple[str, ...] = ()
    """Lower case."""


@dataclass(frozen=True, slots=True)
class HeadMutations:
    """`request_headers_to_…` and `response_headers_to_…` of one level."""

    request: HeaderMutations = HeaderMutations()
    response: HeaderMutations = HeaderMutations()


NO_MUTATIONS = HeadMutations()


@dataclass(frozen=True, slots=True)
class RegexSubstitution:
    """`RegexMatchAndSubstitute`: every place where RE2 `pattern` matches is replaced."""

    pattern: str
    substitution: str
    """`\\0` is the match, `\\1` to `\\9` its groups, `\\\\` a backslash."""


@dataclass(frozen=True, slots=True)
class PathRewrite:
    """Another path for the same query. Exactly one of the two is set."""

    prefix: str = ""
    """`prefix_rewrite`: put in the place of what the route's path match matched."""
    regex: RegexSubstitution | None = None
    """`regex_rewrite`: applied to the path without its query."""
