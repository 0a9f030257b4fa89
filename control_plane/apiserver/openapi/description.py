"""What the sources say about a model's fields: the docstring below each becomes its description."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache

from control_plane.resources.base import Model


@cache
def field_descriptions(model: type[Model]) -> dict[str, str]:
    """By attribute; fields of base classes too. Empty when the sources are not there."""
    result: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if base is not Model and issubclass(base, Model):
            result |= dict(_own_descriptions(base))
    return result


def _own_descriptions(model: type[Model]) -> Iterator[tuple[str, str]]:
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0]
    except (OSError, TypeError):  # a distribution without sources
        return
    assert isinstance(body, ast.ClassDef), "the source of a class is its definition"
    for field, text in zip(body.body, body.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                yield name, inspect.cleandoc(words)
