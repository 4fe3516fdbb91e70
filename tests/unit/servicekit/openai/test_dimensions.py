"""`dimensions` of embeddings requests."""

from __future__ import annotations

from typing import Any

import pytest

from servicekit.errors import InvalidRequestError, UpstreamBadResponseError
from servicekit.openai.dimensions import as_base64, check_dimensions, cut, shortened


def _answer(*embeddings: object) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": item} for index, item in enumerate(embeddings)]
    return {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def test_shortened_cuts_every_vector_and_makes_its_length_1() -> None:
    """In the encoding that it came in; all else stays."""
    answer = _answer([0.6, 0.0, 0.8], as_base64([0.0, 3.0, 4.0]))
    assert shortened(answer, 2) == _answer([1.0, 0.0], as_base64([0.0, 1.0]))
    assert answer == _answer([0.6, 0.0, 0.8], as_base64([0.0, 3.0, 4.0]))


@pytest.mark.parametrize("dimensions", [None, 3])
def test_shortened_leaves_vectors_of_the_right_size_as_they_are(dimensions: int | None) -> None:
    """Their numbers are not touched."""
    answer = _answer([0.1, 0.2, 0.3])
    assert shortened(answer, dimensions) == answer


def test_more_numbers_than_the_model_makes_are_refused() -> None:
    """Nothing is put behind a vector."""
    with pytest.raises(InvalidRequestError, match=r"have 3 numbers, found 4. Ask for at most as many") as caught:
        shortened(_answer([0.1, 0.2, 0.3]), 4)
    assert caught.value.param == "dimensions"


def test_cut_of_zeros_stays_zeros() -> None:
    """Such a vector has no direction."""
    assert cut([0.0, 0.0, 1.0], 2) == [0.0, 0.0]


def test_check_dimensions_looks_at_every_vector() -> None:
    """One of another size is enough."""
    check_dimensions(_answer([1.0, 0.0], as_base64([1.0, 0.0])), 2)
    check_dimensions(_answer([1.0, 0.0], [1.0]), None)
    with pytest.raises(InvalidRequestError, match=r"^dimensions: expected 1, .* 'm', found 2"):
        check_dimensions(_answer([1.0, 0.0], [1.0]), 2)


@pytest.mark.parametrize("embedding", ["no base64!", "AAA=", None, 3, ["a"], [None], {"a": 1}])
def test_what_is_no_vector_is_the_backend_s_fault(embedding: object) -> None:
    """Not the request's."""
    with pytest.raises(UpstreamBadResponseError, match=r"^Model 'm' answered an embeddings request without vectors"):
        check_dimensions(_answer(embedding), 2)
    with pytest.raises(UpstreamBadResponseError):
        check_dimensions({"model": "m", "data": [{}]}, 2)
