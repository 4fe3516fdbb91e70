"""models.json: its problems, and what its names lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ConfigurationError, ModelNotFoundError
from servicekit.model_loading import load_catalog
from servicekit.models import BUNDLED_MODELS, ModelCatalog, ModelEntry

EMBEDDED = {"provider": "embedded", "model": "phrasebook"}
UPSTREAM = {"provider": "openai_compatible", "model": "qwen2.5:0.5b", "base_url": "http://127.0.0.1:11434/v1"}


def _write(folder: Path, document: object) -> Path:
    path = folder / "models.json"
    path.write_bytes(document if isinstance(document, bytes) else orjson.dumps(document))
    return path


def _catalog(folder: Path, **aliases: dict[str, Any]) -> ModelCatalog:
    return load_catalog(_write(folder, {"aliases": aliases}))


def test_load_catalog_takes_the_file_that_ships() -> None:
    """The checked-in models.json is valid, and both of its names are answered by the phrasebook."""
    catalog = load_catalog(PROJECT_ROOT / "compose" / "models.json")
    assert catalog.find("llama3.2:1b") == catalog.find("phrasebook") == catalog.find(None)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (b'{"aliases": {', "models.json:1:14: not valid JSON"),
        (b'{\n  "aliases": oops\n}', "models.json:2:14: not valid JSON"),
        ([], "the file: expected an object; found an array."),
        ({}, "aliases: this field is required."),
        ({"aliases": {}}, "aliases: expected an object with at least 1 item"),
        ({"aliases": {"a": {"provider": "embedded"}}}, "aliases.a.model: this field is required."),
        ({"aliases": {"a": {**EMBEDDED, "provider": "magic"}}}, "aliases.a.provider: 'magic' is no provider."),
        (
            {"aliases": {"a": {**EMBEDDED, "modle": "x"}}},
            "aliases.a.modle: the key 'modle' is not known here. Did you mean 'model'?",
        ),
        ({"aliases": {"a": {**EMBEDDED, "modle": "x"}}}, "The keys are provider, model, base_url"),
        ({"aliases": {"a": EMBEDDED}, "defualt": "a"}, "Did you mean 'default'?"),
        ({"aliases": {"a": {**EMBEDDED, "model": "phrasebok"}}}, "Did you mean 'phrasebook'?"),
        ({"alises": {}}, "Did you mean 'aliases'?"),
        ({"aliases": {"a": EMBEDDED}, "default": "b"}, "default: 'b' is no alias. Name one of: a."),
        (
            {"aliases": {"a": {**UPSTREAM, "base_url": "localhost:1"}}},
            "aliases.a.base_url: must begin with http:// or https://",
        ),
        ({"aliases": {"a": 3}}, "aliases.a: expected an object; found 3."),
        ({"aliases": {"a": {"deployments": {}}}}, "aliases.a.deployments: expected an array; found an object."),
        ({"aliases": {"a": {**UPSTREAM, "base_url": None}}}, "aliases.a: openai_compatible needs a base_url"),
        (
            {"aliases": {"a": {**UPSTREAM, "api_key_env": "sk-123"}}},
            "aliases.a.api_key_env: expected the name of a variable",
        ),
    ],
)
def test_load_catalog_names_the_place_of_a_problem(tmp_path: Path, document: object, problem: str) -> None:
    """File, place, what was found and what to write."""
    path = _write(tmp_path, document)
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(path)
    assert str(caught.value).startswith(str(path))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [
        *("gsk_LEAKME123", "gsk_LEAKME", "fw_3ZLeakMe", "hf_LeakMe", "AIzaLEAKME", "sk-LEAKME", "xai-LEAKME"),
        *("ALEAKME" * 10, "deadbeefLEAKME0123456789", "f00dfeedleakme0123456789abcdef01"),
    ],
)
@pytest.mark.parametrize("in_deployments", [False, True])
def test_load_catalog_refuses_a_key_where_its_variable_belongs(tmp_path: Path, key: str, in_deployments: bool) -> None:
    """With the line and what to do, and without the key; nobody is told that it "is not set"."""
    alias = {"provider": "groq", "model": "x", "api_key_env": key}
    document = {"aliases": {"a": {"deployments": [alias]} if in_deployments else alias}}
    path = _write(tmp_path, orjson.dumps(document, option=orjson.OPT_INDENT_2))
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:{8 if in_deployments else 6}: aliases.a.")
    assert "variable" in problem
    assert "leakme" not in problem.lower()


@pytest.mark.parametrize(
    "name", ["GROQ_API_KEY", "hf_token", "fw_key", "MyKey2", "SK_LIVE", "TEAM_2_KEY_FOR_FIREWORKS_AI"]
)
def test_load_catalog_takes_the_names_of_variables(tmp_path: Path, name: str) -> None:
    """Also odd ones: only what is surely a key is refused."""
    assert _catalog(tmp_path, a={**UPSTREAM, "api_key_env": name}).find("a").api_key_env == name


@pytest.mark.parametrize("address", ["me:LEAKED@h:1/v1", "ftp://me:LEAK@ED@h:1/v1", "http://me:LEAKED@h:1/v 1"])
def test_load_catalog_does_not_repeat_the_password_of_an_address(tmp_path: Path, address: str) -> None:
    """Of an address that cannot be used, too."""
    with pytest.raises(ConfigurationError, match=r'found "\*\*\*@h:1/v') as caught:
        _catalog(tmp_path, a={**UPSTREAM, "base_url": address})
    assert "LEAK" not in str(caught.value)


def test_load_catalog_does_not_repeat_what_stands_beside_a_missing_value(tmp_path: Path) -> None:
    """The rest of an alias may hold what must not be shown."""
    with pytest.raises(ConfigurationError) as caught:
        _catalog(tmp_path, a={"provider": "groq", "base_url": "http://me:LEAKED@h:1/v1"})
    assert "LEAKED" not in str(caught.value)


def test_load_catalog_tells_every_problem_at_once(tmp_path: Path) -> None:
    """Nobody has to start three times for three typing errors."""
    path = _write(tmp_path, {"aliases": {"a": {"provider": "magic", "model": ""}}, "x": 1})
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(path)
    assert len(caught.value.problems) == 3


def test_load_catalog_names_the_line_of_each_problem(tmp_path: Path) -> None:
    """Problems of single values and those between values, all at once, each in its line."""
    text = b"""{
  "default": "nobody",
  "aliases": {
    "a": {"provider": "groqq", "model": "x"},
    "b": {"provider": "groq", "model": "x",
          "fallback": "c"},
    "c": {"deployments": [
            {"provider": "groq", "model": "x", "parameters": {"temperature": 7}},
            {"provider": "openai_compatible", "model": "y"},
            {"provider": "embedded", "model": "phrasebook", "api_key": "sk-1"}],
          "fallback": "b"},
    "d": {"deployments": [
            {"provider": "openai_compatible", "model": "y"},
            {"provider": "groq", "model": "x",
             "parameters": {"temperature": 7, "model": "z"}}],
          "fallback": "nowhere"},
    "d": {"provider": "embedded", "model": "phrasebook", "base_url": "http://h:1"},
    "e": {"provider": "ollama", "model": "x", "fallback": "e"}
  }
}"""
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(_write(tmp_path, text))
    told = [problem.removeprefix(f"{tmp_path}/models.json:") for problem in caught.value.problems]
    assert [line.split(": ", 2)[:2] for line in told] == [
        ["17", "aliases.d"],
        ["4", "aliases.a.provider"],
        ["10", "aliases.c.deployments.2.api_key"],
        ["2", "default"],
        ["17", "aliases.d.base_url"],
        ["18", "aliases.e.fallback"],
    ]
    assert "'groqq' is no provider. Did you mean 'groq'?" in told[1]
    assert "The keys are provider, model, base_url, api_key_env, revision, sha256, parameters." in told[2]
    assert "e > e" in told[5]


def test_load_catalog_checks_what_several_deployments_say(tmp_path: Path) -> None:
    """Default parameters, missing addresses, fallbacks in a ring."""
    group = {
        "deployments": [UPSTREAM, {**UPSTREAM, "base_url": None, "parameters": {"temperature": 7, "model": "z"}}],
        "fallback": "a",
    }
    with pytest.raises(ConfigurationError) as caught:
        _catalog(tmp_path, a={**EMBEDDED, "fallback": "g"}, g=group)
    text = str(caught.value)
    assert "aliases.a.fallback: it leads back to itself: a > g > a." in text
    assert "aliases.g.deployments.1.parameters.temperature: temperature: expected" in text
    assert "aliases.g.deployments.1.parameters.model: 'model' is no parameter of a model; each request" in text
    assert "aliases.g.deployments.1: openai_compatible needs a base_url" in text


@pytest.mark.parametrize(("name", "meant"), [("temprature", "temperature"), ("max_token", "max_tokens")])
def test_load_catalog_names_the_parameter_that_a_slip_means(tmp_path: Path, name: str, meant: str) -> None:
    """In an alias, in a group and in one of its deployments: file, line, alias, parameter and the right name."""
    slip = {**UPSTREAM, "parameters": {name: 1}}
    with pytest.raises(ConfigurationError) as caught:
        _catalog(tmp_path, a=slip, g={"deployments": [UPSTREAM, slip], "parameters": {name: 1}})
    places = ("aliases.a", "aliases.g", "aliases.g.deployments.1")
    assert list(caught.value.problems) == [
        f"{tmp_path}/models.json:1: {place}.parameters.{name}: "
        f"the parameter '{name}' is not known. Did you mean '{meant}'?"
        for place in places
    ]


def test_load_catalog_takes_parameters_of_a_server_s_own(tmp_path: Path) -> None:
    """What is no slip of a known name may be one that the server behind the alias knows."""
    own = {"stop_token_ids": [2], "mirostat": 2, "repeat_penalty": 1.1, "reasoning_format": "none", "top_k": 20}
    assert _catalog(tmp_path, a={**UPSTREAM, "parameters": own}).find("a").parameters == own


def test_catalog_finds_a_group_by_the_name_of_each_of_its_models(tmp_path: Path) -> None:
    """Its first deployment is the one that is told of."""
    catalog = _catalog(tmp_path, g={"deployments": [UPSTREAM, EMBEDDED]})
    assert catalog.names == ["qwen2.5:0.5b", "phrasebook", "g"]
    assert catalog.alias("phrasebook") is catalog.alias("g")
    assert catalog.find("g").model == "qwen2.5:0.5b"
    assert len(catalog.entries()) == 2


@pytest.mark.parametrize("base_url", [None, "http://h:1", "http://h:1/", "http://h:1/v1"])
def test_ollama_s_address_comes_with_and_without_v1(base_url: str | None) -> None:
    """Without one it is where Ollama listens by itself."""
    entry = ModelEntry(provider="ollama", model="m", base_url=base_url)
    root = "http://h:1" if base_url else "http://127.0.0.1:11434"
    assert (entry.ollama_url, entry.openai_url) == (root, f"{root}/v1")


def test_a_provider_of_litellm_has_a_key_variable_of_its_own() -> None:
    """As the provider's own documentation names it; models.json may name another."""
    entry = {"provider": "fireworks_ai", "model": "m"}
    assert ModelEntry.model_validate(entry).key_variable == "FIREWORKS_AI_API_KEY"
    assert ModelEntry.model_validate({**entry, "api_key_env": "MINE"}).key_variable == "MINE"
    assert ModelEntry.model_validate(UPSTREAM).key_variable is None


