"""The commands about pipeline files: validate, schema, convert, graph, run.

Exit codes: 0 all is well; 2 the file or the command line has problems; 3 the run failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from servicekit.errors import ConfigurationError

if TYPE_CHECKING:
    from megaservice.cli.running import RunResult
    from megaservice.cli.watching import RunWatch
    from megaservice.pipeline.pipeline import Pipeline
    from megaservice.pipeline.problems import Problem
    from megaservice.settings import GatewaySettings
    from servicekit.errors import ServiceError

EXIT_PROBLEMS = 2
EXIT_RUN_FAILED = 3

_DIALECTS = ("opea", "mega", "gmc")
_DRAWINGS = ("text", "mermaid", "dot", "svg")

_output = click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write into this file.")


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE|FOLDER]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def validate(files: tuple[str, ...], as_json: bool) -> int:
    """Check pipeline files and name every problem with file, line and column.

    Without a FILE: the folder that the gateway serves. `-` is standard input.
    """
    from megaservice.cli.pipeline_files import validate_places
    from megaservice.settings import GatewaySettings, pipeline_variables
    from servicekit.settings import load_settings

    places = files or (str(load_settings(GatewaySettings).pipelines_dir),)
    validation = validate_places(places, pipeline_variables())
    if as_json:
        rows, notes = _rows(validation.problems), _rows(validation.notes)
        pipelines = [
            {"file": file, "name": pipeline.spec.name, "endpoints": list(pipeline.spec.endpoints)}
            for file, pipeline in validation.pipelines
        ]
        _echo_json({"ok": not rows, "problems": rows, "notes": notes, "pipelines": pipelines})
        return EXIT_PROBLEMS if rows else 0
    for problem in validation.problems:
        click.echo(str(problem))
    for note in validation.notes:
        click.echo(f"{note.file}:{note.line}:{note.column}: note: {note.message}", err=True)
    for file, pipeline in validation.pipelines:
        click.echo(f"{file}: right: pipeline '{pipeline.spec.name}' at {', '.join(pipeline.spec.endpoints)}", err=True)
    return EXIT_PROBLEMS if validation.problems else 0


def _rows(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    return [
        {"file": problem.file, "line": problem.line, "column": problem.column, "message": problem.message}
        for problem in problems
    ]


@click.command()
@_output
def schema(output: str | None) -> int:
    """Print the JSON Schema of pipeline files, for editors that complete and check them."""
    from megaservice.pipeline.json_schema import dialect_schema

    _write(json.dumps(dialect_schema(), indent=2) + "\n", output)
    return 0


@click.command()
@click.argument("file")
@click.option("--to", "dialect", type=click.Choice(_DIALECTS), required=True, help="The dialect to write.")
@_output
def convert(file: str, dialect: str, output: str | None) -> int:
    """Write FILE in another dialect; what that one cannot say is listed on standard error.

    opea: opea_micro_services and mega_flow; mega: the exporter's mega.yaml; gmc: a GMConnector resource.
    """
    from megaservice.cli.pipeline_files import read_pipeline
    from megaservice.pipeline.conversion import Dialect
    from megaservice.pipeline.conversion import convert as convert_pipeline
    from megaservice.settings import pipeline_variables

    converted = convert_pipeline(read_pipeline(file, pipeline_variables()), Dialect(dialect))
    _write(converted.text, output)
    for loss in converted.losses:
        click.echo(f"not carried over: {loss}", err=True)
    return 0


@click.command()
@click.argument("file")
@click.option("--format", "drawing", type=click.Choice(_DRAWINGS), default="text", show_default=True, help="How.")
@_output
def graph(file: str, drawing: str, output: str | None) -> int:
    """Draw the graph of FILE: in the terminal, or as Mermaid, DOT or SVG."""
    from megaservice.cli.pipeline_files import read_pipeline
    from megaservice.pipeline.drawing import to_dot, to_mermaid, to_svg, to_text
    from megaservice.settings import pipeline_variables

    pipeline = read_pipeline(file, pipeline_variables())
    draw = {"text": to_text, "mermaid": to_mermaid, "dot": to_dot, "svg": to_svg}[drawing]
    _write(draw(pipeline).rstrip("\n") + "\n", output)
    return 0


@click.command()
@click.argument("file")
@click.option("-m", "--message", help="The user's message.")
@click.option("--input", "input_file", help="A file with the whole request as JSON; `-` is standard input.")
@click.option("--model", help="The model that the nodes are asked for.")
@click.option("--stream/--no-stream", default=None, help="Ask for a stream (the default), or for one JSON answer.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object at the end, for scripts.")
def run(
    file: str, message: str | None, input_file: str | None, model: str | None, stream: bool | None, as_json: bool
) -> int:
    """Run FILE once, in this process: the services must be up, the gateway need not be.

    The answer goes to standard output; what the nodes do, to standard error. Exit code 3: the run failed.
    """
    from megaservice.cli.pipeline_files import read_pipeline
    from megaservice.settings import GatewaySettings, pipeline_variables
    from servicekit.settings import load_settings

    if file == "-" == input_file:
        raise click.UsageError("Only one of FILE and --input can be standard input.")
    pipeline = read_pipeline(file, pipeline_variables())
    request = _request(message, input_file, {"model": model, "stream": stream})
    result, watch = _run(pipeline, request, load_settings(GatewaySettings), as_json=as_json)
    if as_json:
        _echo_json(_result(pipeline.spec.name, result, watch))
    elif result.error is None:
        for name, value in result.attached.items():
            click.echo(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    else:
        click.echo(f"error: {_with_remedy(result.error)}", err=True)
    return 0 if result.error is None else EXIT_RUN_FAILED


def _run(
    pipeline: Pipeline, request: dict[str, Any], settings: GatewaySettings, *, as_json: bool
) -> tuple[RunResult, RunWatch]:
    import asyncio

    from megaservice.cli.run_display import make_display
    from megaservice.cli.running import run_once
    from megaservice.cli.watching import RunWatch

    watch = RunWatch(pipeline.dag.order)
    display = watch.display = make_display(watch.nodes, as_json=as_json)
    try:
        result = asyncio.run(run_once(pipeline, request, watch, display, settings))
    finally:
        display.finish()
    return result, watch


def _request(message: str | None, input_file: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """Return the checked request of the options; those that were given beat the file."""
    from servicekit.errors import InvalidRequestError
    from servicekit.openai.chat import ChatRequest
    from servicekit.validation import parse_body, parse_json_object

    if message is None and input_file is None:
        raise click.UsageError("What is to be answered? Give --message TEXT, or --input FILE with a request.")
    try:
        given: dict[str, Any] = {"stream": True}
        if input_file is not None:
            given.update(parse_json_object(_bytes(input_file)))
        if message is not None:
            given["messages"] = message
        given.update({name: value for name, value in options.items() if value is not None})
        chat = parse_body(json.dumps(given).encode(), ChatRequest)
    except InvalidRequestError as exc:
        raise click.UsageError(exc.message) from exc
    return {**chat.model_dump(exclude_unset=True, exclude_none=True), "messages": chat.message_list()}


def _bytes(file: str) -> bytes:
    try:
        return click.get_binary_stream("stdin").read() if file == "-" else Path(file).read_bytes()
    except OSError as exc:
        raise click.UsageError(f"--input {file} cannot be read: {exc.strerror}.") from exc


def _result(name: str, result: RunResult, watch: RunWatch) -> dict[str, Any]:
    shown: dict[str, Any] = {"pipeline": name, "seconds": round(result.seconds, 3)}
    if result.first_token_seconds is not None:
        shown["first_token_seconds"] = round(result.first_token_seconds, 3)
    shown["nodes"] = [node.as_dict() for node in watch.nodes.values()]
    return {**shown, **(result.error.body() if result.error else {"answer": result.answer})}


def _with_remedy(error: ServiceError) -> str:
    from servicekit.errors import UpstreamUnreachableError

    remedy = " `make up` starts the services." if isinstance(error, UpstreamUnreachableError) else ""
    return f"{error.message}{remedy}"


def _write(text: str, output: str | None) -> None:
    """Write where the user wants it.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        Path(output).write_text(text, "utf-8")
    except OSError as exc:
        raise ConfigurationError(f"{output} cannot be written: {exc.strerror}.") from exc


def _echo_json(values: dict[str, Any]) -> None:
    click.echo(json.dumps(values, indent=2, ensure_ascii=False))
