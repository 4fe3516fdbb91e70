"""Training batches: examples made by another process, several in a row, so that little is padding."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from microservices.llm.phrasebook import tokenizer as tokenizers
from microservices.llm.phrasebook.data import examples
from microservices.llm.phrasebook.data.examples import Example
from microservices.llm.phrasebook.prompts import END

Ids = npt.NDArray[np.int64]
#: What the loss skips: the prompt and the padding.
SKIPPED = -100
_CHUNK_EXAMPLES = 20_000
#: Rows have one of two lengths, so that the network is compiled for two shapes only.
_ROW_LENGTHS = (48, 256)
#: How many rows wait for an example that fits.
_OPEN_ROWS = 32
_SMALLEST_EXAMPLE = 8


@dataclass(frozen=True)
class Batch:
    """Rows of examples one after another: (rows, length)."""

    inputs: Ids
    #: The token to be said after each.
    targets: Ids
    #: Whether each token of a candidate is the first wrong one: 1 or 0, or `SKIPPED`.
    faults: Ids
    #: Which example of its row a token belongs to.
    groups: Ids


@dataclass(frozen=True)
class Encoded:
    """The token ids of an example but the last, and what is to be said after each; `SKIPPED` where nothing is."""

    ids: list[int]
    targets: list[int]
    faults: list[int]


def encode_chunk(tokenizer_path: Path, number: int, seed: int, is_early: bool) -> list[Encoded]:
    """Make and encode examples; the same arguments make the same ones."""
    tokenizer = tokenizers.load(tokenizer_path)
    rng = random.Random(seed)
    drawn = [examples.draw(rng, is_early) for _ in range(number)]
    prompts = tokenizer.encode_batch_fast([example.prompt for example in drawn])
    answers = tokenizer.encode_batch_fast([example.answer + END for example in drawn])
    canonicals = tokenizer.encode_batch_fast([example.canonical or "" for example in drawn])
    encoded = zip(drawn, prompts, answers, canonicals, strict=True)
    return [_encoded(example, p.ids, a.ids, c.ids) for example, p, a, c in encoded]


def _encoded(example: Example, prompt: list[int], answer: list[int], canonical: list[int]) -> Encoded:
    ids = prompt + answer
    targets = [SKIPPED] * (len(prompt) - 1) + answer
    # The service decides when to grade, not the model.
    targets = [SKIPPED if target == tokenizers.GRADE_ID else target for target in targets]
    faults = [SKIPPED] * len(targets)
    if canonical:
        _teach_candidate(targets, faults, prompt, canonical)
    elif example.kind == "right":
        begin, end = ids.index(tokenizers.ANSWER_ID) + 1, ids.index(tokenizers.GRADE_ID) + 1
        faults[begin:end] = [0] * (end - begin)
    return Encoded(ids[:-1], targets, faults)


def _teach_candidate(targets: list[int], faults: list[int], prompt: list[int], canonical: list[int]) -> None:
    """Teach what belongs into a wrong candidate up to its first wrong token, and that this token is wrong.

    A grade at the end says little about where the model went astray; this says it at the very place.
    """
    begin = prompt.index(tokenizers.ANSWER_ID)
    for place in range(begin, min(len(canonical), len(prompt)) - 1):
        targets[place] = canonical[place + 1]
        faults[place + 1] = int(prompt[place + 1] != canonical[place + 1])
        if faults[place + 1]:
            return


class _Rows:
    """Rows of one length that are being filled."""

    def __init__(self, length: int, rows: int) -> None:
        self._length = length
        self._rows = rows
        self._open: list[list[Encoded]] = []
        self._sizes: list[int] = []
        self._full: list[list[Encoded]] = []

    def add(self, example: Encoded) -> Batch | None:
        """Keep the example in the row that it fills best; the batch that it completes, if it does."""
        size = len(example.ids)
        fitting = [index for index, used in enumerate(self._sizes) if used + size <= self._length]
        if fitting:
            best = max(fitting, key=self._sizes.__getitem__)
            self._open[best].append(example)
            self._sizes[best] += size
        else:
            best = len(self._open)
            self._open.append([example])
            self._sizes.append(size)
        if self._sizes[best] > self._length - _SMALLEST_EXAMPLE or len(self._open) > _OPEN_ROWS:
            self._close(max(range(len(self._open)), key=self._sizes.__getitem__))
        if len(self._full) < self._rows:
            return None
        full, self._full = self._full, []
        return _batch(full, self._length)

    def _close(self, index: int) -> None:
        self._full.append(self._open.pop(index))
        self._sizes.pop(index)


def _batch(rows: list[list[Encoded]], length: int) -> Batch:
    shape = (len(rows), length)
    inputs = np.full(shape, tokenizers.PADDING_ID, dtype=np.int64)
    targets, faults = np.full(shape, SKIPPED, dtype=np.int64), np.full(shape, SKIPPED, dtype=np.int64)
    groups = np.zeros(shape, dtype=np.int64)
    for row, members in enumerate(rows):
        begin = 0
        for number, example in enumerate(members, 1):
            end = begin + len(example.ids)
            inputs[row, begin:end] = example.ids
            targets[row, begin:end] = example.targets
            faults[row, begin:end] = example.faults
            groups[row, begin:end] = number
            begin = end
    return Batch(inputs, targets, faults, groups)


class _Packer:
    """Short rows for most examples, long ones for the others; what is longer still is left out."""

    def __init__(self, batch_tokens: int) -> None:
        self._rows = [(length, _Rows(length, max(1, batch_tokens // length))) for length in _ROW_LENGTHS]

    def add(self, example: Encoded) -> Batch | None:
        """Keep the example; the batch that it completes, if it does."""
        for length, rows in self._rows:
            if len(example.ids) <= length:
                return rows.add(example)
        return None


def stream(tokenizer_path: Path, batch_tokens: int, seed: int, early_tokens: int) -> Iterator[Batch]:
    """Batches without end; one process makes the next examples while the others train.

    Args:
        tokenizer_path: A saved tokenizer.
        batch_tokens: The tokens in a batch, padding included.
        seed: Decides every example.
        early_tokens: Before this many tokens the examples are mostly translations.
    """
    packer = _Packer(batch_tokens)
    with ProcessPoolExecutor(max_workers=1) as pool:

        def make(chunk: int, tokens: int) -> Future[list[Encoded]]:
            chunk_seed = seed * 1_000_003 + chunk
            return pool.submit(encode_chunk, tokenizer_path, _CHUNK_EXAMPLES, chunk_seed, tokens < early_tokens)

        waiting = make(0, 0)
        tokens = 0
        for chunk in count(1):
            encoded = waiting.result()
            waiting = make(chunk, tokens)
            for batch in filter(None, map(packer.add, encoded)):
                tokens += batch.inputs.size
                yield batch