def test_load_catalog_says_that_the_file_cannot_be_read(tmp_path: Path) -> None:
    """A missing file is named, with the variable that names another."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: cannot be read .* Set MODELS_FILE"):
        load_catalog(tmp_path / "nowhere.json")


def test_catalog_answers_to_aliases_and_to_the_models_names(tmp_path: Path) -> None:
    """Both lists can be asked for, models first."""
    catalog = _catalog(tmp_path, small=UPSTREAM, book=EMBEDDED)
    assert catalog.names == ["qwen2.5:0.5b", "phrasebook", "small", "book"]
    assert catalog.find("small") == catalog.find("qwen2.5:0.5b")


def test_catalog_refuses_a_name_in_neither_list(tmp_path: Path) -> None:
    """The error names every name there is."""
    with pytest.raises(ModelNotFoundError, match=r"'test-model' is not known here.*phrasebook, book"):
        _catalog(tmp_path, book=EMBEDDED).find("test-model")


@pytest.mark.parametrize("name", [None, ""])
def test_catalog_finds_the_first_alias_where_no_model_is_named(tmp_path: Path, name: str | None) -> None:
    """Without a `default` the first alias answers."""
    assert _catalog(tmp_path, small=UPSTREAM, book=EMBEDDED).find(name).provider == "openai_compatible"


def test_catalog_lists_each_entry_once(tmp_path: Path) -> None:
    """Two names of one model are one engine."""
    assert len(_catalog(tmp_path, a=EMBEDDED, b=EMBEDDED, c=UPSTREAM).entries()) == 2


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
    ],
)
def test_with_upstream_makes_it_the_default_and_ends_its_url_in_v1(
    tmp_path: Path, base_url: str, expected: str
) -> None:
    """OPEA's LLM_ENDPOINT comes with and without /v1."""
    entry = _catalog(tmp_path, book=EMBEDDED).with_upstream("llama3", base_url).find(None)
    assert (entry.model, entry.base_url) == ("llama3", expected)


