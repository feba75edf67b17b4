"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import click

from hpo.pruning import PRUNERS
from hpo.sampling import SAMPLERS
from hpo.search import MOST_TRIALS

_WORDS = ("true", "false", "nan", "inf")
"""Bare words that mean something in TOML; "True" is more likely a slip than a string."""


class Command(click.Command):
    """A command with the `--debug` option, which every command has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                help="Show tracebacks.",
                callback=lambda ctx, _, value: ctx.meta.__setitem__("hpo.debug", value),
            )
        )


def _remembered(ctx: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    ctx.meta["hpo.storage"] = url  # for the commands that an error names
    return url


def _budget(ctx: click.Context, parameter: click.Parameter, given: int | None) -> int | None:
    if given is not None and given > MOST_TRIALS:
        raise click.BadParameter(f"a stage has at most {MOST_TRIALS:,} trials, not {given:,}.")
    return given


storage = click.option(
    "--storage",
    metavar="URL",
    callback=_remembered,
    help="Database.  [default: $HPO_STORAGE or sqlite:///hpo.db]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
workers = click.option("--workers", type=int, metavar="W", help="Processes.  [default: the cores]")
trials = click.option(
    "--trials", type=int, metavar="N", callback=_budget, help="Trials of the stage."
)
more_trials = click.option(
    "--trials",
    type=int,
    metavar="N",
    callback=_budget,
    help="Raise the budget of the last stage that searches to N.",
)
sampler = click.option("--sampler", type=click.Choice(SAMPLERS), help="How settings are drawn.")
pruner = click.option(
    "--pruner", type=click.Choice(PRUNERS), help="How trials that fall behind are given up."
)
timeout = click.option(
    "--timeout", type=float, metavar="S", help="Stop after S seconds; the stage stays open."
)
trial_timeout = click.option(
    "--trial-timeout", type=float, metavar="S", help="A trial that takes longer has failed."
)
trial_memory = click.option(
    "--trial-memory", metavar="SIZE", help="A trial that takes more has failed, as 2GB."
)
study = click.argument("study", metavar="STUDY")


def toml_settings(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    """Read `--set key=value`; the value is TOML, and a bare word is a string."""
    return dict(_setting(text) for text in given)


def ranges(
    ctx: click.Context, parameter: click.Parameter, given: tuple[str, ...]
) -> dict[str, tuple[float, float]]:
    """Read `--range name=low:high`; two whole numbers stay whole."""
    found: dict[str, tuple[float, float]] = {}
    for text in given:
        name, equals, limits = text.partition("=")
        low, colon, high = limits.partition(":")
        if not (name and equals and colon):
            raise click.BadParameter(f"{text!r} is not written name=low:high, as lr=1e-3:1e-1")
        try:
            found[name] = (_number(low), _number(high))
        except (ValueError, OverflowError):
            raise click.BadParameter(f"{text!r}: {limits!r} is not two numbers") from None
    return found


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise click.BadParameter(f"{text!r} is not written key=value, as epochs=20")
    if re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value.lower() not in _WORDS:
        return key, value
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        raise click.BadParameter(
            f"{text!r}: {value!r} is not a TOML value such as 0.1, true, 'text' or [100, 100]"
        ) from None


def _number(text: str) -> float:
    try:
        number = int(text)
    except ValueError:
        return float(text)
    float(number)  # raises for hundreds of digits
    return number
