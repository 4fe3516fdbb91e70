"""The profile beside a GGUF file."""

from __future__ import annotations

from pathlib import Path

import pytest

from servicekit.errors import ConfigurationError
from servicekit.model_profile import load_profile
from servicekit.models import BUNDLED_MODELS


def test_load_profile_reads_the_one_that_ships() -> None:
    """The phrasebook knows its refusal and how it wants to be asked for a grade."""
    profile = load_profile(BUNDLED_MODELS["phrasebook"])
    assert profile is not None
    assert profile.out_of_domain is not None
    assert profile.grading is not None
    assert "{source}" in profile.grading.user_template
    assert "{candidate}" in profile.grading.user_template


def test_load_profile_is_none_for_a_general_model(tmp_path: Path) -> None:
    """A model without a profile is a general chat model."""
    assert load_profile(tmp_path / "my.gguf") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "Invalid JSON"),
        ("{}", "name: Field required"),
        ('{"name": "m", "notise": "x"}', "notise: Extra inputs"),
        ('{"name": "m", "out_of_domain": {"marker": "x"}}', "out_of_domain.code: Field required"),
    ],
)
def test_load_profile_names_the_place_of_a_problem(tmp_path: Path, text: str, place: str) -> None:
    """A profile that cannot be used stops the start, naming file and place."""
    (tmp_path / "my.profile.json").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_profile(tmp_path / "my.gguf")
    assert "my.profile.json" in str(caught.value)
    assert place in str(caught.value)
