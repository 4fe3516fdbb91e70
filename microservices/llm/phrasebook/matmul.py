"""Matrix products in bfloat16 for a network in full precision: twice the speed where the processor has it.

Only the products are narrow. Everything that is added up over a text or a batch, residuals, norms, the softmax, the
loss and the gradients of the weights between steps, stays in float32: with torch's autocast the gradients of the
lower layers pointed elsewhere (cosine 0.3 to 0.98), these do not (above 0.999).
"""

import time
from typing import Any

import torch
from torch import Tensor

#: Rows of logits that are worked on at a time, so that they stay in the cache.
_LOSS_ROWS = 256
_TRIAL_ROWS, _TRIAL_WIDTH, _TRIALS = 2048, 256, 20


class _Product(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """`values @ weights.T`, both narrowed."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, kind: torch.dtype) -> Tensor:  # noqa: ANN401 - torch's
        narrow_values, narrow_weights = values.to(kind), weights.to(kind)
        ctx.save_for_backward(narrow_values, narrow_weights)
        return (narrow_values @ narrow_weights.t()).float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401 - torch's
        values, weights = ctx.saved_tensors
        narrow = gradient.to(values.dtype)
        flat_gradient, flat_values = narrow.reshape(-1, narrow.shape[-1]), values.reshape(-1, values.shape[-1])
        return (narrow @ weights).float(), (flat_gradient.t() @ flat_values).float(), None


def product(values: Tensor, weights: Tensor, kind: torch.dtype) -> Tensor:
    """Multiply (..., inputs) by the transpose of (outputs, inputs) in the given type; returns float32."""
    if kind == torch.float32:
        return torch.nn.functional.linear(values, weights)
    result: Tensor = _Product.apply(values, weights, kind)
    return result


class _AnswerLoss(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """The mean cross-entropy of `hidden @ weights.T`, with its gradients, some rows at a time."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weights: Tensor, targets: Tensor, kind: torch.dtype) -> Tensor:  # noqa: ANN401
        narrow_hidden, narrow_weights = hidden.to(kind), weights.to(kind)
        total = hidden.new_zeros(())
        of_hidden, of_weights = torch.empty_like(hidden), torch.zeros_like(weights)
        for begin in range(0, len(hidden), _LOSS_ROWS):
            rows = narrow_hidden[begin : begin + _LOSS_ROWS]
            wanted = targets[begin : begin + _LOSS_ROWS, None]
            logits = (rows @ narrow_weights.t()).float()
            normaliser = torch.logsumexp(logits, 1, keepdim=True)
            total += (normaliser - logits.gather(1, wanted)).sum()
            gradient = logits.sub_(normaliser).exp_()
            gradient.scatter_add_(1, wanted, torch.full(wanted.shape, -1.0))
            narrow = gradient.to(kind)
            of_hidden[begin : begin + _LOSS_ROWS] = narrow @ narrow_weights
            of_weights += narrow.t() @ rows
        ctx.save_for_backward(of_hidden / len(hidden), of_weights / len(hidden))
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401 - torch's
        of_hidden, of_weights = ctx.saved_tensors
        return gradient * of_hidden, gradient * of_weights, None, None


def answer_loss(hidden: Tensor, weights: Tensor, targets: Tensor, kind: torch.dtype) -> Tensor:
    """The mean cross-entropy of what is said after each hidden state.

    Args:
        hidden: (tokens, width), those that have a target.
        weights: (vocabulary, width).
        targets: (tokens,), ids.
        kind: The type of the products.
    """
    loss: Tensor = _AnswerLoss.apply(hidden, weights, targets, kind)
    return loss


def faster_kind() -> torch.dtype:
    """The type in which this processor multiplies faster, by a short trial."""
    return min((torch.float32, torch.bfloat16), key=_seconds_of)


def _seconds_of(kind: torch.dtype) -> float:
    values = torch.zeros(_TRIAL_ROWS, _TRIAL_WIDTH, dtype=kind)
    weights = torch.zeros(4 * _TRIAL_WIDTH, _TRIAL_WIDTH, dtype=kind)
    timings = []
    for _ in range(_TRIALS):
        begun = time.perf_counter()
        values @ weights.t()
        timings.append(time.perf_counter() - begun)
    return min(timings)
