"""The line of each value of a JSON text."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.json_lines import JsonLines

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def test_each_value_has_its_line_and_a_missing_one_that_of_what_is_around_it() -> None:
    """Keys stand where they are written; brackets and quotes in texts are no structure."""
    lines = JsonLines(b'{"a": [1,\n {"b\\"": "}\\n]",\n  "c": -1.5e3}],\n "d": {}, "e": [ ]}')
    assert [lines.line_of(path) for path in ((), ("a", 0), ("a", 1, 'b"'), ("a", 1, "c"), ("d",), ("e",))] == [
        *(1, 1, 2, 3, 4, 4)
    ]
    assert lines.line_of(("a", 1, "missing", 3)) == 2


def test_a_repeated_key_is_told_with_its_second_line() -> None:
    """Only the last one counts, which nobody means."""
    assert JsonLines(b'{"a": {"x": 1,\n "x": 2}}').repeated == [(("a", "x"), 2)]


def test_what_is_no_json_is_refused() -> None:
    """With line and column, as orjson tells them."""
    with pytest.raises(orjson.JSONDecodeError):
        JsonLines(b"{")


@given(_JSON)
def test_any_json_is_read_to_its_end(document: object) -> None:
    """Whatever is in it, written with and without line breaks."""
    for option in (None, orjson.OPT_INDENT_2):
        assert JsonLines(orjson.dumps(document, option=option)).document == document
