"""What a definition says of its own study: the functions `finding` and `figure`.

Both get the study as pandas frames, what `hpo.report` and `hpo.curves` return. One that cannot be
found is refused before the study begins; a mistake in it is told at the end, and costs nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from hpo.definition import Definition
from hpo.errors import ObjectiveError
from hpo.finding import Finding
from hpo.importing import ImportFailed, import_name
from hpo.launch import located
from hpo.overview import show
from hpo.study import Study
from hpo.tracebacks import place, said
from hpo.trial import TrialState

Hook = Literal["finding", "figure"]


def check(definition: Definition) -> None:
    """Import the functions that a definition names.

    Raises:
        ObjectiveError: One cannot be imported.
    """
    for key in get_args(Hook):
        if getattr(definition, key) is not None:
            _imported(key, definition)


def findings(study: Study, *, storage: str | None = None) -> list[Finding]:
    """Return what the definition's `finding` finds.

    Raises:
        ObjectiveError: It cannot be imported, raised, or did not return findings.
    """
    returned = call("finding", study, storage)
    found = [returned] if isinstance(returned, Finding) else returned
    if not isinstance(found, list) or not all(map(_is_finding, found)):
        raise ObjectiveError(
            f"finding = {study.definition.finding!r} returned {returned!r}; it must return a "
            "hpo.Finding or a list of them, each with two texts and holds=True or False"
        )
    return [replace(each, holds=bool(each.holds)) for each in found]


def _is_finding(found: object) -> bool:
    return (
        isinstance(found, Finding)
        and isinstance(found.claim, str)
        and isinstance(found.measured, str)
        and isinstance(found.holds, bool | np.bool_)  # what a comparison of arrays gives
    )


def call(key: Hook, study: Study, storage: str | None) -> Any:
    """Call a function of the definition with the trials and curves of the study.

    Only with what was counted: half a curve of a trial that will run again would be drawn as a
    whole one. And without those of `confirm`: beside the settings that were searched, all on the
    same seeds, the best ones again with other seeds would spoil every comparison.

    Raises:
        ObjectiveError: It cannot be imported, no trial has completed, or it raised; maybe because a
            stage is open.
    """
    from hpo.reports import frames  # and with it pandas

    definition = located(study).definition
    hook = _imported(key, definition)
    searches = show(study.id, storage=storage).searches
    numbers = [stage.number for stage in searches]
    found = frames.report(study.id, storage=storage)
    counted = found["state"].isin([state for state in TrialState if state.counted])
    trials = found[counted & found["stage"].isin(numbers)].reset_index(drop=True)
    some = (trials["state"] == TrialState.COMPLETE).any()
    if not some and not any(stage.open for stage in searches):
        raise ObjectiveError(
            f"no trial has completed, so there is nothing for {key} = "
            f"{getattr(definition, key)!r}. Look with: hpo show {study.id}"
        )
    steps = frames.curves(study.id, storage=storage)
    kept = steps.set_index(["stage", "trial"]).index.isin(
        trials.set_index(["stage", "trial"]).index
    )
    curves = steps[kept].reset_index(drop=True)
    try:
        return hook(trials, curves)
    except Exception as error:  # the user's code may raise anything
        raised = told(key, definition, error)
        for stage in searches:
            if stage.open:  # most cannot do with a part of the trials, and need not
                raise ObjectiveError(
                    f"stage {stage.number} is open. Finish it: hpo resume {study.id}   ({raised})"
                ) from error
        raise raised from error


def _imported(key: Hook, definition: Definition) -> Callable[..., Any]:
    try:
        return import_name(key, getattr(definition, key), definition.folder)
    except ImportFailed as error:
        raise ObjectiveError(str(error)) from error
    except Exception as error:  # the user's code may raise anything
        raise told(key, definition, error) from error


def told(key: Hook, definition: Definition, error: Exception) -> ObjectiveError:
    """Return how the exception is told that is being handled, which the user's code raised."""
    name, what = getattr(definition, key), said(traceback.format_exc())
    return ObjectiveError(f"{key} = {name!r} raised {what}{place(error)}")
