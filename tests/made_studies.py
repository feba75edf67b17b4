"""Studies as they would be read from a database, made of given trials."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hpo.definition import Definition, Search
from hpo.narrowing.ruler import with_ends
from hpo.space import Choice, Space
from hpo.study import Stage, Study
from hpo.summary import Summary
from hpo.trial import Trial, TrialState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def described(validation: int = 1000) -> dict[str, Any]:
    return {
        "train": 4 * validation,
        "validation": validation,
        "test": 100,
        "classes": 10,
        "fingerprint": "x",
    }


def study(
    space: Space, *trials: Sequence[Trial], validation: int | None = None, **about: Any
) -> Summary:
    """A study of random stages on one space, given as lists of their trials.

    Args:
        space: The space of all stages.
        *trials: Those of each stage.
        validation: Size of the validation set; None for a study without a description.
        **about: Keys of the definition; or `seeds`, `sampler`, `budget` of each stage, `open`.
    """
    seeds, sampler = about.pop("seeds", 1), about.pop("sampler", "random")
    budget, unfinished = about.pop("budget", None), about.pop("open", False)
    definition = Definition(
        name="my",
        objective="m:train",
        direction=about.pop("direction", "maximize"),
        space=space,
        metric=about.pop("metric", "val_accuracy"),
        search=Search(seeds=seeds),
        **about,
    )
    data = None if validation is None else described(validation)
    made = Study(1, "u", "my", definition, data, {}, NOW)
    stages = [
        Stage(
            id=n,
            uuid=f"s{n}",
            number=n,
            parent=n - 1 or None,
            optuna_study=f"my/{n}",
            kind="start",
            space=space,
            evidence=None,
            sampler=sampler,
            budget=budget or len(of),
            seeds=seeds,
            created_at=NOW,
            finished_at=None if unfinished and n == len(trials) else NOW,
        )
        for n, of in enumerate(trials, 1)
    ]
    return Summary(made, stages, trials)


def grown_to_its_limit(summary: Summary, name: str) -> Summary:
    """The same study as if a range had come from below, as far as it may without [limits]."""
    about = summary.study.definition
    axis = about.space[name]
    assert not isinstance(axis, Choice)
    # By default two decades, or the width once more.
    high = axis.high / 100 if axis.log else axis.low + (axis.high - axis.low) // 2
    first = Space({**about.space.axes, name: with_ends(axis, axis.low, high)})
    made = replace(summary.study, definition=replace(about, space=first))
    return replace(summary, study=made)


def confirmed(
    summary: Summary, settings: Sequence[Mapping[str, Any]], scores: Sequence[Sequence[float]]
) -> Summary:
    """The same study with a finished stage of `confirm`."""
    last, seeds = summary.last, len(scores[0])
    stage = Stage(
        id=99,
        uuid="c",
        number=last.number + 1,
        parent=last.number,
        optuna_study="my/c",
        kind="confirm",
        space=last.space,
        evidence={
            "settings": [
                {"stage": 1, "trial": i, "value": 0.5, "params": dict(params)}
                for i, params in enumerate(settings)
            ]
        },
        sampler="given",
        budget=seeds * len(settings),
        seeds=seeds,
        created_at=NOW,
        finished_at=NOW,
    )
    trials = [
        Trial(stage.number, seeds * i + j, TrialState.COMPLETE, settings[i], score, slot_id=1)
        for i, of in enumerate(scores)
        for j, score in enumerate(of)
    ]
    return Summary(summary.study, [*summary.stages, stage], [*summary.trials, trials])
