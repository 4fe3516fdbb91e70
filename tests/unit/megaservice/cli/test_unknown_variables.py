"""Which names of `.env` are taken for mistyped ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices

from megaservice.cli.unknown_variables import check_unknown_variables
from microservices.assistants.settings import AssistantsSettings
from microservices.grader.settings import GraderSettings
from microservices.llm.settings import LLMSettings
from microservices.retriever.settings import RetrieverSettings
from servicekit.environment import PROJECT_ROOT
from servicekit.settings import ServiceSettings

_PIPELINES = PROJECT_ROOT / "compose" / "pipelines"


def _messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    file = tmp_path / "variables"
    file.write_text("".join(f"{name}=x\n" for name in names))
    monkeypatch.setenv("MEGASERVICE_ENV_FILE", str(file))
    return [finding.message for finding in check_unknown_variables(_PIPELINES)]


def test_mistyped_name_is_told_with_the_one_that_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nothing reads is told only where it is nearly one that is read."""
    names = ("LOG_MESAGES", "log_messages", "LLM_SERVICE_PROT", "EDITOR", "XAI_API_KEY", "LLM_SERVER_HOST_IP")
    assert _messages(tmp_path, monkeypatch, *names) == [
        "Nothing reads LOG_MESAGES. Did you mean 'LOG_MESSAGES'?",
        "Nothing reads LLM_SERVICE_PROT. Did you mean 'LLM_SERVICE_PORT'?",
    ]


@pytest.mark.parametrize("settings", [LLMSettings, GraderSettings, RetrieverSettings, AssistantsSettings])
def test_no_setting_of_a_service_is_taken_for_a_mistyped_one(
    settings: type[ServiceSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The services' own variables are known, or unlike all that are."""
    names: list[str] = []
    for field, info in settings.model_fields.items():
        alias = info.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or field]
        names += [str(choice).upper() for choice in choices]
    assert _messages(tmp_path, monkeypatch, *names) == []
