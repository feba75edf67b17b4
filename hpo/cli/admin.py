"""The commands around studies: definitions, data sets, the database."""

from __future__ import annotations

from pathlib import Path

import click

from hpo.cli import options, words


@click.command(cls=options.Command)
@options.as_json
def studies(as_json: bool) -> None:
    """List the built-in definitions."""
    from hpo import catalog
    from hpo.cli import screens
    from hpo.cli.console import out

    found = {name: catalog.find_definition(name) for name in catalog.definition_names()}
    if as_json:
        screens.print_json({name: definition.to_json() for name, definition in found.items()})
        return
    width = max(len(name) for name in found)
    for name, definition in found.items():
        space = ", ".join(f"{p} {words.extent(a)}" for p, a in definition.space.axes.items())
        out.print(
            f"{name:<{width}}  {definition.search.trials} trials, {definition.sampler}; {space}"
        )


@click.group()
def data() -> None:
    """Data sets: which there are, and how to get them."""


@data.command("list", cls=options.Command)
def list_data() -> None:
    """List the data sets and where they are."""
    from hpo import catalog

    for data_set in catalog.data_sets():
        told = f"{data_set.name:<8} {data_set.summary}\n         {data_set.status()}"
        click.echo(words.printable(told))


@data.command(cls=options.Command)
@click.argument("name")
@click.option("--from", "source", metavar="URL|DIR", help="Another place to get it from.")
def fetch(name: str, source: str | None) -> None:
    """Fetch a data set into the cache."""
    from hpo import catalog
    from hpo.cli.download import bars

    data_set = catalog.find_data_set(name)
    with bars() as progress:
        message = data_set.fetch(source, progress)
    click.echo(words.printable(message))


@click.group()
def db() -> None:
    """The database: its state, upgrade, backup and check."""


@db.command(cls=options.Command)
@options.storage
@options.as_json
def status(storage: str | None, as_json: bool) -> None:
    """Say what the database is and whether this hpo can use it."""
    from hpo.cli import screens
    from hpo.cli.console import out
    from hpo.store import maintenance

    found = maintenance.status(_url(storage))
    if as_json:
        screens.print_json(found)
    else:
        for key, value in found.items():
            out.print(f"{key.replace('_', ' '):<16}  {value}")


@db.command(cls=options.Command)
@options.storage
def upgrade(storage: str | None) -> None:
    """Bring the tables of hpo to the newest revision."""
    from hpo.store import maintenance

    before, after = maintenance.upgrade(_url(storage))
    if before == after:
        click.echo(f"The database is at revision {after} already.")
    else:
        click.echo(f"The database went from {before or 'no tables of hpo'} to {after}.")


@db.command(cls=options.Command)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@options.storage
def backup(file: Path | None, storage: str | None) -> None:
    """Copy the database into FILE; safe while studies run."""
    from hpo.store import maintenance

    click.echo(words.printable(str(maintenance.backup(_url(storage), file))))


@db.command(cls=options.Command)
@options.storage
@options.as_json
def check(storage: str | None, as_json: bool) -> None:
    """Check that the database is sound and that no result is lost or doubled."""
    from hpo.cli import hints, screens
    from hpo.store.check import examine

    found = examine(_url(storage))
    if as_json:
        screens.print_json([finding.sentence for finding in found])
    for finding in found if not as_json else ():
        click.echo(words.printable(finding.sentence))
    for remedy in dict.fromkeys(finding.remedy for finding in found):
        click.echo(words.printable(hints.completed(remedy, storage)), err=True)
    if found:
        raise click.exceptions.Exit(1)
    if not as_json:
        click.echo("Nothing wrong was found.")


def _url(storage: str | None) -> str:
    from hpo.launch import storage_url

    return storage_url(storage)


COMMANDS = (studies, data, db)
