"""Which requests for JSON a model of one task answers."""

from __future__ import annotations

from typing import Any

import pytest

from servicekit.engines.json_refusal import check_json_is_possible
from servicekit.errors import InvalidRequestError
from servicekit.model_profile import ModelProfile, load_profile
from servicekit.models import BUNDLED_MODELS

USER = {"role": "user", "content": "Good morning"}
FORMS = [{"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}]


@pytest.fixture(name="profile")
def _profile() -> ModelProfile:
    """Give the one that ships."""
    profile = load_profile(BUNDLED_MODELS["phrasebook"])
    assert profile is not None
    return profile


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("system", [[], [{"role": "system", "content": "Translate into Italian, as JSON."}]])
def test_json_without_the_grading_prompt_is_refused(
    profile: ModelProfile, form: dict[str, Any], system: list[dict[str, str]]
) -> None:
    """The phrasebook would grade a text that nobody translated."""
    with pytest.raises(InvalidRequestError, match="writes JSON for grading only") as caught:
        check_json_is_possible(profile, {"messages": [*system, USER], "response_format": form})
    assert caught.value.param == "response_format"


@pytest.mark.parametrize("form", FORMS)
def test_json_with_the_grading_prompt_passes(profile: ModelProfile, form: dict[str, Any]) -> None:
    """As the grader asks."""
    assert profile.grading is not None
    system = {"role": "system", "content": profile.grading.system}
    check_json_is_possible(profile, {"messages": [system, USER], "response_format": form})


def test_text_and_general_models_pass(profile: ModelProfile) -> None:
    """A form that is none, and a model without such a limit."""
    for form in (None, {"type": "text"}):
        check_json_is_possible(profile, {"messages": [USER], "response_format": form})
    for general in (None, ModelProfile(name="general")):
        check_json_is_possible(general, {"messages": [USER], "response_format": FORMS[0]})
