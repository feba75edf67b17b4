"""The next command, ready to be pasted: it names the database that this command was given."""

from __future__ import annotations

import re
import shlex

from hpo.errors import DatabaseError

_ON_A_DATABASE = re.compile(
    # What is quoted, as `repr` does it, is a name and no command, whatever it says.
    r"(?<!\w)(?P<quoted>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?<!made by: )\bhpo "  # that is none to run now
    r"(?:db [a-z]+|"
    r"(?:start|narrow|confirm|resume|list|show|best|check|final|report|plot|dashboard)\b)"
)


def suffix(storage: str | None) -> str:
    """Return ` --storage URL`, or nothing if the next command meets the same database anyway.

    Args:
        storage: What this command was given.
    """
    from hpo.launch import storage_url
    from hpo.store.engine import database_path

    if storage is None or storage == storage_url(None):
        return ""
    try:
        database_path(storage)
    except DatabaseError:  # of no use to any command, and there may be a password in it
        return ""
    return f" --storage {shlex.quote(storage)}"


def completed(sentence: str, storage: str | None) -> str:
    """Return a sentence in which each command names the database, right after its own name.

    At the end it would be in the way: who knows where a command ends and its sentence goes on?
    """
    given = suffix(storage)
    return _ON_A_DATABASE.sub(
        lambda found: found[0] if found["quoted"] else found[0] + given, sentence
    )
