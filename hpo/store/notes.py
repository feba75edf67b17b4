"""Notes on Optuna studies, where the Optuna dashboard keeps them.

It shows and edits them as Markdown. It is not imported for it: it would bring a server along. A
test holds these attributes equal to what it writes.
"""

from __future__ import annotations

from sqlalchemy import Connection

from hpo.store import trial_rows
from hpo.store.optuna_tables import study_system_attributes

_VERSION, _PART = "dashboard:note_ver", "dashboard:note_str:"
_LENGTH = 2045  # characters of a part


def write(connection: Connection, study_id: int, note: str) -> None:
    """Write the first note of an Optuna study, which a person may change later.

    Args:
        connection: In a write transaction.
        study_id: An Optuna study without a note.
        note: Markdown.
    """
    parts = [note[start : start + _LENGTH] for start in range(0, len(note), _LENGTH)]
    attributes = {_VERSION: 1, **{f"{_PART}{i}": part for i, part in enumerate(parts)}}
    trial_rows.set_attributes(connection, study_system_attributes, study_id, attributes)
