"""What the next stage of a study would be: from evidence to a decision, a sampler and a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo import narrowing, sampling, setbacks
from hpo.definition import Definition
from hpo.errors import NotEnoughTrials, StateError, UsageError
from hpo.narrowing import DEFAULT_RULE, Decision, Rule
from hpo.narrowing.lean import leans
from hpo.noise import result_noise
from hpo.objective import chance_level
from hpo.search import MOST_TRIALS
from hpo.space import Choice
from hpo.store import studies
from hpo.store.engine import Engine, reading, writing
from hpo.store.trials import stage_trials
from hpo.study import Stage, Study
from hpo.summary import Best, Summary
from hpo.trial import Trial, TrialState, by_setting


@dataclass(frozen=True)
class Proposal:
    """What `narrow` would do: the decision on the ranges that follow a stage.

    Args:
        study: The study.
        stage: The stage that it is about.
        decision: The next ranges and why.
        kind: Kind of the next stage: "narrow", "widen" or "manual".
        carried: Number of trials inside the next ranges, evidence for the next sampler.
        sampler: Sampler of the next stage.
        budget: Budget of the next stage.
        recommended: The setting that is recommended so far; None without a result.
        sampler_given: Whether the caller asks for a sampler: reason enough for a stage that is not
            worth it, and if it is another than this stage's, for one on the same ranges.
    """

    study: Study
    stage: Stage
    decision: Decision
    kind: str
    carried: int
    sampler: str
    budget: int
    recommended: Best | None
    sampler_given: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the document that `narrow --dry-run --json` prints."""
        axes = self.decision.to_json()["axes"]
        return {
            "study": {"id": self.study.id, "name": self.study.name, "uuid": self.study.uuid},
            "from_stage": self.stage.number,
            "axes": {
                name: {key: axis[key] for key in ("action", "old", "new", "reason")}
                for name, axis in axes.items()
            },
            "warnings": list(self.decision.warnings),
        }

    @property
    def nothing_to_do(self) -> str | None:
        """Why no stage follows, or None if one does."""
        return None if self.sampler_given else self.decision.stop


def propose(
    engine: Engine,
    study: Study,
    from_stage: int | None = None,
    rule: Rule = DEFAULT_RULE,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    sampler: str | None = None,
    trials: int | None = None,
) -> Proposal:
    """Decide what stage follows a stage, and change nothing.

    A stage of `confirm` is passed over: its few settings say nothing about ranges. Nor do its
    scores join the evidence: means of several seeds among single trials would make the confirmed
    settings look steadier than their neighbours.

    Args:
        engine: The database.
        study: The study.
        from_stage: Number of the stage; default the last that searches.
        rule: Settings of the rule.
        ranges: Ranges set by hand, by parameter.
        sampler: Sampler of the next stage; default what suits the decision.
        trials: Its budget; default the stage's.

    Raises:
        StateError: The stage is open, or has too few trials.
        UsageError: The budget is not a multiple of the replicates.
        DefinitionError: The sampler cannot search the next space.
    """
    with reading(engine) as connection:
        all_stages = studies.study_stages(connection, study)
        summary = Summary(study, all_stages, [stage_trials(connection, s) for s in all_stages])
        last = [stage for stage in all_stages if stage.searches][-1]
        number = from_stage if from_stage is not None else last.number
        stage = studies.find_stage(connection, study, number)
        if not stage.searches:
            raise StateError(
                f"stage {number} ran a few settings again and searched nothing. Narrow the last "
                f"stage that did: hpo narrow {study.id} --from-stage {last.number}"
            )
        studies.refuse_deleted([stage])
        own = summary.of(stage)
    if compares(stage):
        raise StateError(
            f"stage {stage.number} compares choices: there is no range to narrow. "
            f"Look at it: hpo plot {study.id}"
        )
    seen = evidence(summary, stage)
    if stage.open:
        _refuse_open(study, stage, stage == last, own, seen)
    if not ranges and sampler is None:
        _refuse_nothing_scored(study, stage, own, seen)
    try:
        decision = decided(summary, stage, seen, rule, ranges)
    except NotEnoughTrials as error:
        if setback := setbacks.mostly_failed(study, stage, own, seen):
            raise StateError(f"{setback.told}: hpo {setback.command}") from None
        budget = grown_budget(stage, error.needed - error.given)
        hint = f"Run: hpo resume {study.id} --trials {budget}"
        if not can_grow(stage, stage == last):
            hint = (
                "Set its next ranges by hand: "
                f"hpo narrow {study.id} --from-stage {stage.number} --range NAME=LOW:HIGH"
            )
        raise StateError(f"{_too_few(study, stage, own, seen)}. {hint}") from None
    kind = "manual" if ranges else "narrow"
    if not ranges and decision.grows:
        kind = "widen"
    carried = sum(
        t.state.counted and t.value is not None and decision.space.contains(t.params) for t in seen
    )
    given = sampler is not None and (decision.changed or sampler != stage.sampler)
    chosen, budget = decision.sampler, stage.budget
    if decision.stop is None or given or trials is not None:
        chosen, budget = _plan(stage, decision, sampler, trials)
    if given and not decision.changed:
        kind = "manual"
    best = summary.best()
    return Proposal(study, stage, decision, kind, carried, chosen, budget, best, given)


