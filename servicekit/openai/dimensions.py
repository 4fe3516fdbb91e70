"""`dimensions` of an embeddings request: https://platform.openai.com/docs/api-reference/embeddings/create.

Many backends leave it out without a word (llama.cpp, older Ollamas, some of LiteLLM's providers), so answers are looked
at. Shorter vectors are sound where the model was trained so that their first numbers hold the most: matryoshka
representation learning, https://arxiv.org/abs/2205.13147. The beginning of any other model's vectors says little.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from servicekit.documents.ranking import unit_vector
from servicekit.errors import InvalidRequestError, UpstreamBadResponseError
from servicekit.openai.chat import ChatObject

_FLOAT_BYTES = 4


def check_dimensions(answer: ChatObject, dimensions: int | None) -> None:
    """Refuse an answer whose vectors have another number of numbers than was asked for.

    Args:
        answer: To an embeddings request, with the name of the model that gave it.
        dimensions: How many were asked for; None leaves it to the model.

    Raises:
        InvalidRequestError: The backend left `dimensions` out.
        UpstreamBadResponseError: There are no vectors in the answer.
    """
    if dimensions is None:
        return
    for vector in _vectors_of(answer):
        if len(vector) != dimensions:
            way = ", or ask /api/embed, which cuts any model's as Ollama does" if dimensions < len(vector) else ""
            raise InvalidRequestError(
                f"dimensions: expected {len(vector)}, the size of the vectors of model '{answer.get('model')}', found "
                f"{dimensions}. Leave it out, or name a model whose vectors can have that size{way}.",
                param="dimensions",
            )


def shortened(answer: ChatObject, dimensions: int | None) -> ChatObject:
    """Return an answer whose vectors are cut to that many numbers and of length 1 again.

    Args:
        answer: To an embeddings request, of a model for which this is sound.
        dimensions: How many are wanted; None leaves them as they are.

    Raises:
        InvalidRequestError: The model makes fewer.
        UpstreamBadResponseError: There are no vectors in the answer.
    """
    if dimensions is None:
        return answer
    items = [
        {**item, "embedding": _written_as(item["embedding"], cut(vector, dimensions))}
        for item, vector in zip(answer["data"], _vectors_of(answer), strict=True)
    ]
    return {**answer, "data": items}


def cut(vector: Sequence[float], dimensions: int) -> list[float]:
    """Return the first numbers of a vector, made length 1 again; a vector of that size as it is.

    Raises:
        InvalidRequestError: It has fewer.
    """
    if len(vector) < dimensions:
        raise InvalidRequestError(
            f"dimensions: the model's vectors have {len(vector)} numbers, found {dimensions}. Ask for at most as many.",
            param="dimensions",
        )
    return list(vector if len(vector) == dimensions else unit_vector(vector[:dimensions]))


def as_base64(vector: Sequence[float]) -> str:
    """Write a vector as the little-endian bytes of its float32 values, which `encoding_format` base64 means."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _vectors_of(answer: ChatObject) -> list[Sequence[float]]:
    try:
        return [_numbers(item["embedding"]) for item in answer["data"]]
    except (KeyError, TypeError, ValueError, struct.error) as exc:
        model = answer.get("model")
        raise UpstreamBadResponseError(f"Model '{model}' answered an embeddings request without vectors.") from exc


def _numbers(embedding: Any) -> Sequence[float]:  # noqa: ANN401 - whatever the backend sent
    if isinstance(embedding, str):
        data = base64.b64decode(embedding, validate=True)
        return struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)
    numbers: Iterable[Any] = embedding
    return [float(number) for number in numbers]


def _written_as(embedding: object, vector: list[float]) -> str | list[float]:
    return as_base64(vector) if isinstance(embedding, str) else vector
