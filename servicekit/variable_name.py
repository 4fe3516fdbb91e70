"""The name of an environment variable that holds a key, as files write it; a key itself is refused there.

Files get into repositories, and these names into messages.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

VARIABLE_PATTERN = "^[A-Za-z_][A-Za-z0-9_]*$"

_MAX_CHARS = 64
#: What providers' keys begin with (those with a hyphen are no names anyway); `hf_token` may be somebody's variable.
_KEY_PREFIX = re.compile(
    r"(?:gsk|fw|hf|sk|pk|rk|r8|ghp|gho|ghs|github_pat|tgp_v1|jina|glpat|lsv2|nvapi|xai|pplx|csk)_(?![a-z_]+$)|AIza|AKIA"
)
#: Letters and digits in one go, as hexadecimal and random keys are; names of that length are made of words.
_RANDOM = re.compile(r"(?=[A-Za-z]*[0-9])(?=[A-Z0-9]*[a-z])[A-Za-z0-9]{24,}$")


def _checked(value: str) -> str:
    if len(value) > _MAX_CHARS or _KEY_PREFIX.match(value) or _RANDOM.match(value):
        raise ValueError(
            "this looks like a key, and not like the name of the variable that holds it. Put the key into the "
            "environment or .env, as in MY_KEY=..., and write MY_KEY here"
        )
    return value


VariableName = Annotated[str, Field(pattern=VARIABLE_PATTERN), AfterValidator(_checked)]