def decided(
    summary: Summary,
    stage: Stage,
    seen: Sequence[Trial],
    rule: Rule = DEFAULT_RULE,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Decision:
    """Return what the rule decides on the ranges of a stage, from the trials it may look at.

    Raises:
        NotEnoughTrials: They are too few, and no range was set by hand.
        DefinitionError: A range set by hand cannot be used.
    """
    # NumPy takes its time to start, and most commands do without.
    from hpo.sampling.seeds import Purpose, generator

    study = summary.study
    definition = study.definition
    decision = narrowing.decide(
        stage.space,
        seen,
        direction=definition.direction,
        limits=_limits(definition),
        rng=generator(definition.search.seed, Purpose.NARROWING, stage.number),
        ranges=ranges,
        rule=rule,
        noise=result_noise(study, by_setting(seen, stage.seeds)),
        chance=chance_level(study.description, definition.direction, definition.metric),
        keep=_kept(summary, stage),
        replicates=stage.seeds,
    )
    found = leans(decision, definition.limits or {})
    stuck = tuple(
        f"{lean.sentence[0].upper()}{lean.sentence[1:]}. Set a range by hand: {lean.by_hand}"
        for lean in found
        if lean.blocked and not lean.outermost
    )
    return replace(decision, warnings=(*decision.warnings, *stuck)) if rule.widen else decision


def evidence(summary: Summary, stage: Stage) -> list[Trial]:
    """Return the trials that `narrow` may look at: those of a stage and of its ancestors.

    Those inside the stage's box count, whatever stage and sampler they come from.
    """
    ancestors = studies.lineage(summary.stages, stage)
    inherited = (t for each in ancestors for t in summary.of(each))
    return [*summary.of(stage), *(t for t in inherited if t.state is not TrialState.WAITING)]


def _limits(definition: Definition) -> Mapping[str, tuple[float, float]]:
    """Return how far each range may grow."""
    return {**narrowing.default_limits(definition.space), **(definition.limits or {})}


def _kept(summary: Summary, stage: Stage) -> list[Trial]:
    """Return the settings that the next ranges must not leave out: who was recommended stays."""
    recommended = [standing.trial for standing in summary.ranking[:1]]
    settled = summary.settled
    confirmed = summary.finalists(settled) if settled is not None else []
    first = [f.scored[0] for f in confirmed if f.sound]
    kept = {(t.stage, t.number): t for t in (*recommended, *first)}
    return [t for t in kept.values() if stage.space.contains(t.params)]


def _refuse_nothing_scored(
    study: Study, stage: Stage, own: Sequence[Trial], seen: Sequence[Trial]
) -> None:
    """Raise for a stage without a score of its own: its ranges are as good as each other."""
    if setback := setbacks.nothing_scored(study, stage, own, seen):
        raise StateError(f"{setback.told}: hpo {setback.command}")


def _refuse_open(
    study: Study, stage: Stage, last: bool, own: Sequence[Trial], seen: Sequence[Trial]
) -> None:
    """Raise for an open stage, with the command after which it can be narrowed."""
    counted = [trial for trial in own if trial.state.counted]
    direction = study.definition.direction
    missing = narrowing.missing(stage.space, seen, direction, replicates=stage.seeds)
    if missing <= 0:
        raise StateError(
            f"stage {stage.number} is open: {stage.budget - len(counted)} of its {stage.budget} "
            f"trials are not counted yet. Run: hpo resume {study.id}"
        )
    begun = {trial.number // stage.seeds for trial in counted}
    missing -= stage.budget // stage.seeds - len(begun)  # the settings that are to come anyway
    budget = ""
    if missing > 0 and can_grow(stage, last):
        budget = f" --trials {grown_budget(stage, missing)}"
    raise StateError(f"{_too_few(study, stage, own, seen)}. Run: hpo resume {study.id}{budget}")


def _too_few(study: Study, stage: Stage, own: Sequence[Trial], seen: Sequence[Trial]) -> str:
    """Return the sentence about missing evidence, in trials also where settings are counted."""
    counted = sum(trial.state.counted for trial in own)
    with_value, of_all = (_usable(study, stage, each) * stage.seeds for each in (own, seen))
    some = ""
    if of_all > with_value:
        some = f", {of_all} with those of earlier stages"
    elif with_value < counted - counted % stage.seeds:
        some = f", {with_value} with a value"
    parameters = narrowing.parameters(stage.space)
    return (
        f"stage {stage.number} has {counted} counted trials{some}; narrowing {parameters} "
        f"parameter{'s' * (parameters != 1)} needs {narrowing.needed(stage.space) * stage.seeds}"
    )


def _usable(study: Study, stage: Stage, trials: Sequence[Trial]) -> int:
    direction = study.definition.direction
    return narrowing.usable(stage.space, trials, direction, replicates=stage.seeds)


def compares(stage: Stage) -> bool:
    """Return whether a stage has tried all choices, and has no range."""
    choices = all(isinstance(axis, Choice) for axis in stage.space.axes.values())
    return stage.sampler == "grid" and choices


def can_grow(stage: Stage, last: bool) -> bool:
    """Return whether `resume --trials` can raise its budget: a grid has no more points."""
    return last and stage.sampler != "grid"


def grown_budget(stage: Stage, missing: int) -> int:
    """Return the budget at which a stage would have some settings more."""
    return stage.budget + missing * stage.seeds


def _plan(
    stage: Stage, decision: Decision, sampler: str | None, trials: int | None
) -> tuple[str, int]:
    """Return sampler and budget of the next stage, if they can search its space."""
    chosen = sampler or decision.sampler
    budget = trials if trials is not None else stage.budget
    if budget % stage.seeds or not 1 <= budget <= MOST_TRIALS:
        raise UsageError(
            f"--trials {budget} is not a multiple of seeds ({stage.seeds}) "
            f"from 1 to {MOST_TRIALS:,}"
        )
    return chosen, sampling.check(chosen, decision.space, budget // stage.seeds) * stage.seeds


def create(engine: Engine, found: Proposal) -> Stage:
    """Store the decision and make the stage that it leads to."""
    with writing(engine) as connection:
        return studies.create_stage(
            connection,
            found.study,
            parent=found.stage,
            kind=found.kind,
            space=found.decision.space,
            evidence={
                **found.decision.to_json(),
                "carried": found.carried,
                "sampler": found.sampler,
                "recommended": None if found.recommended is None else found.recommended.to_json(),
            },
            sampler=found.sampler,
            budget=found.budget,
            seeds=found.stage.seeds,
        )
