"""The byte-level BPE tokenizer: trained on generated examples, the same splits as llama.cpp's `gpt-2`."""

import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from microservices.llm.phrasebook.data import examples, verdicts
from microservices.llm.phrasebook.prompts import ANSWER, CONTROL_TOKENS, GRADE, OUTSIDE, OUTSIDE_MESSAGE

#: Texts that are said and are one token each.
SAID_TOKENS = (OUTSIDE, OUTSIDE_MESSAGE, *verdicts.parts())
SPECIAL_TOKENS = (*CONTROL_TOKENS, *SAID_TOKENS)
PADDING_ID = 0
END_ID = 1
GRADE_ID = SPECIAL_TOKENS.index(GRADE)
ANSWER_ID = SPECIAL_TOKENS.index(ANSWER)


def _texts(count: int, seed: int) -> Iterator[str]:
    """Examples from inside only: what the phrasebook does not have falls into small pieces, which tells."""
    rng = random.Random(seed)
    for _ in range(count):
        example = examples.inside(rng)
        yield example.prompt
        yield example.answer


def train(vocabulary_size: int, example_count: int, seed: int) -> Tokenizer:
    """Learn the merges from generated examples; the control tokens take the first ids."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(example_count, seed), trainer)
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Read a tokenizer that `train` made and somebody saved."""
    return Tokenizer.from_file(str(path))
