"""Commands run in the test's own process, which takes milliseconds instead of a start of Python."""

from __future__ import annotations

from click.testing import CliRunner, Result

from hpo.cli.group import hpo


def run(*arguments: object) -> Result:
    return CliRunner().invoke(hpo, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    """Run a command that must succeed."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result
