"""Train the model from nothing: `python -m microservices.llm.phrasebook.train`.

Needs PyTorch (the CPU build is enough, see MODEL_CARD.md). The learning rate follows the tokens, so that a slow or busy
machine only takes longer for the same model; checkpoints let a run that was cut off go on or be exported.
"""

import argparse
import ctypes
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from microservices.llm.phrasebook import batches, tokenizer
from microservices.llm.phrasebook.matmul import answer_loss, faster_kind
from microservices.llm.phrasebook.network import Network, Shape, rotary_tables, unseen

BUILD_FOLDER = Path(__file__).parent / "build"
_TOKENIZER_EXAMPLES = 60_000
_CHECKPOINT_SECONDS = 180.0
_REPORT_STEPS = 50
#: About 50 minutes on two idle cores.
_MILLION_TOKENS = 30.0
_LONGEST_TOKENS = 1024
# Ends of the learning rate's rise and plateau, as shares of the run.
_RISE_END = 0.02
_PLATEAU_END = 0.2
#: Until here the examples are mostly translations.
_EARLY_END = 0.2
_HEAD_WIDTH = 32
#: How much saying where a candidate goes wrong counts beside saying the right tokens.
_FAULT_WEIGHT = 0.5
# Names of mallopt's options, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


@dataclass(frozen=True)
class Plan:
    """How to train."""

    tokens: int
    seed: int
    vocabulary: int
    width: int
    layers: int
    batch_tokens: int
    compile: bool
    muon_rate: float = 0.015
    embedding_rate: float = 3e-3


def learning_share(progress: float) -> float:
    """The share of the full learning rate at a progress from 0 to 1: a short rise, a plateau, a long fall."""
    if progress < _RISE_END:
        return progress / _RISE_END
    left = (1 - progress) / (1 - _PLATEAU_END)
    return max(0.0, min(1.0, left))


def _optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the embeddings and norms."""
    matrices = [weights for name, weights in network.blocks.named_parameters() if weights.dim() == 2]
    ids = {id(weights) for weights in matrices}
    others = [weights for weights in network.parameters() if id(weights) not in ids]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _full_rates(plan: Plan) -> tuple[float, float]:
    """The full learning rates of the optimizers, in their order."""
    return plan.muon_rate, plan.embedding_rate


def _loss(forward: torch.nn.Module, batch: batches.Batch, tables: tuple[Tensor, Tensor], network: Network) -> Tensor:
    targets, faults = torch.from_numpy(batch.targets).flatten(), torch.from_numpy(batch.faults).flatten()
    is_wanted = (targets != batches.SKIPPED) | (faults != batches.SKIPPED)
    wanted = is_wanted.nonzero()[:, 0]
    torch._dynamo.mark_dynamic(wanted, 0)  # else each batch would be compiled for its own number of places
    length = batch.inputs.shape[1]
    hides = unseen(torch.from_numpy(batch.groups))
    hidden = forward(torch.from_numpy(batch.inputs), hides, tables[0][:length], tables[1][:length], wanted)
    targets, faults = targets[wanted], faults[wanted]
    said, judged = targets != batches.SKIPPED, faults != batches.SKIPPED
    loss = answer_loss(hidden[said], network.embedding.weight, targets[said], network.kind)
    if not judged.any():
        return loss
    fault = functional.binary_cross_entropy_with_logits(network.fault(hidden[judged])[:, 0], faults[judged].float())
    return loss + _FAULT_WEIGHT * fault


@dataclass
class _Training:
    """What a checkpoint holds."""

    network: Network
    optimizers: list[torch.optim.Optimizer]
    #: How many tokens it was trained on, padding included.
    tokens: int = 0

    def save(self, plan: Plan, path: Path) -> None:
        unfinished = path.with_suffix(".unfinished")
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        content = {"weights": self.network.state_dict(), "shape": asdict(self.network.shape), "optimizers": states}
        torch.save({**content, "tokens": self.tokens, "plan": asdict(plan)}, unfinished)
        unfinished.replace(path)


def train(plan: Plan, folder: Path, resume: bool) -> Path:
    """Train on the planned tokens and leave `tokenizer.json` and `checkpoint.pt` in the folder.

    Args:
        plan: How to train.
        folder: Where to write; made if it is not there.
        resume: Whether to go on from the folder's checkpoint, with the tokens that were left to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    torch.use_deterministic_algorithms(True)  # else threads add up in any order, and no run is like another
    _keep_memory()
    checkpoint = folder / "checkpoint.pt"
    training = _resumed(plan, checkpoint) if resume else _begun(plan, folder)
    network = training.network
    count = sum(weights.numel() for weights in network.parameters())
    kind = str(network.kind).removeprefix("torch.")
    _report(f"{count:,} parameters, {network.shape.vocabulary} tokens, products in {kind}, from {training.tokens:,}")
    _run(training, plan, folder)
    training.save(plan, checkpoint)
    return checkpoint


