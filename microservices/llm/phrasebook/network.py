"""The network, as llama.cpp's architecture `llama` computes it: RMS norms, rotary positions, gated feed-forward."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from microservices.llm.phrasebook.matmul import product

ROTARY_BASE = 10_000.0
NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class Shape:
    """The sizes of the network."""

    vocabulary: int
    width: int = 192
    layers: int = 4
    heads: int = 6
    feed_forward: int = 512
    context_tokens: int = 1024

    @property
    def head_width(self) -> int:
        """The width of one attention head."""
        return self.width // self.heads


def rotary_tables(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines for `length` positions, each value for two adjacent channels: (length, head width / 2)."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(length, dtype=torch.float32), ROTARY_BASE**-steps)
    return angles.cos(), angles.sin()


def rotate(values: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate adjacent pairs of channels, llama.cpp's order, so that the weights need no permutation."""
    even, odd = values[..., 0::2], values[..., 1::2]
    return torch.stack((even * cosines - odd * sines, even * sines + odd * cosines), dim=-1).flatten(-2)


def future_mask(length: int) -> Tensor:
    """True where a position would look at a later one: (length, length)."""
    return torch.ones(length, length, dtype=torch.bool).triu(1)


class Linear(nn.Linear):
    """A linear map without bias whose product is computed in `kind`."""

    def __init__(self, inputs: int, outputs: int, kind: torch.dtype) -> None:
        """Make the weights, in full precision."""
        super().__init__(inputs, outputs, bias=False)
        self.kind = kind

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return product(values, self.weight, self.kind)


class Block(nn.Module):
    """One layer."""

    def __init__(self, shape: Shape, kind: torch.dtype) -> None:
        """Make the weights of one layer."""
        super().__init__()
        self.shape = shape
        self.attention_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.query_key_value = Linear(shape.width, 3 * shape.width, kind)
        self.attention_output = Linear(shape.width, shape.width, kind)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.gate_up = Linear(shape.width, 2 * shape.feed_forward, kind)
        self.down = Linear(shape.feed_forward, shape.width, kind)

    def forward(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """One layer over (batch, length, width)."""
        hidden = hidden + self._attend(self.attention_norm(hidden), cosines, sines)
        gate, up = self.gate_up(self.feed_forward_norm(hidden)).chunk(2, dim=-1)
        output: Tensor = hidden + self.down(functional.silu(gate) * up)
        return output

    def _attend(self, hidden: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        parts = self.query_key_value(hidden).view(batch, length, 3, self.shape.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts[0], parts[1], parts[2]
        query, key = rotate(query, cosines, sines).to(value.dtype), rotate(key, cosines, sines).to(value.dtype)
        # Written out: on a CPU the fused kernel's backward takes longer than all the rest for texts this short.
        weights = (query @ key.transpose(-1, -2)).float() * self.shape.head_width**-0.5
        weights = weights.masked_fill(future_mask(length), float("-inf")).softmax(dim=-1)
        attended = weights.to(value.dtype) @ value
        output: Tensor = self.attention_output(attended.transpose(1, 2).reshape(batch, length, width))
        return output


class Network(nn.Module):
    """The language model; its output weights are its embeddings."""

    def __init__(self, shape: Shape, kind: torch.dtype = torch.float32) -> None:
        """Make all weights, drawn from torch's generator; products are computed in `kind`."""
        super().__init__()
        self.shape = shape
        self.kind = kind
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape, kind) for _ in range(shape.layers))
        self.output_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        for name, weights in self.named_parameters():
            if weights.dim() == 2:
                last = name.endswith(("attention_output.weight", "down.weight"))
                nn.init.normal_(weights, std=0.02 / ((2 * shape.layers) ** 0.5 if last else 1.0))

    def forward(self, tokens: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """Hidden states (batch, length, width) of token ids (batch, length)."""
        hidden = self.embedding(tokens)
        for block in self.blocks:
            hidden = block(hidden, cosines, sines)
        output: Tensor = self.output_norm(hidden)
        return output
