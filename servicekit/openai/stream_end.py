"""When a stream has ended well: one rule for every kind of stream that a model writes."""

from __future__ import annotations

from dataclasses import dataclass

from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import Target

#: With one of these as its `finish_reason` an answer may be empty: a reasoning model used up its tokens, or a filter
#: held the text back.
TELLING_REASONS = frozenset({"length", "content_filter"})


@dataclass(slots=True)
class StreamState:
    """What is known of a stream while it is read.

    Attributes:
        has_begun: Whether any event came.
        has_said: Whether one of them says something.
        finish_reason: The last one that came.
        done: Whether `[DONE]` came.
    """

    has_begun: bool = False
    has_said: bool = False
    finish_reason: str | None = None
    done: bool = False

    def check_end(self, target: Target, *, was_cut: bool) -> None:
        """Raise unless a stream that ends now has ended well.

        Args:
            target: Whom the error names.
            was_cut: Whether it ended inside an event.

        Raises:
            UpstreamBadResponseError: The stream was empty or ended in its middle.
        """
        if was_cut:
            raise _broken(f"{target} ended its stream inside an event.")
        if not (self.done or self.finish_reason):
            what = "without a finish_reason or [DONE]" if self.has_begun else "without any event"
            raise _broken(f"{target} ended its stream {what}.")
        if not self.has_said and self.finish_reason not in TELLING_REASONS:
            raise _broken(f"{target} answered a stream without any text.")


def _broken(message: str) -> UpstreamBadResponseError:
    return UpstreamBadResponseError(message, retryable=True)
