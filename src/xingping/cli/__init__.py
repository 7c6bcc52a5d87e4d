"""The command line. Each command has a file; errors become one line on stderr and an exit code.

Exit codes: 0 done; 2 wrong usage or unusable input; 1 anything else; 130 interrupted.
"""

import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from xingping.cli import (
    compare,
    crossvalidate,
    doctor,
    encode,
    evaluate,
    explain,
    export,
    learning_curve,
    predict,
    prepare,
    report,
    run,
    serve,
    train,
    tune,
)
from xingping.errors import UsageError, XingpingError

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="xingping",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"xingping {version('xingping')}")
        raise typer.Exit


@app.callback()
def _main(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Star ratings from Chinese reviews: frozen BERT features, a self-attention head, and a report."""


COMMANDS = (
    run, prepare, encode, train, tune, evaluate, report, compare, crossvalidate, learning_curve, predict, explain,
    export, serve, doctor,
)  # fmt: skip

for _module in COMMANDS:
    app.command()(_module.command)
    app.registered_commands[-1].name = _module.__name__.rsplit(".", 1)[-1].replace("_", "-")


def main() -> None:
    """Run the command line and leave with its exit code."""
    logging.basicConfig(level=logging.WARNING, format="xingping: %(message)s")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; a user's mistake becomes one line on stderr."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=list(arguments), prog_name="xingping", standalone_mode=False)
    except typer.TyperException as error:
        return _fail(f"{error.format_message()} (see: xingping {_named(arguments)}--help)", 2)
    except UsageError as error:
        return _fail(str(error), 2)
    except XingpingError as error:
        return _fail(str(error), 1)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        return _fail(f"this needs {error.name}, which is not installed here; exported models rate without it", 2)
    except (KeyboardInterrupt, typer.Abort):
        result = INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe left; say nothing, and keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if result == INTERRUPTED:  # typer catches most interrupts itself
        return _fail("interrupted; what was finished is kept, and the same command goes on from there", INTERRUPTED)
    return result if isinstance(result, int) else 0


def _named(arguments: Sequence[str]) -> str:
    names = {command.name for command in app.registered_commands}
    return f"{arguments[0]} " if arguments and arguments[0] in names else ""


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"xingping: {line}", file=sys.stderr)
    return code
