"""Vectors of fewer numbers than the model makes: `dimensions` of `/api/embed`."""

from __future__ import annotations

from typing import Any

from servicekit.openai.dimensions import cut


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
    return {**answer, "embeddings": [cut(vector, dimensions) for vector in answer["embeddings"]]}
