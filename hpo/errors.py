"""Every error that `hpo` raises for a person to read.

    HpoError                    exit 1   anything below; never raised itself
    ├── DefinitionError         exit 2   a definition, a range or an override that cannot be used
    ├── UsageError              exit 2   arguments that do not fit together
    ├── NotFoundError           exit 1   no such study, stage, trial, definition or data set
    ├── ObjectiveError          exit 1   the objective cannot be imported, described or tested
    ├── DataError               exit 1   a data set that is missing or damaged
    ├── StateError              exit 1   the study is not in a state that allows this
    │   ├── NotEnoughTrials     exit 1   too little evidence to decide on
    │   └── SlotTakenOver       exit 1   another supervisor runs the slot now
    ├── MissingExtraError       exit 1   an optional dependency that is not installed
    └── DatabaseError           exit 3   a database that cannot be opened, read or written
        └── DatabaseLocked      exit 3   another program keeps it from being written

A message is one or two sentences: what was given, what was expected, and the next command to type.
"""

from __future__ import annotations


class HpoError(Exception):
    """Base of all errors that are shown to the user without a traceback."""

    exit_code = 1


class DefinitionError(HpoError):
    """A definition, a parameter range or an override that cannot be used."""

    exit_code = 2


class UsageError(HpoError):
    """Arguments that contradict each other."""

    exit_code = 2


class NotFoundError(HpoError):
    """A study, stage, trial, definition or data set that does not exist."""


class ObjectiveError(HpoError):
    """An objective that cannot be imported or that fails before the first trial."""


class DataError(HpoError):
    """A data set that is missing, truncated, or not what it claims to be."""


class StateError(HpoError):
    """The study is not in a state that allows the operation."""


class NotEnoughTrials(StateError):
    """Too few finished trials to decide on.

    Args:
        given: Number of usable trials.
        needed: Number of trials that the rule asks for.
        parameters: Number of parameters that the decision is about.
    """

    def __init__(self, given: int, needed: int, parameters: int) -> None:
        super().__init__(
            f"{given} counted trials; narrowing {parameters} "
            f"parameter{'s' if parameters != 1 else ''} needs {needed}"
        )
        self.given = given
        self.needed = needed
        self.parameters = parameters


class SlotTakenOver(StateError):
    """The slot is another supervisor's now; nothing more is written to it."""


class MissingExtraError(HpoError):
    """An optional dependency that is not installed.

    Args:
        purpose: What it is needed for, as the start of a sentence.
        extra: Name of the extra that installs it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs an optional package. "
            f"Install it with: pip install 'hpo-service[{extra}]'"
        )


class DatabaseError(HpoError):
    """A database that cannot be opened, read or written."""

    exit_code = 3


class DatabaseLocked(DatabaseError):
    """A database that another program kept locked for too long."""