def _begun(plan: Plan, folder: Path) -> _Training:
    learned = tokenizer.train(plan.vocabulary, _TOKENIZER_EXAMPLES, plan.seed)
    learned.save(str(folder / "tokenizer.json"))
    heads = plan.width // _HEAD_WIDTH
    shape = Shape(learned.get_vocab_size(), plan.width, plan.layers, heads, _feed_forward(plan.width))
    network = Network(shape, faster_kind())
    return _Training(network, _optimizers(network, plan))


def _resumed(plan: Plan, checkpoint: Path) -> _Training:
    saved = torch.load(checkpoint, weights_only=True)
    network = Network(Shape(**saved["shape"]), faster_kind())
    network.load_state_dict(saved["weights"])
    optimizers = _optimizers(network, plan)
    for optimizer, state in zip(optimizers, saved["optimizers"], strict=True):
        optimizer.load_state_dict(state)
    return _Training(network, optimizers, saved["tokens"])


def _feed_forward(width: int) -> int:
    return -(-width * 8 // 3 // 64) * 64


def _keep_memory() -> None:
    """Tell the C library to keep freed memory: handing it back and faulting it in again costs a third of the time."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _run(training: _Training, plan: Plan, folder: Path) -> None:
    network, optimizers = training.network, training.optimizers
    full_rates = _full_rates(plan)
    tables = rotary_tables(network.shape, _LONGEST_TOKENS)
    forward: torch.nn.Module = torch.compile(network, dynamic=False) if plan.compile else network
    step, total_loss, first_tokens = 0, 0.0, training.tokens
    begun = saved = time.monotonic()
    early_tokens = int(_EARLY_END * plan.tokens) - first_tokens
    for batch in batches.stream(folder / "tokenizer.json", plan.batch_tokens, plan.seed, early_tokens):
        progress = training.tokens / plan.tokens
        if progress >= 1:
            break
        for optimizer, rate in zip(optimizers, full_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * learning_share(progress)
        loss = _loss(forward, batch, tables, network)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, total_loss = step + 1, total_loss + loss.item()
        training.tokens += batch.inputs.size
        if step % _REPORT_STEPS == 0:
            speed = (training.tokens - first_tokens) / (time.monotonic() - begun)
            _report(f"step {step}: {progress:.1%}, loss {total_loss / _REPORT_STEPS:.4f}, {speed:,.0f} tokens/s")
            total_loss = 0.0
        if time.monotonic() - saved > _CHECKPOINT_SECONDS:
            training.save(plan, folder / "checkpoint.pt")
            saved = time.monotonic()


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the plan from the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=float, default=_MILLION_TOKENS, help="millions of tokens to train on")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    compiler = shutil.which("g++") is not None
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=compiler, help="a little faster; needs g++"
    )
    parser.add_argument("--folder", type=Path, default=BUILD_FOLDER)
    parser.add_argument("--resume", action="store_true", help="go on from the folder's checkpoint (use another seed)")
    chosen = vars(parser.parse_args())
    folder, resume = chosen.pop("folder"), chosen.pop("resume")
    tokens = int(chosen.pop("tokens") * 1e6)
    train(Plan(tokens=tokens, **chosen), folder, resume)


if __name__ == "__main__":
    main()
