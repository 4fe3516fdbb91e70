"""Names the nearest valid word where a command or a service is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click


def did_you_mean(word: str, valid: Sequence[str]) -> str:
    """Return what to add to an error message: the nearest valid words, or all of them."""
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(valid)}."


class NearestGroup(click.Group):
    """A group of commands whose error for an unknown one names the nearest."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command as click does, with a better error (exit code 2)."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. {did_you_mean(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)
