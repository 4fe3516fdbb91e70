"""An uploaded file; its content is kept beside it."""

from __future__ import annotations

from dataclasses import dataclass

from microservices.assistants.objects.json_object import JsonObject


@dataclass(frozen=True, slots=True)
class File:
    """One row of the files; see https://platform.openai.com/docs/api-reference/files/object."""

    id: str
    #: Whose key made it; "" where no keys are asked for. Never shown.
    owner: str
    created_at: int
    filename: str
    purpose: str
    size_bytes: int
    expires_at: int | None = None

    def to_json(self) -> JsonObject:
        """Return the object of the API, nulls explicit."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size_bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            # Deprecated there, yet SDKs wait for it: https://platform.openai.com/docs/api-reference/files/object
            "status": "processed",
            "status_details": None,
        }
