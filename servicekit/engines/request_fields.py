"""Which fields a server is sent: what models.json names for it, and of a request those that fit it.

Nothing that somebody wrote is dropped without a word: what is left out is told in the log, once, with the remedy.
docs/decisions/0021-request-fields.md says why it is so for each kind of server.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from servicekit.models import Deployment
from servicekit.nearest import nearest

_log = logging.getLogger(__name__)

#: The parameters of https://platform.openai.com/docs/api-reference/chat/create, besides model, messages and stream.
OPENAI_FIELDS = frozenset(
    {
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("max_completion_tokens", "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls"),
        *("prediction", "presence_penalty", "prompt_cache_key", "reasoning_effort", "response_format"),
        *("safety_identifier", "seed", "service_tier", "stop", "store", "stream_options", "temperature"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity", "web_search_options"),
    }
)
#: The parameters of https://platform.openai.com/docs/api-reference/completions/create and .../embeddings/create.
COMPLETION_FIELDS = frozenset(
    {
        *("best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n", "presence_penalty"),
        *("prompt", "seed", "stop", "stream_options", "suffix", "temperature", "top_p", "user"),
    }
)
EMBEDDING_FIELDS = frozenset({"dimensions", "encoding_format", "input", "user"})
#: What llama.cpp's server understands on top of OpenAI's parameters; source: the README of its server.
LLAMA_FIELDS = frozenset(
    {
        *("adaptive_decay", "adaptive_target", "cache_prompt", "chat_template_kwargs", "dry_allowed_length"),
        *("dry_base", "dry_multiplier", "dry_sequence_breakers", "dynatemp_exponent", "dynatemp_range", "grammar"),
        *("ignore_eos", "min_keep", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "n_probs"),
        *(
            "parse_tool_calls",
            "post_sampling_probs",
            "repeat_penalty",
            "samplers",
            "t_max_predict_ms",
            "thinking_budget_tokens",
        ),
        *("top_k", "top_n_sigma", "typical_p", "xtc_probability", "xtc_threshold"),
    }
)
#: What it takes, too, but not from callers: a large number is that much memory (`repeat_last_n`), or the value names a
#: part of the server (`id_slot`), or a wrong one is told as the server's own fault (`reasoning_format`).
_LLAMA_CONFIGURABLE = frozenset(
    {
        *("dry_penalty_last_n", "id_slot", "json_schema", "lora", "n_cache_reuse", "n_discard", "n_indent", "n_keep"),
        *("n_predict", "reasoning_format", "repeat_last_n", "return_tokens", "timings_per_token"),
    }
)
#: Fields of OPEA's requests that OpenAI-compatible servers do not have and may refuse (decision 0, question 4).
OPEA_FIELDS = frozenset(
    {
        *("chat_template", "downstream_black_list", "id", "index_name", "input", "language", "max_new_tokens"),
        *("query", "request_type", "streaming", "text", "typical_p"),
    }
)
#: Other servers' parameters about conversations.
_CHAT_FIELDS = frozenset({"chat_template_kwargs", "enable_thinking", "include_reasoning", "reasoning", "thinking"})
#: And about writing text: an alias that has them may make vectors, too.
_WRITING_FIELDS = frozenset(
    {
        *("allowed_token_ids", "bad_words", "guided_choice", "guided_grammar", "guided_json", "guided_regex"),
        *("include_stop_str_in_output", "json_schema", "length_penalty", "max_new_tokens", "min_tokens"),
        *("n_predict", "repetition_penalty", "skip_special_tokens", "stop_token_ids", "structured_outputs", "top_a"),
        "use_beam_search",
    }
)
_TOKEN_LIMITS = frozenset({"max_tokens", "max_completion_tokens"})
#: What the engine says itself.
_SAID_BY_US = frozenset({"messages", "model", "stream"})
#: So many fields that only OPEA has make a request OPEA's; one may be anybody's.
_OPEAS_FORM = 2
#: OpenAI itself, and as Azure has it.
_OPENAI_HOSTS = ("api.openai.com", ".openai.azure.com")
#: How many names the log tells of for one server, since callers can invent any number, and how much of each.
_MOST_TOLD = 50
_LONGEST_TOLD = 60

_REMEDY = "Where it shall be sent, write it under `parameters` of the alias in compose/models.json"
_OPEAS = f"it is OPEA's, and OpenAI-compatible servers may refuse it. {_REMEDY}"
_LACKING = "LiteLLM says that the model does not have it"
_IN_OPEAS_FORM = f"the request is in OPEA's form, which carries defaults that nobody asked for. {_REMEDY}"


class Route(NamedTuple):
    """One of OpenAI's routes.

    Attributes:
        fields: Its parameters.
        foreign: Parameters of the other routes: configured for an alias, they are not meant for this one.
    """

    fields: frozenset[str]
    foreign: frozenset[str]


CHAT = Route(OPENAI_FIELDS, frozenset())
COMPLETIONS = Route(COMPLETION_FIELDS, (OPENAI_FIELDS | _CHAT_FIELDS) - COMPLETION_FIELDS)
EMBEDDINGS = Route(
    EMBEDDING_FIELDS,
    (OPENAI_FIELDS | COMPLETION_FIELDS | LLAMA_FIELDS | _LLAMA_CONFIGURABLE | _CHAT_FIELDS | _WRITING_FIELDS)
    - EMBEDDING_FIELDS,
)


@dataclass(frozen=True, slots=True)
class ServerKind:
    """How a kind of server takes what it may not know.

    Attributes:
        own: What it is known to take besides OpenAI's parameters.
        configurable: What it takes of models.json, and not of requests.
        is_open: Whether a request's other fields are sent to it, too.
        ignores_others: Whether it takes a request with fields that it does not know, and does nothing with them.
        doubt: What becomes of a field that it is not known to take, and what to do; None where that is its affair.
    """

    own: frozenset[str] = frozenset()
    configurable: frozenset[str] = frozenset()
    is_open: bool = True
    ignores_others: bool = False
    doubt: str | None = None


#: vLLM, TGI, SGLang, ...: each has parameters of its own, and one that refuses others says so itself, with a 400.
ANY_SERVER = ServerKind()
OPENAI = ServerKind(is_open=False, doubt=f"OpenAI's API is not known to have it and would refuse it. {_REMEDY}")
OLLAMA = ServerKind(
    own=frozenset({"reasoning"}),
    ignores_others=True,
    doubt="Ollama's OpenAI API is not known to have it, and leaves it out. Set it in the model's Modelfile (PARAMETER)",
)
LLAMA_CPP = ServerKind(
    own=LLAMA_FIELDS,
    configurable=_LLAMA_CONFIGURABLE,
    is_open=False,
    ignores_others=True,
    doubt="llama.cpp has no such parameter for requests",
)
#: The library takes settings of its own from among the fields (`api_base`, ...), so a caller may not say any of them.
LITELLM = ServerKind(
    own=frozenset({"thinking", "top_k"}),
    is_open=False,
    doubt=f"LiteLLM's providers get OpenAI's fields of a request, thinking and top_k. {_REMEDY}",
)


def kind_of(deployment: Deployment) -> ServerKind:
    """Return the kind of server that a deployment of models.json is at."""
    if deployment.provider == "openai_compatible":
        host = urlsplit(deployment.base_url or "").hostname or ""
        return OPENAI if host.endswith(_OPENAI_HOSTS) else ANY_SERVER
    return {"embedded": LLAMA_CPP, "ollama": OLLAMA}.get(deployment.provider, LITELLM)


def configured_doubts(kind: ServerKind, names: Iterable[str]) -> list[str]:
    """Say of each parameter of models.json that a server of this kind does nothing with it, where that is known."""
    if not kind.ignores_others:  # it uses the parameter or refuses it, and says so
        return []
    known = CHAT.fields | COMPLETIONS.fields | EMBEDDINGS.fields | kind.own | kind.configurable
    return [
        f"the parameter '{name}' is sent, but {kind.doubt}.{_hint(kind, name)}" for name in names if name not in known
    ]


def _hint(kind: ServerKind, name: str) -> str:
    if name == "max_new_tokens":
        return " OpenAI's name of it is 'max_tokens'."
    return nearest(name, sorted(kind.own)) if kind is LLAMA_CPP else ""


class RequestFields:
    """What one server is sent of the requests to it.

    Args:
        label: What the log calls the server.
        kind: Of the server.
        lacking: OpenAI's parameters of conversations that are known to be left out on the way to it.
    """

    def __init__(self, label: str, kind: ServerKind = ANY_SERVER, lacking: frozenset[str] = frozenset()) -> None:
        self._label = label
        self._kind = kind
        self._lacking = lacking
        #: What passes without a second look.
        self._known = {
            route: _SAID_BY_US | route.fields | (kind.own - route.foreign) for route in (CHAT, COMPLETIONS, EMBEDDINGS)
        }
        self._told: set[str] = set()

    def chosen(self, route: Route, payload: Mapping[str, Any], configured: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields to send besides model, messages and stream.

        What is configured is sent as it is written, unless the request says something else that may be sent.

        Args:
            route: That is asked.
            payload: The request.
            configured: What models.json says for the alias that was asked for.
        """
        left_out = self._left_out(route, payload, configured) | _SAID_BY_US
        sent = {name: value for name, value in payload.items() if name not in left_out}
        if configured:
            gives_way = route.foreign if _TOKEN_LIMITS.isdisjoint(sent) else route.foreign | _TOKEN_LIMITS
            sent = {**{name: value for name, value in configured.items() if name not in gives_way}, **sent}
        if self._lacking and route is CHAT:
            self._tell(sent.keys() & self._lacking, _LACKING, {})
        return sent

    def _left_out(self, route: Route, payload: Mapping[str, Any], configured: Mapping[str, Any]) -> set[str]:
        """Return the request's fields that are not sent; the log says so once of each."""
        known = self._known[route]
        if payload.keys() <= known:
            return set()
        opeas = (payload.keys() & OPEA_FIELDS) - known
        if len(opeas) >= _OPEAS_FORM and self._kind is not LLAMA_CPP:
            left_out = payload.keys() - route.fields - _SAID_BY_US
            self._tell(opeas, _OPEAS, configured)
            self._tell(left_out - opeas, _IN_OPEAS_FORM, configured)
            return left_out
        others = payload.keys() - known
        if not self._kind.is_open:
            self._tell(others, self._kind.doubt or "", configured)
            return others
        self._tell(opeas, _OPEAS, configured)
        if self._kind.doubt is not None:
            self._tell(others - opeas, self._kind.doubt, configured, what="sent, but")
        return opeas

    def _tell(self, names: set[str], why: str, configured: Mapping[str, Any], what: str = "not sent:") -> None:
        """Log, once for each name; what is configured was decided by whoever did it."""
        for name in sorted({name[:_LONGEST_TOLD] for name in names - configured.keys()} - self._told):
            if len(self._told) < _MOST_TOLD:
                self._told.add(name)
                hint = _hint(self._kind, name)
                _log.warning("%s: the field %r of requests is %s %s.%s", self._label, name, what, why, hint)
