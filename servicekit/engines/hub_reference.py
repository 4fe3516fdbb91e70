"""Names of GGUF files at Hugging Face, and where they are kept here.

    hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf    one file
    hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M                               the file with that quantization
    hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF                                      Q4_K_M, as llama.cpp and Ollama do

`hf.co/` and `huggingface.co/`, Ollama's prefixes (https://huggingface.co/docs/hub/ollama), mean the same as `hf:`.
What follows is what llama.cpp takes after `-hf`. Imports nothing heavy: `up` looks into the cache, too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT_REVISION = "main"
#: What a repository without a quantization means to llama.cpp and Ollama.
_DEFAULT_QUANTIZATION = "Q4_K_M"
_PREFIXES = ("hf:", "hf.co/", "huggingface.co/", "https://huggingface.co/", "https://hf.co/")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_REFERENCE = re.compile(
    rf"(?P<repository>{_NAME}/{_NAME})(?:/(?P<path>(?:{_NAME}/)*{_NAME}\.gguf)|:(?P<tag>{_NAME}))?", re.IGNORECASE
)
#: One of several files that are one model.
_PART_OF_SEVERAL = re.compile(r"-\d{5}-of-\d{5}\.gguf$", re.IGNORECASE)
_SHAPE = "write hf:<owner>/<repository>/<file>.gguf, or hf:<owner>/<repository>:<quantization>"


def is_hub_reference(model: str) -> bool:
    """Whether a model is named as one of Hugging Face."""
    return model.startswith(_PREFIXES)


def cache_folder() -> Path:
    """Return the folder that fetched models are kept in: the user's own, for all checkouts."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "megaservice" / "models"


@dataclass(frozen=True, slots=True)
class HubReference:
    """One GGUF file at Hugging Face.

    Attributes:
        repository: `<owner>/<name>`.
        file: Its path there; None where `quantization` says which one it is.
        quantization: Such as `Q4_K_M`; empty where `file` is given.
        revision: A branch, tag or commit.
        sha256: What the file must have; None leaves that to Hugging Face.
    """

    repository: str
    file: str | None
    quantization: str
    revision: str = DEFAULT_REVISION
    sha256: str | None = None

    @classmethod
    def parse(cls, model: str, revision: str = DEFAULT_REVISION, sha256: str | None = None) -> HubReference:
        """Read a name.

        Raises:
            ValueError: It has not the shape of one, or names one of several parts of a model.
        """
        prefix = next(prefix for prefix in _PREFIXES if model.startswith(prefix))
        found = _REFERENCE.fullmatch(model.removeprefix(prefix))
        if found is None:
            raise ValueError(f"'{model}' names no GGUF file of Hugging Face; {_SHAPE}")
        tag = found["tag"] or ""
        file = found["path"] or (tag if tag.lower().endswith(".gguf") else None)
        if file is not None and is_part_of_several(file):
            raise ValueError(f"'{model}' is one of several parts of a model; only models of one file can be fetched")
        return cls(found["repository"], file, "" if file else tag or _DEFAULT_QUANTIZATION, revision, sha256)

    @property
    def path(self) -> Path:
        """Where the file is kept; known without asking anybody."""
        name = self.file or f"{self.repository.split('/')[1]}-{self.quantization}.gguf"
        return cache_folder() / self.repository / self.revision / name

    def choose(self, files: list[str]) -> str | None:
        """Return the file of a repository that is meant; None if there is none."""
        if self.file is not None:
            return self.file
        wanted = re.compile(rf"(^|[-._/]){re.escape(self.quantization)}\.gguf$", re.IGNORECASE)
        return next((file for file in files if wanted.search(file)), None)

    def __str__(self) -> str:
        return f"hf:{self.repository}{f'/{self.file}' if self.file else f':{self.quantization}'}"


def is_part_of_several(file: str) -> bool:
    """Whether a file is one of several that are one model."""
    return _PART_OF_SEVERAL.search(file) is not None
