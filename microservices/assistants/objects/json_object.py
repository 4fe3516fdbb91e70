"""The shape of JSON objects in the API."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]
#: Up to 16 pairs of strings, keys up to 64 and values up to 512 characters.
Metadata = dict[str, str]
