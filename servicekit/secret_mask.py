"""Takes the secrets of this process's configuration out of texts that are kept or shown.

Settings hold secrets as `SecretStr`; what is left are texts from elsewhere, such as an upstream's error that repeats
the key it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MASK = "***"

#: The variables whose values are secrets, by what their names end in.
_SECRET_NAME = re.compile(r"(KEYS?|TOKENS?|SECRETS?|PASSWORDS?|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
#: A shorter value is a word that texts may hold for other reasons.
_MIN_CHARS = 6
#: `user:password@` in a URL.
_USER_INFO = re.compile(r"(?<=://)[^/?#\s'\"@]*@")


class SecretMask:
    """Masks known secrets.

    Args:
        variables: The configuration: the environment and `.env`.
        names: Variables that hold keys, whatever they are called; `API_KEYS` and the like are known.
    """

    def __init__(self, variables: Mapping[str, str], names: Iterable[str] = ()) -> None:
        named = {value for name in names if (value := variables.get(name))}
        named |= {value for name, value in variables.items() if _SECRET_NAME.search(name)}
        parts = {part.strip() for value in named for part in (value, *value.split(","))}
        # The longest first: one secret may be the beginning of another.
        self._secrets = sorted((part for part in parts if len(part) >= _MIN_CHARS), key=len, reverse=True)

    def masked(self, text: str) -> str:
        """Return a text without the known secrets, and without the user info of its URLs."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, MASK)
        return _USER_INFO.sub(f"{MASK}@", text) if "://" in text else text
