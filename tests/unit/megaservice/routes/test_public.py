"""What may be told about a pipeline: no secrets."""

from __future__ import annotations

import pytest

from megaservice.pipeline.problems import Problem
from megaservice.routes.public import public_problem, public_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:hunter2@host:1/v1", "http://***@host:1/v1"),
        ("http://user:hunt@er2@host:1/v1", "http://***@host:1/v1"),
        ("http://host/v1?api_key=hunter2&version=3", "http://host/v1?api_key=***&version=3"),
        ("http://host/v1?sig=hunter2#top", "http://host/v1?sig=***#top"),
        ("'http://a:b@host' is wrong; http://c@d too", "'http://***@host' is wrong; http://***@d too"),
        ("mail me@example.org about a?b=c", "mail me@example.org about a?b=c"),
    ],
)
def test_text_masks_user_info_and_keys(text: str, shown: str) -> None:
    """What surrounds a secret stays readable."""
    assert public_text(text) == shown


def test_problem_names_its_file_without_the_folder() -> None:
    """Where the files lie is nobody's business."""
    problem = Problem("/srv/secret/place/chat.yaml", 3, 4, "'http://u:p@x' is wrong.")
    assert public_problem(problem) == {
        "file": "chat.yaml",
        "line": 3,
        "column": 4,
        "message": "'http://***@x' is wrong.",
    }
