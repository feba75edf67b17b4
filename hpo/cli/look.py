"""The commands that look at studies: list, show, best, check, report, plot, dashboard."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpo.cli import hints, options, words

_FORMATS = ("table", "csv", "json", "parquet", "html")


@click.command("list", cls=options.Command)
@options.storage
@options.as_json
def list_(storage: str | None, as_json: bool) -> None:
    """List the studies of the database."""
    from hpo import overview
    from hpo.cli import screens, tables

    summaries = overview.list_studies(storage=storage)
    if as_json:
        screens.print_json([summary.to_json() for summary in summaries])
    else:
        tables.study_list(summaries)


@click.command(cls=options.Command)
@options.study
@options.storage
@options.as_json
@click.pass_context
def show(ctx: click.Context, study: str, storage: str | None, as_json: bool) -> None:
    """Show the stages of a study, their ranges and why they were chosen."""
    from hpo import overview
    from hpo.cli import final_screen, screens, tables

    summary = overview.show(study, storage=storage)
    if as_json:
        screens.print_json(summary.to_json())
    else:
        tables.study(summary)
        tables.findings(summary)
        screens.finding_missing(summary, storage)
        final_screen.uses(summary, storage)
        tables.retries(summary)
        tables.deleted(summary)
        tables.failures(summary, storage, whole=ctx.meta["hpo.debug"])


@click.command(cls=options.Command)
@options.study
@options.storage
@options.as_json
def best(study: str, storage: str | None, as_json: bool) -> None:
    """Print the recommended setting of a study."""
    from hpo import overview
    from hpo.cli import final_screen, screens, tables

    summary = overview.show(study, storage=storage)
    tables.deleted(summary)
    if as_json:
        screens.print_json(summary.best_json())
    else:
        screens.best(summary, storage)
        final_screen.what_next(summary, storage)


@click.command(cls=options.Command)
@options.study
@options.storage
@options.as_json
@click.pass_context
def check(ctx: click.Context, study: str, storage: str | None, as_json: bool) -> None:
    """Say what is wrong with a study, and which command mends it.

    Checks the last stage that searches: open, trials, failed, diverged, flat, edge, idle, curves,
    overfit; and all stages: validation, noise, duplicates. A check that has nothing to go by is
    left out.

    Exit code 0 if no check fails, also with warnings; 1 if one does.
    """
    from hpo import health
    from hpo.cli import check_screen, screens, tables

    summary, curves = health.examined(study, storage)
    verdicts = health.verdicts(summary, curves)
    if as_json:
        screens.print_json(health.to_json(summary, verdicts))
    else:
        check_screen.verdicts(summary, verdicts, storage)
        tables.deleted(summary)
    if any(verdict.status == "fail" for verdict in verdicts):
        ctx.exit(1)


@click.command(cls=options.Command)
@options.study
@click.option("--curves", "as_curves", is_flag=True, help="Every step instead of every trial.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="Default: what the name of FILE ends in, else a table.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write to a file.")
@options.storage
def report(
    study: str, as_curves: bool, form: str | None, out: Path | None, storage: str | None
) -> None:
    """Print every trial, or every step, as a table."""
    from hpo import overview
    from hpo.cli import tables
    from hpo.reports import frames

    if form is None:
        suffix = out.suffix[1:].lower() if out is not None else ""
        form = suffix if suffix in _FORMATS else "table"
    read = frames.curves if as_curves else frames.report
    written = frames.render(read(study, storage=storage), form)
    tables.deleted(overview.show(study, storage=storage))
    if out is not None:
        try:
            out.write_bytes(written)
        except OSError as error:
            raise click.FileError(str(out), error.strerror) from None
        click.echo(words.printable(f"Written to {out}."), err=True)
    elif form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("parquet is not for a terminal; name a file with --out FILE")
    elif sys.stdout.isatty():
        click.echo(words.printable(written.decode()), nl=False)
    else:
        sys.stdout.buffer.write(written)


@click.command(cls=options.Command)
@options.study
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder for them.")
@options.storage
def plot(study: str, out: Path | None, storage: str | None) -> None:
    """Draw the study: learning curves, history, ranges, slices, importance."""
    from hpo.reports.plotting import plot as draw

    plots = draw(study, storage=storage, out=out)
    for path in plots.written:
        click.echo(words.printable(str(path)))
    for name, reason in plots.left_out.items():
        click.echo(words.printable(f"Left out {name}: {reason}."), err=True)
    for stage in plots.summary.stages:
        if stage.open:
            counted = plots.summary.counts(stage).counted
            click.echo(
                f"Stage {stage.number} is open: what is drawn are {counted} of {stage.budget} "
                f"trials. Finish it: hpo resume {plots.summary.study.id}{hints.suffix(storage)}",
                err=True,
            )


@click.command(cls=options.Command)
@click.option("--port", type=int, default=8080, show_default=True)
@options.storage
def dashboard(port: int, storage: str | None) -> None:
    """Open the Optuna dashboard on this database, read-only, on this machine only."""
    from hpo.dashboard import serve

    serve(storage, port, lambda url: click.echo(f"Dashboard on {url} (Ctrl-C ends it)", err=True))


COMMANDS = (list_, show, best, check, report, plot, dashboard)
