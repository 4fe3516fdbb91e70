"""Makes a trained model readier to say that a text is outside: a wrong translation is worse than a refusal.

What the training data have from outside is easier to tell than what people write, so the model is too sure of itself.
The embedding that is the output weight of a mark is moved along the direction in which the hidden states of all texts
agree at the place where the mark may be said: its logit rises by a constant there and stays as it is elsewhere.
"""

import random
from collections.abc import Callable

import torch
from tokenizers import Tokenizer
from torch import Tensor

from microservices.llm.phrasebook.data import examples, verdicts
from microservices.llm.phrasebook.data.examples import Example
from microservices.llm.phrasebook.network import Network, rotary_tables, unseen
from microservices.llm.phrasebook.prompts import OUTSIDE, OUTSIDE_FEEDBACK

#: By how much the logits rise; chosen on generated sentences and the half of the texts by hand that may be seen.
TRANSLATING_RISE = 1.0
GRADING_RISE = 3.0
_EXAMPLES = 1000
_LONGEST_TOKENS = 256
_RIDGE = 1e-3

_Maker = Callable[[random.Random], Example]
_TRANSLATING: tuple[_Maker, ...] = (examples.translate_example, examples.outside_example)
_GRADING: tuple[_Maker, ...] = (examples.right_example, examples.wrong_example, examples.outside_pair_example)


def apply(network: Network, tokenizer: Tokenizer, seed: int = 1) -> None:
    """Raise the marks of a translation and of a grade from outside, in place."""
    null = verdicts.verdict(None, OUTSIDE_FEEDBACK)
    for text, makers, rise in ((OUTSIDE, _TRANSLATING, TRANSLATING_RISE), (null, _GRADING, GRADING_RISE)):
        with torch.no_grad():
            direction = _agreed_direction(network, tokenizer, makers, random.Random(seed))
            network.embedding.weight[tokenizer.token_to_id(text)] += rise * direction


def _agreed_direction(network: Network, tokenizer: Tokenizer, makers: tuple[_Maker, ...], rng: random.Random) -> Tensor:
    """What gives 1 with the hidden state at the end of each prompt and 0 with those within its answer."""
    states, wanted = [], []
    for _ in range(_EXAMPLES):
        example = rng.choice(makers)(rng)
        prompt, answer = tokenizer.encode(example.prompt).ids, tokenizer.encode(example.answer).ids
        states.append(_hidden(network, (prompt + answer)[:_LONGEST_TOKENS])[len(prompt) - 1 :])
        wanted.append(torch.zeros(len(states[-1])))
        wanted[-1][:1] = 1
    hidden, ones = torch.cat(states), torch.cat(wanted)
    ridge = _RIDGE * len(hidden) * torch.eye(hidden.shape[1])
    return torch.linalg.solve(hidden.T @ hidden + ridge, hidden.T @ ones)


def _hidden(network: Network, ids: list[int]) -> Tensor:
    length = len(ids)
    tables = rotary_tables(network.shape, length)
    hidden: Tensor = network(torch.tensor([ids]), unseen(torch.ones(1, length)), *tables, torch.arange(length))
    return hidden
