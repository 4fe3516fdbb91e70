"""The command line: serve, or bring all that is kept out of the database and into it.

Exit codes: 0 all is well; 1 something could not be imported or exported; 2 the command line or the configuration is
wrong; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import click

from servicekit.logs import configure_logging

EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Instead of the process's own.

    Raises:
        ConfigurationError: The settings, the database or the port cannot be used.
    """
    try:
        result = cli.main(args=arguments, prog_name="python -m microservices.assistants", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def cli(context: click.Context) -> int:
    """Serve the Assistants API until SIGTERM, or export and import what it keeps.

    Settings come from the environment and from .env: ASSISTANTS_PORT (3000), ASSISTANTS_HOST, ASSISTANTS_GATEWAY_URL,
    DATABASE_URL, ASSISTANTS_DATA_DIR and others.
    """
    return 0 if context.invoked_subcommand else _serve()


def _serve() -> int:
    # What serving imports takes most of a second, which the other commands need not wait for.
    from microservices.assistants.app import create_app  # noqa: PLC0415
    from microservices.assistants.settings import AssistantsSettings  # noqa: PLC0415
    from servicekit.server import serve_app  # noqa: PLC0415
    from servicekit.settings import load_settings  # noqa: PLC0415

    settings = load_settings(AssistantsSettings)
    configure_logging("assistants", settings.log_level)
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)


@cli.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
def export_all(file: str) -> int:
    """Write all that is kept to FILE as JSON lines; - is standard output.

    The service may be running: the file holds one moment.
    """
    from microservices.assistants.transfer.commands import export_to  # noqa: PLC0415 - as above

    return asyncio.run(export_to(file))


@cli.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--replace", is_flag=True, help="What is there already becomes as it is in FILE; else it stays.")
@click.option(
    "--api-key-env", metavar="NAME", help="The variable with the API key that the objects shall belong to, if any."
)
def import_all(file: str, replace: bool, api_key_env: str | None) -> int:
    """Add what is in FILE: an export, or objects of OpenAI's API, one a line; - is standard input.

    Doing it again adds nothing twice. Lines that cannot be imported are named; the others are imported.
    """
    from microservices.assistants.transfer.commands import import_from  # noqa: PLC0415 - as above

    return asyncio.run(import_from(file, replace=replace, api_key_env=api_key_env))
