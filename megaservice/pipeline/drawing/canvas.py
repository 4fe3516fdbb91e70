"""A sheet of characters on which lines cross and join as they should."""

from __future__ import annotations

_NORTH, _EAST, _SOUTH, _WEST = 1, 2, 4, 8
_LINES = " ╵╶└╷│┌├╴┘─┴┐┤┬┼"
_ASCII_LINES = " |-+||++-+-+++++"


class Canvas:
    """Lines and texts, by column and row.

    Args:
        ascii_only: Draw with `|`, `-` and `+`.
    """

    def __init__(self, *, ascii_only: bool) -> None:
        self._lines = _ASCII_LINES if ascii_only else _LINES
        self._directions: dict[tuple[int, int], int] = {}
        self._texts: dict[tuple[int, int], str] = {}

    def text(self, column: int, row: int, text: str) -> None:
        """Write a text over what is there."""
        for index, char in enumerate(text):
            self._texts[column + index, row] = char

    def vertical(self, column: int, top: int, bottom: int) -> None:
        """Draw a line down a column, from row to row."""
        for row in range(top, bottom + 1):
            self._add(column, row, (_NORTH if row > top else 0) | (_SOUTH if row < bottom else 0))

    def horizontal(self, row: int, start: int, end: int) -> None:
        """Draw a line along a row, from column to column."""
        left, right = sorted((start, end))
        for column in range(left, right + 1):
            self._add(column, row, (_WEST if column > left else 0) | (_EAST if column < right else 0))

    def _add(self, column: int, row: int, directions: int) -> None:
        self._directions[column, row] = self._directions.get((column, row), 0) | directions

    def rendered(self) -> str:
        """Return the sheet, without spaces at the ends of lines."""
        cells = {place: self._lines[directions] for place, directions in self._directions.items()} | self._texts
        if not cells:
            return ""
        width, height = (max(place[axis] for place in cells) + 1 for axis in (0, 1))
        rows = ("".join(cells.get((column, row), " ") for column in range(width)) for row in range(height))
        return "\n".join(row.rstrip() for row in rows)
