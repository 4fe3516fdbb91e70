"""Vectors of fewer numbers than the model makes: `dimensions` of `/api/embed`."""

from __future__ import annotations

from typing import Any

from servicekit.documents.ranking import unit_vector
from servicekit.errors import InvalidRequestError


def shortened(answer: dict[str, Any], dimensions: int | None) -> dict[str, Any]:
    """Return an answer whose vectors have that many numbers, cut and made length 1 again as Ollama does.

    Those that the backend has shortened itself stay as they are.

    Args:
        answer: As Ollama's API has it, with `embeddings`.
        dimensions: How many were asked for; None or 0 leaves the model's own.

    Raises:
        InvalidRequestError: The model makes fewer.
    """
    if not dimensions:
        return answer
    return {**answer, "embeddings": [_cut(vector, dimensions) for vector in answer["embeddings"]]}


def _cut(vector: list[float], dimensions: int) -> list[float]:
    if len(vector) < dimensions:
        raise InvalidRequestError(
            f"dimensions: the model's vectors have {len(vector)} numbers, found {dimensions}. Ask for at most as many.",
            param="dimensions",
        )
    return vector if len(vector) == dimensions else list(unit_vector(vector[:dimensions]))
