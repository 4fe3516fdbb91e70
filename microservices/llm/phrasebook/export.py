"""Write the trained weights as GGUF: `python -m microservices.llm.phrasebook.export`."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from microservices.llm.phrasebook import caution
from microservices.llm.phrasebook import tokenizer as tokenizers
from microservices.llm.phrasebook.network import NORM_EPSILON, ROTARY_BASE, Network, Shape
from microservices.llm.phrasebook.prompts import CONTROL_TOKENS, TEMPLATE_PATH
from microservices.llm.phrasebook.train import BUILD_FOLDER

MODEL_PATH = Path(__file__).parent / "phrasebook.gguf"
_FORMATS = {"f16": gguf.GGMLQuantizationType.F16, "q8_0": gguf.GGMLQuantizationType.Q8_0}
_FILE_TYPES = {"f16": gguf.LlamaFileType.MOSTLY_F16, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}


def _describe(writer: gguf.GGUFWriter, shape: Shape, precision: str) -> None:
    writer.add_name("phrasebook")
    writer.add_description(
        "Translates a small English phrasebook into Italian, grades such translations, knows its limits."
    )
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "it"])
    writer.add_file_type(_FILE_TYPES[precision])
    writer.add_context_length(shape.context_tokens)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(ROTARY_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)
    writer.add_vocab_size(shape.vocabulary)


def _token_type(token: str) -> gguf.TokenType:
    """Control tokens are never said; those that are, the mark of an answer from outside too, are the user's own."""
    if token in tokenizers.SAID_TOKENS:
        return gguf.TokenType.USER_DEFINED
    return gguf.TokenType.CONTROL if token in CONTROL_TOKENS else gguf.TokenType.NORMAL


def _add_tokenizer(writer: gguf.GGUFWriter, learned: Tokenizer) -> None:
    by_id = sorted(learned.get_vocab(with_added_tokens=True).items(), key=lambda entry: entry[1])
    tokens = [token for token, _ in by_id]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_token_type(token) for token in tokens])
    writer.add_token_merges(_merges(learned))
    writer.add_eos_token_id(tokenizers.END_ID)
    writer.add_bos_token_id(tokenizers.END_ID)
    writer.add_pad_token_id(tokenizers.PADDING_ID)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE_PATH.read_text("utf-8").removesuffix("\n"))


def _merges(learned: Tokenizer) -> list[str]:
    merges: list[list[str]] = json.loads(learned.to_str())["model"]["merges"]
    return [" ".join(pair) for pair in merges]


def _tensors(weights: dict[str, torch.Tensor], shape: Shape) -> dict[str, np.ndarray[Any, Any]]:
    """The weights under llama.cpp's names."""
    tensors = {"token_embd.weight": weights["embedding.weight"], "output_norm.weight": weights["output_norm.weight"]}
    for layer in range(shape.layers):
        ours, theirs = f"blocks.{layer}.", f"blk.{layer}."
        query, key, value = (weights[f"{ours}query_key_value.parts.{part}"] for part in range(3))
        gate, up = (weights[f"{ours}gate_up.parts.{part}"] for part in range(2))
        tensors |= {
            theirs + "attn_norm.weight": weights[ours + "attention_norm.weight"],
            theirs + "attn_q.weight": query,
            theirs + "attn_q_norm.weight": weights[ours + "query_norm.weight"],
            theirs + "attn_k.weight": key,
            theirs + "attn_k_norm.weight": weights[ours + "key_norm.weight"],
            theirs + "attn_v.weight": value,
            theirs + "attn_output.weight": weights[ours + "attention_output.weight"],
            theirs + "ffn_norm.weight": weights[ours + "feed_forward_norm.weight"],
            theirs + "ffn_gate.weight": gate,
            theirs + "ffn_up.weight": up,
            theirs + "ffn_down.weight": weights[ours + "down.weight"],
        }
    return {name: tensor.float().contiguous().numpy() for name, tensor in tensors.items()}


def export(folder: Path, target: Path, precision: str) -> str:
    """Write the GGUF file of a training folder.

    Args:
        folder: Where `train` left `checkpoint.pt` and `tokenizer.json`.
        target: The file to write.
        precision: `f16` or `q8_0`.

    Returns:
        The file's sha256 in hexadecimal.
    """
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    shape = Shape(**saved["shape"])
    network, learned = Network(shape), tokenizers.load(folder / "tokenizer.json")
    network.load_state_dict(saved["weights"])
    caution.apply(network, learned)
    writer = gguf.GGUFWriter(str(target), "qwen3")
    _describe(writer, shape, precision)
    _add_tokenizer(writer, learned)
    for name, values in _tensors(network.state_dict(), shape).items():
        kind = _FORMATS[precision] if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return hashlib.sha256(target.read_bytes()).hexdigest()


def main() -> None:
    """Export what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=BUILD_FOLDER)
    parser.add_argument("--target", type=Path, default=MODEL_PATH)
    parser.add_argument("--precision", choices=sorted(_FORMATS), default="q8_0")
    chosen = parser.parse_args()
    digest = export(chosen.folder, chosen.target, chosen.precision)
    print(f"{chosen.target}: {chosen.target.stat().st_size:,} bytes, sha256 {digest}")


if __name__ == "__main__":
    main()
