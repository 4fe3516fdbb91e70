"""The command line: its commands that start, stop and watch the services; those about files join from elsewhere.

Exit codes: 0 all is well; 1 something is not ready or failed; 2 the command line or the configuration is wrong (a
port is taken, say); 3 a pipeline's run, the gateway or the model failed; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from megaservice.cli.chat_commands import chat, models
from megaservice.cli.doctor_command import doctor
from megaservice.cli.nearest import NearestGroup, did_you_mean
from megaservice.cli.pipeline_commands import convert, graph, run, schema, validate
from megaservice.cli.run_dir import RunDir
from megaservice.cli.runs_command import runs
from megaservice.cli.services import SERVICES, Service, configured_services
from servicekit.environment import read_variables
from servicekit.errors import ConfigurationError, ProjectError

EXIT_FAILURE = 1
EXIT_CONFIGURATION = 2
EXIT_INTERRUPTED = 130

#: How pydantic writes no.
_FALSE = ("0", "false", "f", "no", "n", "off")

_TRY_IT = """
Try it:
  curl -X POST {url}/v1/chat -H "Content-Type: application/json"{key} \\
    -d '{{"model": "llama3.2:1b", "messages": [{{"role": "user", "content": "Hello, how are you?"}}]}}'
As a stream:
  curl -N -X POST {url}/v1/chat -H "Content-Type: application/json"{key} \\
    -d '{{"model": "llama3.2:1b", "stream": true, "messages": [{{"role": "user", "content": "Hello, how are you?"}}]}}'
Then: make status, make logs, make down."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Instead of the process's own.
    """
    try:
        result = cli.main(args=arguments, prog_name="python -m megaservice", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    except ConfigurationError as exc:
        for problem in exc.problems:
            click.echo(f"error: {problem}", err=True)
        return EXIT_CONFIGURATION
    except ProjectError as exc:
        click.echo(f"error: {exc}", err=True)
        return EXIT_FAILURE


@click.group(cls=NearestGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> int:
    """Pipelines of GenAI microservices behind one gateway. Without a command: serve.

    Exit codes: 0 all is well, 1 something is not ready or failed, 2 the command line or the configuration is wrong,
    3 a pipeline's run, the gateway or the model failed.
    """
    return int(context.invoke(serve)) if context.invoked_subcommand is None else 0


@cli.command()
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes that share the port; else GATEWAY_WORKERS or 1."
)
def serve(workers: int | None) -> int:
    """Serve the gateway alone, in the foreground, until Ctrl-C or SIGTERM."""
    from megaservice.serving import serve as serve_gateway

    return serve_gateway(workers)


@cli.command()
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds to wait until every service is ready; downloads of models do not count.",
)
@click.option("--no-ping", is_flag=True, help="Start although providers do not answer; or PING_PROVIDERS=false.")
def up(timeout_seconds: float, no_ping: bool) -> int:
    """Start every service in the background and wait until all are ready.

    What runs already is left alone. Ports come from the environment and .env: MEGA_SERVICE_PORT (8000),
    LLM_SERVICE_PORT (9002), GRADER_SERVICE_PORT (9003), RETRIEVER_SERVICE_PORT (7000), ASSISTANTS_PORT (3000).
    """
    from megaservice.cli.starting import start_services, wait_until_ready
    from megaservice.cli.waiting_notes import WaitingNotes

    run_dir, services = _situation()
    ping = not no_ping and read_variables().get("PING_PROVIDERS", "true").lower() not in _FALSE
    start = start_services(run_dir, services, ping=ping)
    if start.stopped_leftovers:
        click.echo("Stopped what an earlier run left behind.")
    if start.in_containers:
        click.echo(f"In containers, and left to them: {', '.join(start.in_containers)}.")
    if start.settings_differ:
        click.echo("Running with other ports than are set now; `down`, then `up`, changes to those.")
    if not start.started:
        click.echo("Already up. Saved pipeline files are taken over at once; other settings with `down`, then `up`.")
    ready, notes = 0, WaitingNotes()
    for outcome in wait_until_ready(run_dir, start, timeout_seconds, notes):
        notes.end()
        if outcome.problem is None:
            ready += 1
            click.echo(f"{outcome.service.name:<10} ready on {outcome.service.url} ({outcome.seconds:.1f} s)")
        else:
            _show_failure(run_dir, outcome.service.name, outcome.problem, outcome.log_lines)
    if ready < len(start.services):
        click.echo(
            "Not everything is up. `up` tries again; what was exported since counts after `down`, then `up`.", err=True
        )
        return EXIT_FAILURE
    key = ' -H "Authorization: Bearer <one of API_KEYS>"' if "API_KEYS" in read_variables() else ""
    click.echo(_TRY_IT.format(url=_gateway_url(start.services), key=key))
    return 0


@cli.command()
def down() -> int:
    """Stop every service; running requests may finish (30 s)."""
    from megaservice.cli.stopping import stop_services

    stop = stop_services(RunDir.from_variables(read_variables()))
    if stop.stopped:
        click.echo(f"Stopped {', '.join(stop.stopped)}.")
    if stop.leftovers:
        click.echo(f"Stopped {stop.leftovers} processes whose supervisor was gone.")
    if not stop.stopped and not stop.leftovers:
        click.echo("Nothing was running.")
    return 0


@cli.command()
def status() -> int:
    """Show each service's state, pid, port, uptime and readiness; exit code 0 only if all are ready."""
    from megaservice.cli.status import format_table, orphan_count, service_statuses

    run_dir, services = _situation()
    statuses = service_statuses(run_dir, services)
    click.echo(format_table(statuses))
    if orphans := orphan_count(run_dir):
        click.echo(f"The supervisor is gone, {orphans} of its processes still run. `up` or `down` puts that right.")
    return 0 if all(row.not_ready is None for row in statuses) else EXIT_FAILURE


@cli.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(min=0), default=20, show_default=True, help="Last lines of each.")
def logs(service: str | None, follow: bool, lines: int) -> int:
    """Show the last lines of every service's log, or of SERVICE's."""
    from megaservice.cli.logs import followed_lines, recent_lines

    known = [definition.name for definition in SERVICES]
    if service is not None and service not in known:
        raise click.UsageError(f"There is no service {service!r}. {did_you_mean(service, known)}")
    names = [service] if service else known
    run_dir = RunDir.from_variables(read_variables())
    for line in recent_lines(run_dir, names, lines):
        click.echo(line)
    if follow:
        for line in followed_lines(run_dir, names):
            click.echo(line)
    return 0


def _situation() -> tuple[RunDir, list[Service]]:
    variables = read_variables()
    return RunDir.from_variables(variables), configured_services(variables)


def _show_failure(run_dir: RunDir, name: str, problem: str, log_lines: Sequence[str]) -> None:
    end = "" if problem.endswith((".", "?", "!")) else "."
    click.echo(f"{name:<10} is not ready: {problem}{end}", err=True)
    if log_lines:
        click.echo(f"Its last lines ({run_dir.log(name)}):", err=True)
    for line in log_lines:
        click.echo(f"    {line}", err=True)


def _gateway_url(services: Sequence[Service]) -> str:
    gateway = next(service for service in services if service.name == "gateway")
    return gateway.url.replace("127.0.0.1", "localhost")


for _command in (validate, schema, convert, graph, run, models, chat, runs, doctor):
    cli.add_command(_command)
