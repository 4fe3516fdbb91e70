"""What one call is bound to: whom it goes to, how long its waits may be, and which transport takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from servicekit.secret_mask import known_secrets

#: `auto`: our own transport where it can, aiohttp elsewhere; `aiohttp`: always aiohttp.
Transport = Literal["auto", "aiohttp"]


class Timeouts(NamedTuple):
    """Bounds of the four waits of a call, in seconds."""

    #: Until the connection stands.
    connect_seconds: float = 5.0
    #: From the request to the first byte of the answer's body (first token).
    first_byte_seconds: float = 120.0
    #: Between two reads of the body.
    idle_seconds: float = 60.0
    #: The whole call.
    total_seconds: float = 600.0


#: The bounds of a call that names none.
DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call goes to, in the words that an error message needs.

    Attributes:
        name: What users call it: "node 'llm'", "the upstream of model 'x'".
        url: The full URL; its user info, if it has some, is sent and never shown.
        unreachable_remedy: What somebody is asked to look at where nobody answers.
    """

    unreachable_remedy: ClassVar[str] = "Is it running, and is the address right?"

    name: str
    url: str

    def __str__(self) -> str:
        return known_secrets().masked(f"{self.name} at {self.url}")
