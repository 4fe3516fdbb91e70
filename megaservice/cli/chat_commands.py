"""The commands that ask a running gateway: models, chat.

Exit codes: 0 all is well; 2 the command line or a value in it is wrong; 3 the gateway or the model failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from servicekit.environment import read_variables

if TYPE_CHECKING:
    from megaservice.cli.chat_client import ChatClient, GatewayFailure
    from megaservice.cli.chat_conversation import Conversation

EXIT_BAD_VALUE = 2
EXIT_FAILED = 3

_url = click.option("--url", help="The gateway; else MEGA_SERVICE_HOST_IP and MEGA_SERVICE_PORT, or this machine's.")
_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")

#: The fields of an answer that are shown in their own places; what a pipeline attaches comes besides.
_OWN_FIELDS = frozenset({"text", "provider", "model", "finish_reason", "usage", "latency_ms"})


@click.command()
@_url
@_as_json
def models(url: str | None, as_json: bool) -> int:
    """List the models that can be asked for: the aliases in the gateway's models.json."""
    import asyncio

    from megaservice.cli.chat_client import GatewayFailure

    try:
        listed = asyncio.run(_client(url).models())
    except GatewayFailure as exc:
        return _fail(exc, as_json=as_json)
    if as_json:
        _echo_json(listed)
        return 0
    rows = [
        (alias, place["provider"], place["model"])
        for alias, entry in listed["aliases"].items()
        for place in entry.get("deployments", [entry])
    ]
    widths = [max(len(row[column]) for row in [("ALIAS", "PROVIDER"), *rows]) for column in (0, 1)]
    for alias, provider, model in [("ALIAS", "PROVIDER", "MODEL"), *rows]:
        default = "  (default)" if alias == listed.get("default") else ""
        click.echo(f"{alias:<{widths[0]}}  {provider:<{widths[1]}}  {model}{default}")
    return 0


@click.command()
@click.option("-m", "--model", help="An alias, see `models`; the default's if absent.")
@click.option("-u", "--user", help="The user's message; `-`, or nothing where no terminal is: standard input.")
@click.option("-s", "--system", help="The system message.")
@click.option("--temperature", type=float, help="0 to 2; 0 gives the likeliest answer.")
@click.option("--top-p", type=float, help="0 to 1: the share of probability that tokens are taken from.")
@click.option("--max-tokens", type=int, help="The longest answer.")
@click.option("--seed", type=int, help="The same seed gives the same answer, where the model can.")
@click.option("--json-mode", is_flag=True, help="The answer must be a JSON object.")
@click.option("--stream/--no-stream", default=True, show_default=True, help="Show the text as it is written.")
@_url
@_as_json
def chat(
    model: str | None,
    user: str | None,
    system: str | None,
    stream: bool,
    json_mode: bool,
    url: str | None,
    as_json: bool,
    **params: float | None,
) -> int:
    """Chat with a model through the running gateway.

    The answer's text goes to standard output, all else to standard error. Without --user on a terminal: an
    interactive chat, which remembers what was said. Exit codes: 2 a value is wrong, 3 the gateway or the model failed.
    """
    from megaservice.cli.chat_conversation import Conversation

    given: dict[str, Any] = {name: value for name, value in params.items() if value is not None}
    given |= {"stream": stream, "json_mode": json_mode}
    conversation = Conversation(_client(url), model, system, given)
    if user is None and _is_terminal():
        if as_json:
            raise click.UsageError("--json is for scripts: give the message with --user.")
        return _converse(conversation)
    text = _standard_input() if user is None or user == "-" else user
    if not text.strip():
        raise click.UsageError("What is to be answered? Give --user TEXT, or a text on standard input.")
    return _ask(conversation, text, as_json=as_json)


def _standard_input() -> str:
    data = click.get_binary_stream("stdin").read()
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        found = f"byte {exc.start + 1} is 0x{data[exc.start]:02x}"
        raise click.UsageError(f"Standard input is no UTF-8 text: {found}. Convert it, such as with iconv.") from exc


def _ask(conversation: Conversation, text: str, *, as_json: bool) -> int:
    from megaservice.cli.chat_client import GatewayFailure

    try:
        answer = conversation.ask(text, _keep_quiet if as_json else _echo_piece)
    except GatewayFailure as exc:
        return _fail(exc, as_json=as_json)
    if as_json:
        _echo_json(answer)
        return 0
    _end(answer, set())
    return 0


def _converse(conversation: Conversation) -> int:
    """Chat until the terminal says that there is no more (Ctrl-D)."""
    from megaservice.cli.chat_client import GatewayFailure

    click.echo("Ctrl-D ends the chat, Ctrl-C stops an answer.", err=True)
    said: set[str] = set()
    while True:
        try:
            text = input("> ")
        except EOFError:
            click.echo(err=True)
            return 0
        if not text.strip():
            continue
        try:
            _end(conversation.ask(text, _echo_piece), said)
        except GatewayFailure as exc:
            _fail(exc, as_json=False)
            if exc.is_unreachable:
                return EXIT_FAILED
        except KeyboardInterrupt:
            click.echo("\nStopped; it counts as not said.", err=True)


def _client(url: str | None) -> ChatClient:
    from megaservice.cli.chat_client import ChatClient, gateway_url

    variables = read_variables()
    return ChatClient(gateway_url(variables, url), variables.get("API_KEYS", ""))


def _fail(failure: GatewayFailure, *, as_json: bool) -> int:
    if as_json:
        _echo_json({"error": failure.error})
    else:
        click.echo(f"error: {_with_option(failure)}", err=True)
    return EXIT_BAD_VALUE if failure.is_callers else EXIT_FAILED


def _with_option(failure: GatewayFailure) -> str:
    """Return the message, naming the option where the gateway names its field."""
    place = failure.error.get("param")
    if not isinstance(place, str) or not place.startswith("params."):
        return str(failure)
    return str(failure).replace(f"{place}:", f"--{place.removeprefix('params.').replace('_', '-')}:")


def _end(answer: Mapping[str, Any], said: set[str]) -> None:
    """End the line of the answer; tell what came with it, and on a terminal what it cost.

    Args:
        answer: As the gateway gave it.
        said: The notices that were shown; a model repeats what it says about itself with each answer.
    """
    click.echo()
    for name, value in answer.items():
        if name in _OWN_FIELDS:
            continue
        shown = _shown(name, value)
        if name != "notice" or shown not in said:
            click.echo(f"{name}: {shown}", err=True)
        if name == "notice":
            said.add(shown)
    if sys.stderr.isatty():
        usage = answer.get("usage") or {}
        tokens = f", {usage['total_tokens']} tokens" if "total_tokens" in usage else ""
        by = f" ({answer['provider']})" if answer.get("provider") else ""
        click.secho(f"{answer.get('model')}{by}{tokens}, {answer.get('latency_ms'):.0f} ms", err=True, dim=True)


def _shown(name: str, value: object) -> str:
    """Return what an answer carries as one line: of a notice, the sentence that it has for people."""
    if name == "notice" and isinstance(value, dict) and isinstance(value.get("message"), str):
        value = value["message"]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _echo_piece(text: str) -> None:
    click.echo(text, nl=False)


def _keep_quiet(_text: str) -> None:
    """Show nothing: the whole answer comes as JSON."""


def _echo_json(values: Mapping[str, Any]) -> None:
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))
