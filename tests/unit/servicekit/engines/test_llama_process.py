"""What is said about a model that llama.cpp cannot load."""

from __future__ import annotations

from servicekit.engines.llama_process import reason_in_log


def test_reason_is_what_the_loader_says_first() -> None:
    """Of llama.cpp's ten lines about one bad file, the one with the reason is taken."""
    lines = [
        "0.00.004.434 E llama_model_load: error loading model: tensor 'a' data is not within the file bounds",
        "0.00.004.447 E llama_model_load_from_file_impl: failed to load model",
    ]
    assert reason_in_log(lines) == "tensor 'a' data is not within the file bounds"


def test_reason_is_the_first_error_where_the_loader_says_nothing() -> None:
    """Another failure, such as too little memory, is quoted without the time."""
    lines = ["0.00.1 I srv  init: hello", "0.00.2 E ggml_alloc: out of memory", "0.00.3 E srv: exiting"]
    assert reason_in_log(lines) == "ggml_alloc: out of memory"


def test_reason_is_none_without_errors() -> None:
    """A log that says nothing explains nothing."""
    assert reason_in_log(["0.00.1 I srv  init: hello"]) is None


def test_reason_skips_the_loaders_empty_words() -> None:
    """That it "failed to load model" says nothing; the line before it does."""
    lines = [
        "0.00.1 E gguf_init_from_reader: failed to read key-value pairs",
        "0.00.2 E llama_model_load: error loading model: llama_model_loader: failed to load model from a.gguf",
    ]
    assert reason_in_log(lines) == "gguf_init_from_reader: failed to read key-value pairs"
