"""Training batches: examples made by several processes, grouped by length so that little is padding."""

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
from microservices.llm.phrasebook.prompts import END

Ids = npt.NDArray[np.int64]
#: What the loss skips: the prompt and the padding.
SKIPPED = -100
_CHUNK_EXAMPLES = 20_000
_SHORT_TOKENS = 64


@dataclass(frozen=True)
class Batch:
    """Inputs and the tokens to be said after each, (examples, length)."""

    inputs: Ids
    targets: Ids


@dataclass(frozen=True)
class Encoded:
    """The token ids of an example, and what is to be said after each but the last; `SKIPPED` where nothing is."""

    ids: list[int]
    targets: list[int]


def encode_chunk(tokenizer_path: Path, number: int, seed: int, is_early: bool) -> list[Encoded]:
    """Make and encode examples; the same arguments make the same ones."""
    tokenizer = tokenizers.load(tokenizer_path)
    rng = random.Random(seed)
    drawn = [examples.shortened(examples.draw(rng, is_early), rng) for _ in range(number)]
    prompts = tokenizer.encode_batch_fast([example.prompt for example in drawn])
    answers = tokenizer.encode_batch_fast([example.answer + ("" if example.is_cut else END) for example in drawn])
    canonicals = tokenizer.encode_batch_fast([example.canonical or "" for example in drawn])
    return [_encoded(p.ids, a.ids, c.ids) for p, a, c in zip(prompts, answers, canonicals, strict=True)]


def _encoded(prompt: list[int], answer: list[int], canonical: list[int]) -> Encoded:
    targets = [SKIPPED] * (len(prompt) - 1) + answer
    # The service decides when to grade, not the model.
    targets = [SKIPPED if target == tokenizers.GRADE_ID else target for target in targets]
    if canonical:
        _teach_candidate(targets, prompt, canonical)
    return Encoded(prompt + answer, targets)


def _teach_candidate(targets: list[int], prompt: list[int], canonical: list[int]) -> None:
    """Teach what belongs into a wrong candidate up to its first wrong token, and that this token is wrong.

    A grade at the end says little about where the model went astray; this says it at the very place.
    """
    begin = prompt.index(tokenizers.ANSWER_ID)
    for place in range(begin, min(len(canonical), len(prompt)) - 1):
        targets[place] = canonical[place + 1]
        if prompt[place + 1] != canonical[place + 1]:
            if prompt[place + 1] != tokenizers.GRADE_ID:  # nothing wrong was said: the candidate ended too early
                targets[place + 1] = tokenizers.WRONG_ID
            return


def _batch(chosen: list[Encoded], length: int) -> Batch:
    inputs = np.full((len(chosen), length), tokenizers.PADDING_ID, dtype=np.int64)
    targets = np.full((len(chosen), length), SKIPPED, dtype=np.int64)
    for row, example in enumerate(chosen):
        size = len(example.ids) - 1
        inputs[row, :size] = example.ids[:-1]
        targets[row, :size] = example.targets
    return Batch(inputs, targets)


class _Buckets:
    """Examples waiting for company of about their own length.

    Few lengths and one count of examples for each: the kernels are compiled for every new shape.
    """

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._waiting: dict[int, list[Encoded]] = {}

    def add(self, example: Encoded) -> Batch | None:
        """Keep the example; the batch that it completes, if it does."""
        length = _rounded(len(example.ids) - 1)
        bucket = self._waiting.setdefault(length, [])
        bucket.append(example)
        if len(bucket) < max(1, self._batch_tokens // length):
            return None
        del self._waiting[length]
        return _batch(bucket, length)


def _rounded(length: int) -> int:
    """The next multiple of 4, for long texts of 32."""
    step = 4 if length <= _SHORT_TOKENS else 32
    return -(-length // step) * step


def stream(tokenizer_path: Path, batch_tokens: int, seed: int, early_tokens: int) -> Iterator[Batch]:
    """Batches without end; one process makes the next examples while the others train.

    Args:
        tokenizer_path: A saved tokenizer.
        batch_tokens: At most this many tokens in a batch, padding included.
        seed: Decides every example.
        early_tokens: Before this many tokens the examples are mostly translations.
    """
    rng = random.Random(seed)
    buckets = _Buckets(batch_tokens)
    with ProcessPoolExecutor(max_workers=1) as pool:

        def make(chunk: int, tokens: int) -> Future[list[Encoded]]:
            chunk_seed = seed * 1_000_003 + chunk
            return pool.submit(encode_chunk, tokenizer_path, _CHUNK_EXAMPLES, chunk_seed, tokens < early_tokens)

        waiting = make(0, 0)
        tokens = 0
        for chunk in count(1):
            encoded = waiting.result()
            waiting = make(chunk, tokens)
            made = [batch for batch in map(buckets.add, encoded) if batch]
            tokens += sum(batch.inputs.size for batch in made)
            rng.shuffle(made)
            yield from made
