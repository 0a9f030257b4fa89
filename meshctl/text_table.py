"""Tables on the terminal: plain columns, so that they can be piped into other tools."""

from collections.abc import Sequence

import click

_GAP = "   "


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """The first row holds the titles. Nothing is cut or wrapped."""
    for line in table_lines(rows):
        click.echo(line)


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """One line a row, columns aligned, no blanks at the ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
