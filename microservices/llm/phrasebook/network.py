"""The network, as llama.cpp's architecture `qwen3` computes it: RMS norms, rotary positions, gated feed-forward."""

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
    """Cosines and sines for `length` positions, each value for two channels: (length, head width / 2)."""
    steps = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.outer(torch.arange(length, dtype=torch.float32), ROTARY_BASE**-steps)
    return angles.cos(), angles.sin()


def rotate(values: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Rotate each channel of the first half with its partner in the second, llama.cpp's order for this architecture."""
    first, second = values.chunk(2, dim=-1)
    return torch.cat((first * cosines - second * sines, first * sines + second * cosines), dim=-1)


def unseen(groups: Tensor) -> Tensor:
    """True where a token may not look, at a later one or one of another example: (rows, 1, length, length)."""
    length = groups.shape[1]
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    return (later | (groups[:, :, None] != groups[:, None, :])).unsqueeze(1)


class Linear(nn.Linear):
    """A linear map without bias whose product is computed in `kind`."""

    def __init__(self, inputs: int, outputs: int, kind: torch.dtype) -> None:
        """Make the weights, in full precision."""
        super().__init__(inputs, outputs, bias=False)
        self.kind = kind

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        return product(values, self.weight, self.kind)


class JoinedLinear(nn.Module):
    """Linear maps of the same values, multiplied at once; apart as weights, since Muon straightens each for itself."""

    def __init__(self, inputs: int, outputs: int, count: int, kind: torch.dtype) -> None:
        """Make the weights, in full precision."""
        super().__init__()
        self.parts = nn.ParameterList(torch.empty(outputs, inputs) for _ in range(count))
        self.kind = kind

    def forward(self, values: Tensor) -> Tensor:
        """Map (..., inputs) to (..., count * outputs)."""
        return product(values, torch.cat(list(self.parts)), self.kind)


class Block(nn.Module):
    """One layer."""

    def __init__(self, shape: Shape, kind: torch.dtype) -> None:
        """Make the weights of one layer."""
        super().__init__()
        self.shape = shape
        self.attention_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.query_key_value = JoinedLinear(shape.width, shape.width, 3, kind)
        self.query_norm = nn.RMSNorm(shape.head_width, eps=NORM_EPSILON)
        self.key_norm = nn.RMSNorm(shape.head_width, eps=NORM_EPSILON)
        self.attention_output = Linear(shape.width, shape.width, kind)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.gate_up = JoinedLinear(shape.width, shape.feed_forward, 2, kind)
        self.down = Linear(shape.feed_forward, shape.width, kind)

    def forward(
        self, hidden: Tensor, hides: Tensor, cosines: Tensor, sines: Tensor, wanted: Tensor | None = None
    ) -> Tensor:
        """One layer over (rows, length, width); only the `wanted` places go on, if any are named."""
        attended = self._attend(self.attention_norm(hidden), hides, cosines, sines)
        if wanted is not None:
            hidden, attended = hidden.flatten(0, 1)[wanted], attended.flatten(0, 1)[wanted]
        hidden = hidden + self.attention_output(attended)
        gate, up = self.gate_up(self.feed_forward_norm(hidden)).chunk(2, dim=-1)
        output: Tensor = hidden + self.down(functional.silu(gate) * up)
        return output

    def _attend(self, hidden: Tensor, hides: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        parts = self.query_key_value(hidden).view(batch, length, 3, self.shape.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = self.query_norm(parts[0]), self.key_norm(parts[1]), parts[2]
        query, key = rotate(query, cosines, sines).to(value.dtype), rotate(key, cosines, sines).to(value.dtype)
        # Written out: on a CPU the fused kernel's backward takes longer than all the rest for texts this short.
        weights = (query @ key.transpose(-1, -2)).float() * self.shape.head_width**-0.5
        weights = weights.masked_fill(hides, float("-inf")).softmax(dim=-1)
        attended: Tensor = weights.to(value.dtype) @ value
        return attended.transpose(1, 2).reshape(batch, length, width)


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
        #: Says in training whether a candidate just went wrong; no part of the exported model.
        self.fault = nn.Linear(shape.width, 1)
        for name, weights in self.named_parameters():
            if weights.dim() == 2:
                last = name.endswith(("attention_output.weight", "down.weight"))
                nn.init.normal_(weights, std=0.02 / ((2 * shape.layers) ** 0.5 if last else 1.0))

    def forward(self, tokens: Tensor, hides: Tensor, cosines: Tensor, sines: Tensor, wanted: Tensor) -> Tensor:
        """Hidden states (places, width) of token ids (rows, length).

        Args:
            tokens: Rows of ids.
            hides: What `unseen` says of them.
            cosines: Of the rotary tables, as many as the rows are long.
            sines: Likewise.
            wanted: The places of the flattened rows whose states are asked for; the last layer spares the others.
        """
        hidden = self.embedding(tokens)
        *lower, last = self.blocks
        for block in lower:
            hidden = block(hidden, hides, cosines, sines)
        output: Tensor = self.output_norm(last(hidden, hides, cosines, sines, wanted))
        return output
