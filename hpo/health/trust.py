"""Checks of how far a score can be trusted: the size of the validation set, and luck."""

from __future__ import annotations

from hpo.confirming import MOST
from hpo.health.case import Case
from hpo.health.verdict import Status, Verdict
from hpo.narrowing import NOTHING_LEARNS
from hpo.objective import share_error
from hpo.summary import SMALL_VALIDATION, standard_error

_PLAIN = 5
"""Seeds that are no coincidence any more if they give equal scores."""

_TINY_VALIDATION = 100
"""That of chapter 6 of the book, and the noisiest that benchmarks/narrowing.py simulates: with
less, nobody has measured how often a range loses the optimum."""


def validation(case: Case) -> Verdict | None:
    """Whether the validation set is large enough for the best score of all stages."""
    study, best = case.study, case.summary.best()
    data = study.description
    if data is None:
        # One example, because only whether the score is a share of examples is asked here.
        if best is None or share_error(study.definition.metric, best.mean, 1) is None:
            return None
        return Verdict(
            "validation",
            "warn",
            "nobody knows how many examples a score is a share of: there is no `describe`",
            'Write a function that says it, and name it: describe = "module:function"',
        )
    size = data["validation"]
    message = f"{size:,} examples"
    # Of a confirmed setting the error of its seeds is stored; this one is that of the examples.
    error = standard_error(study, best.mean) if best else None
    if best is not None and error is not None:
        message += f": {best.mean:.3g} is ± {error:.2g}"
    message += "; all trials share them, and may all be off together"
    if size >= SMALL_VALIDATION:
        return Verdict("validation", "pass", message)
    half = f"± {error / 2:.2g} takes" if error is not None else "Half the error takes"
    remedy = f"{half} about {4 * size:,} examples; fresh seeds do not help, for they share these"
    status: Status = "fail" if size < _TINY_VALIDATION else "warn"
    return Verdict("validation", status, message, remedy)


def noise(case: Case) -> Verdict | None:
    """Whether the best setting of all stages can be told from the second."""
    found = _confirmed(case)
    if found is not None:
        return found
    if case.alike == NOTHING_LEARNS:  # which another check tells: there is no best setting
        return None
    ranking = case.summary.ranking
    told = case.noise is not None or case.summary.weighed or case.summary.settled is not None
    if len(ranking) < 2 or not told:
        return None
    first, second = (standing.mean for standing in ranking[:2])
    message = f"the best two are expected to reach {first:.3g} and {second:.3g}"
    if case.noise is not None:
        one = f"one of {case.stage.seeds} seeds" if case.stage.seeds > 1 else "one result"
        message += f", {one} is ± {case.noise:.2g}"
    ties = len(case.summary.ties)
    if not ties:
        message += "; no other may be as good as the best"
        if case.noise is None:
            message += ", as far as its neighbours tell: the noise of a result is not known"
        return Verdict("noise", "pass", message)
    rivals = "1 setting" if ties == 1 else f"{ties} settings"
    return Verdict(
        "noise",
        "warn",
        f"{message}; {rivals} of {len(ranking)} cannot be told apart from the best",
        case.confirm,
    )


def _confirmed(case: Case) -> Verdict | None:
    """Return what a stage of `confirm` says that nothing was tried after, None without one."""
    settled = case.summary.settled
    if settled is None or case.summary.newer:
        return None
    found = case.summary.confirmed(settled)
    if not found[0][0].sound:
        message = f"of {len(found)} confirmed settings, each lost at least half of its fresh seeds"
        return Verdict("noise", "warn", message, case.confirm)
    scored = [(finalist, interval) for finalist, interval in found if interval is not None]
    best, interval = scored[0]
    message = f"confirmed with {best.seeds} fresh seeds: {interval.mean:.3g}, "
    if interval.low is None or interval.high is None:
        message += "the same with each, which does not tell how far others would differ"
        if best.seeds >= _PLAIN:
            remedy = "The seed seems to change nothing: use run.seed for weights and batches"
            return Verdict("noise", "warn", message, remedy)
        more = f" --top {len(found)} --seeds {_PLAIN}"
        return Verdict("noise", "warn", message, case.confirm + more)
    message += f"with 95 % between {interval.low:.3g} and {interval.high:.3g}"
    tied = sum(said.tied for _, said in scored[1:])
    if tied:
        message += f"; {tied} of {len(scored) - 1} others cannot be told apart from it"
    if not best.lost:
        return Verdict("noise", "pass", message)
    message += f"; but {best.lost} of these seeds gave no score, and the others lost no fewer"
    more = f" --top {min(2 * len(found), MOST)}"  # the next ones too: one may be steadier
    return Verdict("noise", "warn", message, case.confirm + more)
