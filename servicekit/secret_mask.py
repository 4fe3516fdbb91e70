"""Takes the secrets of this process's configuration out of texts that are kept or shown.

Settings hold secrets as `SecretStr`; what is left are texts from elsewhere, such as an upstream's error that repeats
the key it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"

#: The variables whose values are secrets, by what their names end in.
_SECRET_NAME = re.compile(r"(KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
#: A shorter value is a word that texts may hold for other reasons.
_MIN_CHARS = 8
#: `user:password@` in a URL, up to the authority's last `@`: a password may hold one that nobody wrote as %40. Where a
#: `/`, `?` or `#` comes after a colon that no port follows, it belongs to a password, too. `user:password@` itself is
#: what remedies write as an example.
_USER_INFO = re.compile(
    r"(?<=://)(?!user:password@)"
    r"(?:[^/?#\s'\"]*@|[^/?#\s'\"@:\[]*:(?!\d*(?:[/?#]|$))(?:(?!://)[^\s'\"])*@)"
)


class SecretMask:
    """Masks known secrets.

    Args:
        variables: See `add_variables`.
    """

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._secrets: tuple[str, ...] = ()
        self.add_variables(variables or {})

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """Mask what `API_KEYS`, `GROQ_API_KEY`, `HF_TOKEN` and the like hold.

        Args:
            variables: The configuration: the environment and `.env`.
        """
        self.add(*(value for name, value in variables.items() if _SECRET_NAME.search(name)))

    def add(self, *values: str) -> None:
        """Mask these values; of several, separated by commas, each."""
        parts = {part.strip() for value in values for part in (value, *value.split(","))}
        found = {part for part in parts if len(part) >= _MIN_CHARS}.union(self._secrets)
        # The longest first: one secret may be the beginning of another. A new tuple: others may be reading the old one.
        self._secrets = tuple(sorted(found, key=len, reverse=True))

    def masked(self, text: str) -> str:
        """Return a text without the known secrets, and without the user info of its URLs."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        # A single character is found fastest, and most texts have none of this one.
        return _USER_INFO.sub(f"{MASK}@", text) if "@" in text and "://" in text else text


_PROCESS_MASK = SecretMask()


def known_secrets() -> SecretMask:
    """Return the mask of this process; whoever reads a key from the configuration adds it."""
    return _PROCESS_MASK
