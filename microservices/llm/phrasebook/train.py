"""Train the model from nothing: `python -m microservices.llm.phrasebook.train`.

Needs PyTorch (the CPU build is enough, see MODEL_CARD.md). The learning rate follows the clock, so that the run
ends in the time it was given on a slow machine, too; checkpoints let a run that was cut off be exported.
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
from microservices.llm.phrasebook.network import Network, Shape, rotary_tables

BUILD_FOLDER = Path(__file__).parent / "build"
_TOKENIZER_EXAMPLES = 60_000
_CHECKPOINT_SECONDS = 180.0
_REPORT_STEPS = 25
_LONGEST_TOKENS = 1024
# Ends of the learning rate's rise and plateau, as shares of the run.
_RISE_END = 0.02
_PLATEAU_END = 0.2
_HEAD_WIDTH = 32
# Names of mallopt's options, from malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


@dataclass(frozen=True)
class Plan:
    """How to train."""

    minutes: float
    seed: int
    vocabulary: int
    width: int
    layers: int
    batch_tokens: int
    compile: bool
    muon_rate: float = 0.02
    embedding_rate: float = 4e-3


def learning_share(progress: float) -> float:
    """The share of the full learning rate at a progress from 0 to 1: a short rise, a plateau, a long fall."""
    if progress < _RISE_END:
        return progress / _RISE_END
    left = (1 - progress) / (1 - _PLATEAU_END)
    return max(0.0, min(1.0, left)) ** 2


def _optimizers(network: Network, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for the embeddings and norms."""
    matrices = [weights for name, weights in network.blocks.named_parameters() if weights.dim() == 2]
    ids = {id(weights) for weights in matrices}
    others = [weights for weights in network.parameters() if id(weights) not in ids]
    return [
        torch.optim.Muon(matrices, lr=plan.muon_rate, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(others, lr=plan.embedding_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _loss(network: torch.nn.Module, batch: batches.Batch, tables: tuple[Tensor, Tensor], weights: Tensor) -> Tensor:
    inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
    length = inputs.shape[1]
    # In full precision: with bfloat16 the gradients of the lower layers pointed elsewhere (cosine 0.4 to 0.98).
    hidden = network(inputs, tables[0][:length], tables[1][:length])
    said = targets != batches.SKIPPED
    return functional.cross_entropy(functional.linear(hidden[said], weights), targets[said])


def _save(network: Network, plan: Plan, progress: float, path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    content = {"weights": network.state_dict(), "shape": asdict(network.shape), "plan": asdict(plan)}
    torch.save({**content, "progress": progress}, unfinished)
    unfinished.replace(path)


def train(plan: Plan, folder: Path, resume: bool) -> Path:
    """Train for the planned minutes and leave `tokenizer.json` and `checkpoint.pt` in the folder.

    Args:
        plan: How to train.
        folder: Where to write; made if it is not there.
        resume: Whether to go on from the folder's checkpoint, with the minutes that were left to it.
    """
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(plan.seed)
    _keep_memory()
    checkpoint = folder / "checkpoint.pt"
    progress = 0.0
    if resume:
        saved = torch.load(checkpoint, weights_only=True)
        network, progress = Network(Shape(**saved["shape"])), saved["progress"]
        network.load_state_dict(saved["weights"])
    else:
        network = _new_network(plan, folder)
    count = sum(weights.numel() for weights in network.parameters())
    _report(f"{count:,} parameters, {network.shape.vocabulary} tokens, from {progress:.0%}")
    _run(network, plan, folder, started - progress * plan.minutes * 60)
    _save(network, plan, 1.0, checkpoint)
    return checkpoint


def _new_network(plan: Plan, folder: Path) -> Network:
    learned = tokenizer.train(plan.vocabulary, _TOKENIZER_EXAMPLES, plan.seed)
    learned.save(str(folder / "tokenizer.json"))
    heads = plan.width // _HEAD_WIDTH
    return Network(Shape(learned.get_vocab_size(), plan.width, plan.layers, heads, _feed_forward(plan.width)))


def _feed_forward(width: int) -> int:
    return -(-width * 8 // 3 // 64) * 64


def _keep_memory() -> None:
    """Tell the C library to keep freed memory: handing it back and faulting it in again costs a third of the time."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def _run(network: Network, plan: Plan, folder: Path, started: float) -> None:
    optimizers = _optimizers(network, plan)
    full_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    tables = rotary_tables(network.shape, _LONGEST_TOKENS)
    forward: torch.nn.Module = torch.compile(network, dynamic=True) if plan.compile else network
    step, tokens, total_loss = 0, 0, 0.0
    begun = saved = time.monotonic()
    for batch in batches.stream(folder / "tokenizer.json", plan.batch_tokens, plan.seed):
        progress = (time.monotonic() - started) / (plan.minutes * 60)
        if progress >= 1:
            break
        for optimizer, rate in zip(optimizers, full_rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * learning_share(progress)
        loss = _loss(forward, batch, tables, network.embedding.weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        step, tokens, total_loss = step + 1, tokens + batch.inputs.size, total_loss + loss.item()
        if step % _REPORT_STEPS == 0:
            speed = tokens / (time.monotonic() - begun)
            _report(f"step {step}: {progress:.0%}, loss {total_loss / _REPORT_STEPS:.4f}, {speed:,.0f} tokens/s")
            total_loss = 0.0
        if time.monotonic() - saved > _CHECKPOINT_SECONDS:
            _save(network, plan, progress, folder / "checkpoint.pt")
            saved = time.monotonic()


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the plan from the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=58.0, help="wall-clock minutes in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--vocabulary", type=int, default=3072)
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
    train(Plan(**chosen), folder, resume)


if __name__ == "__main__":
    main()
