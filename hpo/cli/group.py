"""The `hpo` command: its subcommands by purpose, and how errors reach a person."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

import click

from hpo import __version__
from hpo.cli import admin, hints, look, run, words
from hpo.errors import HpoError


class Group(click.Group):
    """A group that shows errors as sentences and exits with their codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line."""
        _mend_streams()
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order of use, not of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:  # before or after a stage runs; in between, it is a request
            click.echo("Stopped.", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            sys.stderr.close()  # the reader of our output has gone; nobody is left to tell
            ctx.exit(1)
        except HpoError as error:
            if ctx.meta.get("hpo.debug"):
                raise
            told = hints.completed(str(error), ctx.meta.get("hpo.storage"))
            click.echo(f"Error: {words.printable(told)}", err=True)
            ctx.exit(error.exit_code)
        # The last boundary before the user's terminal: a mistake of ours gets a sentence too.
        except Exception as error:
            if ctx.meta.get("hpo.debug"):
                raise
            told = f"{type(error).__name__}: {words.printable(str(error))}"
            try:
                click.echo(
                    f"Error: this is a mistake in hpo itself ({told}). "
                    "The same command with --debug shows where.",
                    err=True,
                )
            except OSError:  # the terminal has gone, which was the error: as SIGHUP says
                sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115
                ctx.exit(143)
            ctx.exit(1)


def _mend_streams() -> None:
    """Make the standard streams take all text.

    A closed one (`2>&-`) is None to Python, and the next file to be opened would get its number;
    an ASCII one (`PYTHONIOENCODING=ascii`) would raise at the first bar of a range.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  # for the whole process
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hpo")
def hpo() -> None:
    """Tune hyperparameters: search, narrow the ranges with evidence, search again.

    \b
    hpo start --sampler random     a study on the built-in digits
    hpo narrow 1                   its next stage, with better ranges
    hpo show 1                     what happened and why

    STUDY is an id or a name. Data goes to stdout, progress and messages to stderr.
    """


for command in (*run.COMMANDS, *look.COMMANDS, *admin.COMMANDS):
    hpo.add_command(command)
