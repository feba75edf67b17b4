"""What the next stage of a study would be: from evidence to a decision, a sampler and a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo import narrowing, sampling
from hpo.errors import NotEnoughTrials, StateError, UsageError
from hpo.narrowing import DEFAULT_RULE, Decision, Rule
from hpo.narrowing.evidence import Evidence
from hpo.store import studies
from hpo.store.engine import Engine, reading, writing
from hpo.store.trials import stage_trials
from hpo.study import Stage, Study
from hpo.trial import Trial, TrialState


@dataclass(frozen=True)
class Proposal:
    """What `narrow` would do: the decision on the ranges that follow a stage.

    Args:
        study: The study.
        stage: The stage that it is about.
        decision: The next ranges and why.
        kind: Kind of the next stage: "narrow", "widen" or "manual".
        carried: Number of trials inside the next ranges, evidence for the next sampler.
    """

    study: Study
    stage: Stage
    decision: Decision
    kind: str
    carried: int

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
        if self.decision.changed:
            return None
        reasons = {axis.reason for axis in self.decision.axes.values()}
        return "nothing to cut or widen: " + "; ".join(sorted(reasons))


def propose(
    engine: Engine,
    study: Study,
    from_stage: int | None = None,
    rule: Rule = DEFAULT_RULE,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Proposal:
    """Decide the ranges that follow a stage, and change nothing.

    Args:
        engine: The database.
        study: The study.
        from_stage: Number of the stage; default the last.
        rule: Settings of the rule.
        ranges: Ranges set by hand, by parameter.

    Raises:
        StateError: The stage is open, or has too few trials.
    """
    with reading(engine) as connection:
        all_stages = studies.study_stages(connection, study)
        number = from_stage if from_stage is not None else all_stages[-1].number
        stage = studies.find_stage(connection, study, number)
        trials = stage_trials(connection, stage)
        ancestors = studies.lineage(all_stages, stage)
        inherited = [stage_trials(connection, ancestor) for ancestor in ancestors]
    definition = study.definition
    if stage.open and not ranges:
        seen = Evidence.of(stage.space, trials, definition.direction, rule)
        _refuse_open(study, stage, seen, sum(trial.state.counted for trial in trials))
    if stage.open:
        raise StateError(f"stage {stage.number} is not finished. Run: hpo resume {study.id}")
    limits = {**narrowing.default_limits(definition.space), **(definition.limits or {})}
    evidence = trials + _uniform_inheritance(stage, ancestors, inherited)
    try:
        decision = narrowing.decide(
            stage.space,
            evidence,
            direction=definition.direction,
            limits=limits,
            uniform=stage.sampler in sampling.UNIFORM,
            ranges=ranges,
            rule=rule,
        )
    except NotEnoughTrials as error:
        more = multiple(stage.budget + error.needed - error.given, stage.seeds)
        hint = f"Run: hpo resume {study.id} --trials {more}"
        if stage.sampler == "grid" or stage.number != all_stages[-1].number:
            # Only the last stage's budget can grow, and a grid has no more points.
            hint = (
                "Set its next ranges by hand: "
                f"hpo narrow {study.id} --from-stage {stage.number} --range NAME=LOW:HIGH"
            )
        raise StateError(f"stage {stage.number} has {error}. {hint}") from None
    kind = "manual" if ranges else "narrow"
    if not ranges and any(axis.action == "widen" for axis in decision.axes.values()):
        kind = "widen"
    everything = trials + [trial for older in inherited for trial in older]
    carried = sum(
        t.state.counted and t.value is not None and decision.space.contains(t.params)
        for t in everything
    )
    return Proposal(study, stage, decision, kind, carried)


def next_command(study: Study, stage: Stage, trials: Sequence[Trial], last: bool) -> str:
    """Return the arguments of the `hpo` command that makes sense after a finished stage.

    Args:
        study: The study.
        stage: The stage.
        trials: Its trials.
        last: Whether it is the study's last stage, the one whose budget can grow.
    """
    seen = Evidence.of(stage.space, trials, study.definition.direction, DEFAULT_RULE)
    if stage.sampler not in sampling.UNIFORM:
        # The rule reads evenly spread trials; after a sampler that follows the best, it is done.
        return f"best {study.id}"
    missing = seen.needed - len(seen.usable)
    if missing > 0 and stage.sampler != "grid" and last:
        return f"resume {study.id} --trials {multiple(stage.budget + missing, stage.seeds)}"
    return f"narrow {study.id}"


def _refuse_open(study: Study, stage: Stage, evidence: Evidence, counted: int) -> None:
    if counted < evidence.needed:
        error = NotEnoughTrials(counted, evidence.needed, evidence.parameters)
        more = multiple(evidence.needed, stage.seeds)
        budget = f" --trials {more}" if stage.budget < more else ""
        raise StateError(f"stage {stage.number} has {error}. Run: hpo resume {study.id}{budget}")
    raise StateError(
        f"stage {stage.number} is open: {stage.budget - counted} of its {stage.budget} trials are "
        f"not counted yet. Run: hpo resume {study.id}"
    )


def _uniform_inheritance(
    stage: Stage, ancestors: Sequence[Stage], trials: Sequence[Sequence[Trial]]
) -> list[Trial]:
    """Return the ancestors' trials that count as evidence beside the stage's own.

    The rule needs trials that are spread evenly over the stage's box. An ancestor's are, inside
    that box, if its sampler was uniform and its own box held this one: after a narrowing, not
    after a widening.
    """
    inherited: list[Trial] = []
    for ancestor, theirs in zip(ancestors, trials, strict=True):
        if ancestor.sampler not in sampling.UNIFORM or not ancestor.space.covers(stage.space):
            break
        inherited += [trial for trial in theirs if trial.state is not TrialState.WAITING]
    return inherited


def plan(found: Proposal, sampler: str | None = None, trials: int | None = None) -> tuple[str, int]:
    """Return sampler and budget of the next stage.

    Args:
        found: The proposal.
        sampler: Sampler; default what suits the decision.
        trials: Budget; default the parent's.

    Raises:
        UsageError: The budget is not a multiple of the replicates.
        DefinitionError: The sampler cannot search the next space.
    """
    chosen = sampler or found.decision.sampler
    seeds = found.stage.seeds
    budget = trials if trials is not None else found.stage.budget
    if budget < 1 or budget % seeds:
        raise UsageError(f"--trials {budget} is not a multiple of seeds ({seeds}) above 0")
    return chosen, sampling.check(chosen, found.decision.space, budget // seeds) * seeds


def create(engine: Engine, found: Proposal, sampler: str, budget: int) -> Stage:
    """Store the decision and make the stage that it leads to."""
    with writing(engine) as connection:
        return studies.create_stage(
            connection,
            found.study,
            parent=found.stage,
            kind=found.kind,
            space=found.decision.space,
            evidence={**found.decision.to_json(), "carried": found.carried},
            sampler=sampler,
            budget=budget,
            seeds=found.stage.seeds,
        )


def multiple(number: int, of: int) -> int:
    """Return the smallest multiple that is not below a number."""
    return -(-number // of) * of
