"""The Jinja2 templates of prompts: compiled once in a sandbox, filled in for every call; errors name whose they are.

What a caller sends is only ever a value in a template, never one itself. The language:
https://jinja.palletsprojects.com/en/stable/templates/
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from servicekit.errors import InternalError

_MARKS = ("{{", "{%", "{#")
#: What evaluating an expression of a template can raise, besides Jinja's own errors.
_EVALUATION_ERRORS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


class TemplateTextError(ValueError):
    """A text is no template; the message says why and in which of its lines."""


class _Environment(ImmutableSandboxedEnvironment):
    """Finds a field before a method: `grader.items` is the grade's `items`, not dict's."""

    def getattr(self, obj: Any, attribute: str) -> Any | Undefined:  # noqa: ANN401 - any JSON
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        return super().getattr(obj, attribute)


@functools.cache
def _environment() -> _Environment:
    return _Environment(undefined=StrictUndefined, autoescape=False)


class PromptTemplate:
    """One compiled template.

    Args:
        text: As written in the file.
        owner: Whose it is, for errors: `node 'llm', 'prompt.user'`.

    Raises:
        TemplateTextError: It is none.
    """

    def __init__(self, text: str, owner: str) -> None:
        self.owner = owner
        self._text = text
        # Most system messages are plain texts, and need no rendering.
        self._template = None
        if any(mark in text for mark in _MARKS):
            try:
                self._template = _environment().from_string(text)
            except TemplateSyntaxError as exc:
                raise TemplateTextError(f"{exc.message} (line {exc.lineno} of the template)") from exc

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to fill in."""
        return self._template is None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it takes from the scope, sorted."""
        return tuple(sorted(meta.find_undeclared_variables(_environment().parse(self._text))))

    def filled_in(self, scope: Mapping[str, Any]) -> str:
        """Return the text over a scope: `request`, the nodes before by their names.

        Raises:
            InternalError: A name or field is not there, or something cannot be done with what is.
        """
        if self._template is None:
            return self._text
        try:
            return self._template.render(scope)
        except _EVALUATION_ERRORS as exc:
            there, reason = ", ".join(scope), str(exc).rstrip(".")
            remedy = f"There are: {there}. Ask with 'is defined', or give a default: {{{{ x | default('...') }}}}"
            raise InternalError(f"{self.owner}: the template cannot be filled in: {reason}. {remedy}.") from exc
