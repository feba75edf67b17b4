"""Checks of the ranges of the last search: too narrow, too wide, or of no matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo import narrowing
from hpo.health.case import Case
from hpo.health.verdict import Status, Verdict
from hpo.narrowing.decision import AxisDecision
from hpo.narrowing.influence import influence
from hpo.narrowing.lean import by_hand, leans
from hpo.narrowing.ruler import Numeric, cell, text, with_ends
from hpo.sampling.seeds import Purpose, generator
from hpo.setbacks import after_divergence, to_mend
from hpo.space import Axis, Choice, Float, Scalar
from hpo.trial import Trial, TrialState

_NO_INFLUENCE = 0.01
"""Share of the variance. In simulation, on benchmarks/landscapes.py with 100 trials, nearly all
idle parameters are found by it and the two other conditions, and 1 % of those that matter."""

_MANY_DIVERGED = 0.3
"""A range of which that much is lost costs nothing: in simulation, a search that begins with 30 %
diverged trials ends as well as one without."""

_MOSTLY_DIVERGED = 0.5
"""A setting of which half of the replicates diverge is not recommended either."""


def flat(case: Case) -> Verdict | None:
    """Whether the results differ by more than their noise, and from guessing."""
    decision = case.decision
    if decision is None or not case.evidence.winners:  # all diverged, which another check tells
        return None
    if decision.trials < narrowing.needed(case.stage.space):  # failures alone have decided
        return None
    completed = (t for t in case.evidence.usable if t.state is TrialState.COMPLETE)
    values = [t.value for t in completed if t.value is not None]
    spread = f"{len(values)} results lie between {min(values):.3g} and {max(values):.3g}"
    noise = "" if case.noise is None else f", the noise of one is ± {case.noise:.2g}"
    match case.alike:
        case narrowing.NOTHING_LEARNS:
            remedy = "Mend the training, or search a parameter with a range: no choice learns here"
            ranges = [n for n, a in case.stage.space.axes.items() if not isinstance(a, Choice)]
            if decision.changed:
                remedy = case.narrow()
            elif ranges:
                remedy = (
                    "Mend the training: nothing learns, and the ranges are as wide as their limits "
                    f"allow. Or set wider ones by hand, if what {' and '.join(ranges)} can be "
                    "does not end there"
                )
            message = f"nothing learns here: {spread}{noise}; that is the level of guessing"
            return Verdict("flat", "fail", message, remedy)
        case narrowing.BELOW_NOISE:
            return Verdict(
                "flat",
                "warn",
                f"{spread}{noise}: that is no more than their noise",
                "No setting is better than another here. Search other parameters or wider ranges, "
                "or measure with less noise: more validation examples, or seeds in [search]",
            )
    if case.blind:
        return Verdict(
            "flat",
            "warn",
            f"as far as can be seen, which setting is used tells nothing of the result: {spread}, "
            "and neighbours foretell no more of them than they would by luck",
            "Search other parameters or wider ranges, or try each setting several times, which "
            "tells skill from luck: seeds in [search]",
        )
    if case.foretold is not None:
        spread += f"; neighbours foretell {100 * case.foretold:.0f} % of how they differ"
    return Verdict("flat", "pass", f"{spread}{noise}")


def edges(case: Case) -> Verdict | None:
    """Whether the optimum leans on the edge of a range."""
    if case.decision is None or case.alike:
        return None
    asked = [
        name
        for name, axis in case.decision.axes.items()
        if axis.new is not None and "lean" in axis.numbers  # a range of which enough is known
    ]
    if not asked:
        return None
    found = leans(case.decision, case.study.definition.limits or {})
    troubles = [lean for lean in found if not lean.outermost]
    if not troubles:
        said = [f"the optimum of {', '.join(asked)} leans on no edge that can be moved"]
        said += [lean.sentence for lean in found]
        return Verdict("edge", "pass", "; ".join(said))
    message = "; ".join(lean.sentence for lean in troubles)
    ranges = "".join(f" {lean.by_hand}" for lean in troubles if lean.blocked)
    return Verdict("edge", "warn", message, case.narrow(ranges))


def idle(case: Case) -> Verdict | None:
    """Whether parameters have no influence that could be seen."""
    if case.decision is None or case.alike or case.blind or len(case.stage.space) < 2:
        return None
    seed = case.study.definition.search.seed
    rng = generator(seed, Purpose.NARROWING, case.stage.number)
    shares = influence(case.evidence, case.noise, rng)
    told = {
        name: share
        for name, share in shares.items()
        if "worth" in case.decision.axes[name].numbers and _several(case.stage.space[name])
    }
    if not told:
        return None
    said = "share of the differences: " + ", ".join(
        f"{name} {f'{100 * share:.0f}' if share >= _NO_INFLUENCE else 'below 1'} %"
        for name, share in told.items()
    )
    without = [
        name
        for name, share in told.items()
        if share < _NO_INFLUENCE and _anywhere(case.decision.axes[name])
    ]
    best = case.summary.best()
    if not without or best is None:
        return Verdict("idle", "pass", said)
    fixed = {
        name: _short(case.stage.space[name], best.params[name])
        for name in without
        if name in best.params
    }
    return Verdict(
        "idle",
        "warn",
        f"no influence of {' and '.join(without)} can be seen, so fix "
        f"{'them' if len(without) > 1 else 'it'} in the next study; {said}",
        case.start(fixed),
    )


def _anywhere(axis: AxisDecision) -> bool:
    """Return whether the optimum may lie anywhere on an axis, at no cost."""
    kept = axis.numbers.get("kept", 1.0) == 1.0
    return axis.action == "keep" and kept and axis.numbers["worth"] < narrowing.MATTERS


def _several(axis: Axis) -> bool:
    return not isinstance(axis, Choice) or axis.count > 1


def _short(axis: Axis, value: Scalar) -> Scalar:
    """Return a value with few digits, if the axis has that one too."""
    if isinstance(axis, Float) and axis.contains(short := float(f"{value:.3g}")):
        return short
    return value


def diverged(case: Case) -> Verdict | None:
    """Whether training diverges in much of the ranges, and beyond which value."""
    ended = [trial for trial in case.trials if trial.state.counted]
    lost = [trial for trial in ended if trial.diverged]
    if not ended:
        return None
    message = f"{len(lost)} of {len(ended)} trials diverged"
    if not lost:
        return Verdict("diverged", "pass", message)
    rim = _rim(case, lost)
    if rim is not None:
        message += f", {rim.beyond} of them with {rim.name} of {rim.at} or {rim.further}"
    if len(lost) <= _MANY_DIVERGED * len(ended):
        return Verdict("diverged", "pass", message)
    remedy = f"hpo plot {case.study.id}"  # whose slices show where they are
    if rim is not None:
        remedy = case.narrow(f" --range {rim.by_hand}")
    elif len(lost) == len(ended):
        remedy = to_mend(case.stage.space)
        if cure := after_divergence(case.stage.space, case.study.definition.space):
            why, option = cure
            remedy = f"{why}: {case.narrow(f' {option}')}"
    status: Status = "fail" if len(lost) >= _MOSTLY_DIVERGED * len(ended) else "warn"
    return Verdict("diverged", status, message, remedy)


@dataclass(frozen=True)
class _Rim:
    """The value of a range beyond which training diverges."""

    name: str
    axis: Numeric
    further: str  # "more" or "less"
    value: float
    beyond: int  # diverged trials

    @property
    def at(self) -> str:
        return text(self.axis, self.value)

    @property
    def by_hand(self) -> str:
        low, high, rim = self.axis.low, self.axis.high, self.value
        if not self.axis.discrete and low < (short := float(f"{rim:.3g}")) < high:
            rim = short
        ends = (low, rim) if self.further == "more" else (rim, high)
        return by_hand(self.name, with_ends(self.axis, *ends))


def _rim(case: Case, lost: Sequence[Trial]) -> _Rim | None:
    """Return the value of one range beyond which most of the diverged trials lie, if any is."""
    rims = []
    for name, axis in case.stage.space.axes.items():
        if isinstance(axis, Choice) or not case.evidence.best(name):
            continue
        for side, position in case.evidence.cliffs(name, axis).items():
            up = side == "upper"
            there = [t.params[name] for t in lost if name in t.params]
            cells = [(each, *cell(axis, each)) for each in there]
            beyond = [v for v, low, high in cells if (low >= position if up else high <= position)]
            if beyond:
                first = min(beyond) if up else max(beyond)
                rims.append(_Rim(name, axis, "more" if up else "less", first, len(beyond)))
    widest = max(rims, key=lambda rim: rim.beyond, default=None)
    return widest if widest is not None and 2 * widest.beyond > len(lost) else None
