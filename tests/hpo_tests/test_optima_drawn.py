"""The picture of the ranges: where the optimum can be, and the next range, below each bar."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_studies import study
from made_trials import LR, UNIT, decided, noisy, sampled
from matplotlib.patches import StepPatch

from hpo.narrowing import Decision, Rule
from hpo.reports import figures, style
from hpo.reports.style import plain
from hpo.space import Choice, Float, Int, Space
from hpo.summary import Summary
from hpo.trial import Trial

SPACE = Space(
    {
        "lr": LR,
        "x": UNIT,
        "optimizer": Choice(("sgd", "adam", "momentum")),
        "momentum": Float(0.5, 0.99, when={"optimizer": ("momentum",)}),
        "layers": Int(1, 4),
    }
)
WORTH = {"sgd": -0.6, "adam": 0.0, "momentum": 0.01}


def score(p):
    return float(
        0.9
        + WORTH[p["optimizer"]]
        - (math.log10(p["lr"]) + 2) ** 2 / 8  # the best lr is at the upper edge
        - 2 * (p["x"] - 0.4) ** 2
        - 0.05 * abs(p["layers"] - 2)
    )


def narrowed(
    decision: Decision, *trials: Sequence[Trial], parents: Sequence[int] = (1,)
) -> Summary:
    """A study whose stages follow from others by a decision, as it would be stored."""
    evidence = json.loads(json.dumps(decision.to_json()))
    searched = study(SPACE, *trials, *([] for _ in parents))
    stages = list(searched.stages)
    for i, parent in enumerate(parents, len(trials)):
        stages[i] = replace(
            stages[i], parent=parent, kind="narrow", space=decision.space, evidence=evidence
        )
    return replace(searched, stages=stages)


@pytest.fixture(scope="module")
def trials():
    return sampled(SPACE, noisy(score, 0.02), n=150)


@pytest.fixture(scope="module")
def decision(trials):
    return decided(SPACE, trials, noise=0.02)


@pytest.fixture(scope="module")
def summary(trials, decision):
    return narrowed(decision, trials)


def panel(figure, name):
    return next(ax for ax in figure.axes if ax.get_xlabel().split(" (")[0] == plain(name))


def hills(ax):
    return [patch for patch in ax.patches if isinstance(patch, StepPatch)]


def next_ranges(ax):
    return [line for line in ax.lines if line.get_marker() == "|"]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ends(line):
    return tuple(float(x) for x in line.get_xdata())


def test_a_range_has_a_hill_of_the_optima_between_its_bar_and_the_next(summary, decision):
    figure = figures.ranges(summary)
    assert legend(figure)[-2:] == ["where the optimum can be", "the next range"]
    for name in ("lr", "x", "layers", "momentum"):
        ax = panel(figure, name)
        numbers = decision.axes[name].numbers
        (hill,) = hills(ax)
        tops, edges, foot = hill.get_data()
        heights = foot - tops  # the stages run downwards
        assert heights.max() > 0
        assert heights / heights.max() == pytest.approx(
            [share / max(numbers["optima"]) for share in numbers["optima"]]
        )
        old = SPACE[name]
        assert not isinstance(old, Choice)
        low, high = numbers["hull"]
        assert old.low <= edges[0] <= low * (1 + 1e-9)
        assert high * (1 - 1e-9) <= edges[-1] <= old.high
        assert list(edges) == sorted(edges)
        bars = [patch for patch in ax.patches if patch not in hills(ax)]
        upper, lower = sorted(bar.get_y() for bar in bars)
        assert upper + bars[0].get_height() < tops.min() < foot < lower


def test_the_next_range_stands_below_the_hill(summary, decision):
    figure = figures.ranges(summary)
    assert decision.axes["lr"].action == "widen"
    assert decision.axes["x"].action == "narrow"
    for name in ("lr", "x", "layers", "momentum"):
        ax, new = panel(figure, name), decision.space[name]
        assert not isinstance(new, Choice)
        (line,) = next_ranges(ax)
        assert ends(line) == (new.low, new.high)
        (hill,) = hills(ax)
        assert line.get_ydata()[0] > hill.get_data().baseline
        low, high = ax.get_xlim()
        assert low < new.low < new.high < high
    assert {panel(figure, name).get_xscale() for name in ("x", "layers", "momentum")} == {"linear"}
    assert panel(figure, "lr").get_xscale() == "log"


def test_parts_of_a_log_range_are_even_in_logarithms(summary):
    edges = hills(panel(figures.ranges(summary), "lr"))[0].get_data().edges
    inner = [math.log10(b / a) for a, b in itertools.pairwise(edges) if a < b]
    assert inner[1:-1] == pytest.approx([4 / 20] * len(inner[1:-1]))


def test_a_choice_has_its_share_and_a_line_if_it_remains(summary, decision):
    ax = panel(figures.ranges(summary), "optimizer")
    shares = [each["share"] for each in decision.axes["optimizer"].numbers["choices"]]
    heights = [float(hill.get_data().baseline - hill.get_data().values[0]) for hill in hills(ax)]
    assert [h / max(heights) for h in heights] == pytest.approx([s / max(shares) for s in shares])
    assert [hill.get_data().edges.mean() for hill in hills(ax)] == [0, 1, 2]
    assert decision.space["optimizer"] == Choice(("adam", "momentum"))
    assert [sum(ends(line)) / 2 for line in next_ranges(ax)] == [1, 2]


def test_one_optimum_can_be_seen():
    trials = sampled(Space({"lr": LR}), lambda p: math.log10(p["lr"]), n=60)
    found = decided(LR, [replace(t, params={"x": t.params["lr"]}) for t in trials])
    assert found.axes["x"].numbers["hull"] == [1e-2, 1e-2]
    made = study(Space({"x": LR}), trials, [])
    stage = replace(made.stages[1], space=found.space, evidence=found.to_json())
    trials = [replace(t, params={"x": t.params["lr"]}) for t in trials]
    figure = figures.ranges(replace(made, stages=[made.stages[0], stage], trials=[trials, []]))
    edges = hills(figure.axes[0])[0].get_data().edges
    assert math.log10(edges[-1] / edges[0]) >= 4 * 0.025 - 1e-9
    assert edges[-1] == 1e-2


def test_stages_that_branch_share_a_hill(trials, decision):
    figure = figures.ranges(narrowed(decision, trials, parents=[1, 1]))
    assert len(hills(panel(figure, "x"))) == 1
    assert len(next_ranges(panel(figure, "x"))) == 2


def test_a_parameter_that_cannot_occur_any_more_has_no_next_range(trials, decision):
    gone = replace(decision.axes["momentum"], action="narrow", new=None)
    axes = {**decision.axes, "momentum": gone}
    space = Space({name: axis for name, axis in decision.space.axes.items() if name != "momentum"})
    ax = panel(
        figures.ranges(narrowed(replace(decision, axes=axes, space=space), trials)), "momentum"
    )
    assert len(hills(ax)) == 1
    assert next_ranges(ax) == []


def without_optima(decision):
    """The decision as an older version stored it."""
    numbers = {
        name: {k: v for k, v in axis.numbers.items() if k not in ("optima", "choices")}
        for name, axis in decision.axes.items()
    }
    axes = {name: replace(axis, numbers=numbers[name]) for name, axis in decision.axes.items()}
    return replace(decision, axes=axes)


def test_without_a_posterior_there_is_nothing_to_draw(trials, decision):
    book = decided(SPACE, trials, rule=Rule("book"))
    by_hand = decided(SPACE, trials[:5], ranges={"x": (0.2, 0.4)})
    for found in (book, by_hand, without_optima(decision)):
        figure = figures.ranges(narrowed(found, trials))
        assert not any(hills(ax) or next_ranges(ax) for ax in figure.axes)
        assert "the next range" not in legend(figure)
        assert figure.axes[0].get_ylim() == (1.5, -0.5)


def test_the_picture_is_as_wide_and_its_text_as_large_as_without(summary, trials, decision):
    figure, plain_ = (
        figures.ranges(summary),
        figures.ranges(narrowed(without_optima(decision), trials)),
    )
    assert figure.get_figwidth() == plain_.get_figwidth()
    assert plain_.get_figheight() < figure.get_figheight() < 1.5 * plain_.get_figheight()
    figure.draw_without_rendering()
    labels = [t for ax in figure.axes for t in ax.get_yticklabels()]
    assert min(t.get_size() for t in labels) >= style.SMALL
