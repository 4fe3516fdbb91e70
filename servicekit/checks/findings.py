"""What a check finds: a verdict about one thing, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What came of one check."""

    OK = "ok"
    #: It works, but not as somebody may think.
    WARNING = "warning"
    #: It will not work.
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing: what is there or, where it is wrong, what to do.

    Attributes:
        verdict: How bad it is.
        subject: What it is about, such as "keys" or "model llama3.2:1b".
        message: One or more whole sentences; where all is well, a few words.
    """

    verdict: Verdict
    subject: str
    message: str
