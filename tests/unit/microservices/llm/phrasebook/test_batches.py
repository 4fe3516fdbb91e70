"""What is taught of a candidate, and that packing keeps it together."""

from collections.abc import Callable

import numpy as np
import pytest

from microservices.llm.phrasebook import batches, tokenizer
from microservices.llm.phrasebook.batches import SKIPPED, Batch, Encoded
from microservices.llm.phrasebook.data.examples import Example

_ANSWER, _GRADE = tokenizer.ANSWER_ID, tokenizer.GRADE_ID


def _encode(kind: str, prompt: list[int], answer: list[int], canonical: list[int]) -> Encoded:
    return batches._encoded(Example("", "", kind), prompt, answer, canonical)


def test_wrong_candidate_is_taught_up_to_its_first_wrong_token() -> None:
    """The right next tokens as long as the candidate is right, then only that it went wrong."""
    encoded = _encode("noun", [50, _ANSWER, 60, 66, 62, _GRADE], [70, 1], [50, _ANSWER, 60, 61, 62])
    assert encoded.ids == [50, _ANSWER, 60, 66, 62, _GRADE, 70]
    assert encoded.targets == [SKIPPED, 60, 61, SKIPPED, SKIPPED, 70, 1]
    assert encoded.faults == [SKIPPED, SKIPPED, 0, 1, SKIPPED, SKIPPED, SKIPPED]


def test_right_candidate_has_no_fault() -> None:
    """Every token of another right translation is judged right, and none of them is taught."""
    encoded = _encode("right", [50, _ANSWER, 60, _GRADE], [70, 1], [])
    assert encoded.targets == [SKIPPED, SKIPPED, SKIPPED, 70, 1]
    assert encoded.faults == [SKIPPED, SKIPPED, 0, 0, SKIPPED]


@pytest.mark.parametrize("sizes", [[20, 20, 30, 18, 48, 47, 46, 45, 9] * 40, [100, 200] * 80])
def test_packed_examples_stay_whole(sizes: list[int]) -> None:
    """Each example stands in one row under a number of its own, and nothing is said of padding."""
    packer = batches._Packer(1024)
    add: Callable[[Encoded], Batch | None] = packer.add
    made = [add(Encoded([7] * size, [8] * size, [SKIPPED] * size)) for size in sizes]
    full = [batch for batch in made if batch is not None]
    assert full
    for batch in full:
        lengths = [int((row == number).sum()) for row in batch.groups for number in range(1, row.max() + 1)]
        assert set(lengths) <= set(sizes)
        assert np.array_equal(batch.targets == SKIPPED, batch.groups == 0)
        assert np.array_equal(batch.inputs == tokenizer.PADDING_ID, batch.groups == 0)
