"""What a definition says of its own study: the functions `finding` and `figure`.

Both get the study as pandas frames, what `hpo.report` and `hpo.curves` return. A mistake in one of
them is told, and costs the study nothing.
"""

from __future__ import annotations

import traceback
from typing import Any, Literal

from hpo.errors import ObjectiveError
from hpo.finding import Finding
from hpo.importing import ImportFailed, import_name
from hpo.launch import located
from hpo.reports import frames
from hpo.study import Study


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
    return found


def _is_finding(found: object) -> bool:
    return (
        isinstance(found, Finding)
        and isinstance(found.claim, str)
        and isinstance(found.measured, str)
        and isinstance(found.holds, bool)
    )


def call(key: Literal["finding", "figure"], study: Study, storage: str | None) -> Any:
    """Call a function of the definition with the trials and curves of the study.

    Raises:
        ObjectiveError: It cannot be imported, or raised.
    """
    definition = located(study).definition
    name = getattr(definition, key)
    trials = frames.report(study.id, storage=storage)
    curves = frames.curves(study.id, storage=storage)
    try:
        return import_name(key, name, definition.folder)(trials, curves)
    except ImportFailed as error:
        raise ObjectiveError(str(error)) from error
    except Exception as error:  # the user's code may raise anything
        said = traceback.format_exception_only(error)[-1].strip()
        raise ObjectiveError(f"{key} = {name!r} raised {said}") from error