def test_with_default_needs_a_known_name(tmp_path: Path) -> None:
    """A default that nobody has is refused at once."""
    catalog = _catalog(tmp_path, small=UPSTREAM, book=EMBEDDED)
    assert catalog.with_default("book").find(None).provider == "embedded"
    with pytest.raises(ModelNotFoundError):
        catalog.with_default("other")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("phrasebook", BUNDLED_MODELS["phrasebook"]),
        ("my.gguf", Path("/srv/models/my.gguf")),
        ("../my.gguf", Path("/srv/my.gguf")),
        ("/opt/my.gguf", Path("/opt/my.gguf")),
    ],
)
async def test_gguf_path_starts_at_the_file_s_folder_without_touching_it(model: str, path: Path) -> None:
    """Bundled names, relative and absolute paths; the file system is not asked, as the loop is running."""
    assert ModelEntry(provider="embedded", model=model).gguf_path(Path("/srv/models")) == path


def test_served_name_is_never_a_path() -> None:
    """Answers carry the model's name."""
    folder = Path("/srv")
    assert ModelEntry(provider="embedded", model="deep/down/my-model.gguf").served_name(folder) == "my-model"
    assert ModelEntry.model_validate(UPSTREAM).served_name(folder) == "qwen2.5:0.5b"


def test_api_key_comes_from_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """models.json holds the variable's name, never the key; an empty variable is no key."""
    entry = ModelEntry.model_validate({**UPSTREAM, "api_key_env": "MY_KEY"})
    assert entry.api_key() is None
    monkeypatch.setenv("MY_KEY", "")
    assert entry.api_key() is None
    monkeypatch.setenv("MY_KEY", "secret")
    key = entry.api_key()
    assert key is not None
    assert key.get_secret_value() == "secret"
    assert "secret" not in repr(entry)
