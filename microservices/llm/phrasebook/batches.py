"""Training batches: examples made by several processes, grouped by length so that little is padding."""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
    """The token ids of an example, and how many of them are prompt."""

    ids: list[int]
    prompt_tokens: int


def encode_chunk(tokenizer_path: Path, count: int, seed: int) -> list[Encoded]:
    """Make and encode examples; the same seed makes the same ones."""
    tokenizer = tokenizers.load(tokenizer_path)
    rng = random.Random(seed)
    drawn = [examples.shortened(examples.draw(rng), rng) for _ in range(count)]
    prompts = tokenizer.encode_batch_fast([example.prompt for example in drawn])
    answers = tokenizer.encode_batch_fast([example.answer + ("" if example.is_cut else END) for example in drawn])
    return [Encoded(p.ids + a.ids, len(p.ids)) for p, a in zip(prompts, answers, strict=True)]


def _batch(chosen: list[Encoded], length: int) -> Batch:
    inputs = np.full((len(chosen), length), tokenizers.PADDING_ID, dtype=np.int64)
    targets = np.full((len(chosen), length), SKIPPED, dtype=np.int64)
    for row, example in enumerate(chosen):
        size = len(example.ids) - 1
        inputs[row, :size] = example.ids[:-1]
        targets[row, example.prompt_tokens - 1 : size] = example.ids[example.prompt_tokens :]
    targets[targets == tokenizers.GRADE_ID] = SKIPPED  # the service decides when to grade, not the model
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


def stream(tokenizer_path: Path, batch_tokens: int, seed: int) -> Iterator[Batch]:
    """Batches without end; one process makes the next examples while the others train.

    Args:
        tokenizer_path: A saved tokenizer.
        batch_tokens: At most this many tokens in a batch, padding included.
        seed: Decides every example.
    """
    rng = random.Random(seed)
    buckets = _Buckets(batch_tokens)
    with ProcessPoolExecutor(max_workers=1) as pool:
        chunk = 0
        waiting = pool.submit(encode_chunk, tokenizer_path, _CHUNK_EXAMPLES, seed * 1_000_003)
        while True:
            encoded = waiting.result()
            chunk += 1
            waiting = pool.submit(encode_chunk, tokenizer_path, _CHUNK_EXAMPLES, seed * 1_000_003 + chunk)
            made = [batch for batch in map(buckets.add, encoded) if batch]
            rng.shuffle(made)
            yield from made
