"""The commands that run trials: start, narrow, confirm, resume, replay, final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

from hpo.cli import options

if TYPE_CHECKING:
    from hpo.summary import Summary


@click.command(cls=options.Command)
@click.argument("definition", required=False)
@options.sampler
@options.pruner
@options.trials
@click.option("--stages", type=int, default=1, metavar="S", help="Stages, each narrowed.")
@click.option("--epochs", type=int, metavar="E", help="The same as --set epochs=E.")
@options.workers
@click.option("--seed", type=int, metavar="SEED", help="Seed of everything random.")
@options.timeout
@options.trial_timeout
@options.trial_memory
@click.option("--name", help="Name of the study.  [default: the definition's]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.toml_settings,
    help="A fixed setting; fixes a parameter of the space.",
)
@click.option("--quick", is_flag=True, help="A small run, as the definition's [quick] says.")
@options.storage
@options.as_json
def start(
    definition: str | None,
    epochs: int | None,
    settings: dict[str, Any],
    storage: str | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Create a study and run its first stage.

    DEFINITION is a built-in one (see: hpo studies) or a TOML file; without it, digits.
    """
    from hpo import starting
    from hpo.cli.progress import Terminal

    if epochs is not None:
        settings = {**settings, "epochs": epochs}
    with Terminal(storage) as watcher:
        summary = starting.start(
            definition, settings=settings, storage=storage, watcher=watcher, **rest
        )
    _finish(summary, storage, as_json)


@click.command(cls=options.Command)
@options.study
@click.option("--dry-run", is_flag=True, help="Only show the decision.")
@click.option(
    "--rule", type=click.Choice(["posterior", "book"]), default="posterior", show_default=True
)
@click.option("--top", type=int, metavar="K", help="How many of the best the book's rule looks at.")
@click.option(
    "--no-widen",
    "widen",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Keep ranges inside their old ones.",
)
@click.option(
    "--range",
    "ranges",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    callback=options.ranges,
    help="A range set by hand.",
)
@click.option("--from-stage", type=int, metavar="N", help="Stage to narrow.  [default: the last]")
@options.sampler
@options.trials
@options.timeout
@options.trial_timeout
@options.trial_memory
@options.workers
@options.storage
@options.as_json
def narrow(
    study: str,
    dry_run: bool,
    rule: str,
    top: int | None,
    widen: bool,
    ranges: dict[str, tuple[float, float]],
    from_stage: int | None,
    storage: str | None,
    as_json: bool,
    **rest: Any,
) -> None:
    """Decide the next ranges from the evidence and run the next stage."""
    from hpo import service
    from hpo.cli import screens
    from hpo.cli.console import out
    from hpo.cli.progress import Terminal

    how: dict[str, Any] = {
        "rule": rule,
        "from_stage": from_stage,
        "top": top,
        "widen": widen,
        "ranges": ranges or None,
    }
    if dry_run:
        stage = {key: rest[key] for key in ("sampler", "trials")}
        found = service.decide(study, storage=storage, **how, **stage)
        if as_json:
            screens.print_json(found.to_json())
        else:
            screens.decision(found, out)
        return
    with Terminal(storage) as watcher:
        summary = service.narrow(
            study, storage=storage, watcher=watcher, announce=screens.decision, **how, **rest
        )
    _finish(summary, storage, as_json)


@click.command(cls=options.Command)
@options.study
@click.option(
    "--top", type=int, default=5, show_default=True, metavar="K", help="How many settings."
)
@click.option(
    "--seeds", type=int, default=5, show_default=True, metavar="R", help="How many seeds."
)
@options.timeout
@options.trial_timeout
@options.trial_memory
@options.workers
@options.storage
@options.as_json
def confirm(study: str, storage: str | None, as_json: bool, **rest: Any) -> None:
    """Run the best settings again with fresh seeds, to tell skill from luck."""
    from hpo import confirming
    from hpo.cli.progress import Terminal

    with Terminal(storage) as watcher:
        summary = confirming.confirm(study, storage=storage, watcher=watcher, **rest)
    _finish(summary, storage, as_json)


@click.command(cls=options.Command)
@options.study
@options.more_trials
@options.timeout
@options.trial_timeout
@options.trial_memory
@options.workers
@options.storage
@options.as_json
def resume(study: str, storage: str | None, as_json: bool, **rest: Any) -> None:
    """Finish what an interruption left open; on a finished study, print the summary."""
    from hpo import service
    from hpo.cli.progress import Terminal

    with Terminal(storage) as watcher:
        summary = service.resume(study, storage=storage, watcher=watcher, **rest)
    _finish(summary, storage, as_json)


@click.command(cls=options.Command)
@options.study
@click.argument("trial", metavar="STAGE/TRIAL")
@options.storage
@options.as_json
def replay(study: str, trial: str, storage: str | None, as_json: bool) -> None:
    """Run a stored trial again and compare its curves bit for bit; nothing is stored.

    The exit code is 0 if they are equal, else 1.
    """
    from hpo import rerun
    from hpo.cli import replay_screen, screens
    from hpo.cli.progress import Terminal

    with Terminal(storage) as watcher:
        found = rerun.replay(
            study, trial, storage=storage, watcher=watcher, announce=replay_screen.header
        )
    if as_json:
        screens.print_json(found.to_json())
    else:
        replay_screen.result(found)
    raise click.exceptions.Exit(0 if found.equal else 1)


@click.command(cls=options.Command)
@options.study
@click.option("--again", is_flag=True, help="Also if the test set was used before.")
@options.storage
@options.as_json
def final(study: str, again: bool, storage: str | None, as_json: bool) -> None:
    """Retrain the recommended setting with five seeds and test it, once.

    It trains on training and validation set together and is evaluated on the test set. Every use
    is recorded before it begins; one that was interrupted goes on where it was.
    """
    from hpo import evaluation
    from hpo.cli import final_screen, screens
    from hpo.cli.progress import Terminal

    with Terminal(storage) as watcher:
        found = evaluation.final(study, storage=storage, again=again, watcher=watcher)
    if as_json:
        screens.print_json(found.to_json())
    else:
        final_screen.result(found)


def _finish(summary: Summary, storage: str | None, as_json: bool) -> NoReturn:
    from hpo.cli import screens
    from hpo.study import Ended

    screens.after_run(summary, storage, as_json)
    match summary.ended:
        case Ended.INTERRUPTED:
            code = 130
        case Ended.TERMINATED:
            code = 143
        case Ended.FINISHED if summary.observed(summary.last) is None:
            code = 1
        case _:
            code = 0
    raise click.exceptions.Exit(code)


COMMANDS = (start, narrow, confirm, resume, replay, final)
