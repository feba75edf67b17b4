"""What a stage is about and why it was made, as Markdown: the note of its Optuna study."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hpo import wording
from hpo.study import Stage, Study

# What Markdown, with the tables and links of GitHub, could read as more than a character.
_MEANING = re.compile(r"[\\`*_\[\]<>#|~&$!@]|://|(?<=www)\.")


def text(study: Study, stage: Stage, parent: Stage | None) -> str:
    """Return the note of a new stage.

    It holds also later: what may change, such as a budget, is told as it was at the start.

    Args:
        study: The study.
        stage: The stage.
        parent: The stage that it follows from, if any.
    """
    heading = f"### Stage {stage.number} of study {study.id}, {_code(study.name)}: {stage.kind}"
    if not stage.searches:
        parts = list(_confirmation(stage))
    elif parent is None or stage.evidence is None:
        parts = list(_start(study, stage))
    else:
        parts = list(_decision(stage, parent, stage.evidence))
    trials = "1 trial" if stage.budget == 1 else f"{stage.budget} trials"
    how = f"{trials} to begin with, seed {study.definition.search.seed}."
    if stage.searches:
        each = f"{stage.seeds} seeds for each setting, " if stage.seeds > 1 else ""
        pruner = "" if study.pruner(stage) == "none" else f"pruner {study.pruner(stage)}, "
        how = f"Sampler {stage.sampler}, {pruner}{each}{how}"
    return "\n\n".join([heading, *parts, how])


def _start(study: Study, stage: Stage) -> Iterator[str]:
    definition = study.definition
    wanted = "highest" if definition.direction == "maximize" else "lowest"
    yield (
        f"It searches for the {wanted} {_code(definition.metric)} of "
        f"{_code(definition.objective)}, as the definition {_code(definition.name)} says:"
    )
    yield "\n".join(
        f"- {_code(name)}: {_code(wording.extent(axis) + wording.condition(axis))}"
        for name, axis in stage.space.axes.items()
    )
    if definition.fixed:
        yield f"Fixed: {_code(wording.settings(definition.fixed))}."


def _decision(stage: Stage, parent: Stage, evidence: Mapping[str, Any]) -> Iterator[str]:
    seen = "trials" if stage.seeds == 1 else f"settings, {stage.seeds} seeds each"
    yield (
        f"From stage {parent.number}, by the rule {_plain(evidence['rule'])} "
        f"from {evidence['trials']} {seen}:"
    )
    lines = []
    for name, axis in evidence["axes"].items():
        old, new = wording.extent(parent.space[name]), stage.space.axes.get(name)
        ranges = _code(old)
        if axis["action"] != "keep":
            ranges += " → " + ("none" if new is None else _code(wording.extent(new)))
        lines.append(f"- {_code(name)}: {axis['action']}, {_plain(axis['reason'])}: {ranges}")
    yield "\n".join(lines)
    for warning in evidence["warnings"]:
        yield f"**Warning:** {_plain(warning)}"
    if (best := evidence["recommended"]) is not None:
        se = "" if best["se"] is None else f" ± {wording.score(best['se'])}"
        yield (
            f"Recommended so far: trial {best['stage']}/{best['trial']}, "
            f"{wording.score(best['mean'])}{se}: {_code(wording.settings(best['params']))}."
        )
    if evidence["gain"] is not None:
        gain = wording.score(evidence["gain"])
        yield f"Another setting in the old ranges could be expected to gain {gain} at most."
    if carried := evidence["carried"]:
        lie = "trial so far lies" if carried == 1 else "trials so far lie"
        yield f"{carried} {lie} inside the new ranges."


def _confirmation(stage: Stage) -> Iterator[str]:
    settings = stage.evidence["settings"] if stage.evidence is not None else ()
    many = "The best setting" if len(settings) == 1 else f"The best {len(settings)} settings"
    yield f"{many} so far, again with the same {stage.seeds} fresh seeds, to tell skill from luck:"
    yield "\n".join(
        f"- trial {setting['stage']}/{setting['trial']}, {wording.score(setting['value'])} "
        f"expected: {_code(wording.settings(setting['params']))}"
        for setting in settings
    )


def _plain(words: str) -> str:
    """Return a sentence as Markdown must get it to show just that."""
    return _MEANING.sub(lambda found: f"\\{found[0]}", " ".join(words.split()))


def _code(words: str) -> str:
    """Return text as a code span, in which nothing has a meaning."""
    shown = " ".join(words.split())
    ticks = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if "`" in shown else ""
    return f"{ticks}{space}{shown}{space}{ticks}"
