"""The figures of a study, looked at through matplotlib's objects and as files."""

import dataclasses
import io
import math
import struct
import subprocess
import sys
import warnings

import matplotlib
import numpy as np
import optuna
import pytest
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.text import Text

import hpo
from hpo import starting
from hpo.errors import NotFoundError, UsageError
from hpo.reports import figures, plotting, style
from hpo.reports.axes import position, widest
from hpo.reports.importance import importances
from hpo.space_parsing import parse_space
from hpo.trial import Trial, TrialState

OBJECTIVE = """
import math, random

def train(params, run):
    noise = random.Random(run.seed)
    if params["lr"] > 0.2 and noise.random() < 0.5:
        run.report(1, train_accuracy=0.1, val_accuracy=0.1)
        run.report(2, train_accuracy=math.nan, val_accuracy=math.nan)
    if noise.random() < 0.04:
        raise ValueError("no luck")
    skill = 0.7 * math.exp(-(((math.log10(params["lr"]) + 1) / 2) ** 2))
    for step in range(1, 7):
        reached = 0.1 + skill * (1 - math.exp(-step / 2))
        value = reached + noise.gauss(0, 0.01)
        metrics = {"train_accuracy": reached + 0.05} if step < 6 else {}
        run.report(step, val_accuracy=value, **metrics)
    return value

def describe(fixed):
    return {"train": 400, "validation": 100, "test": 100, "classes": 10, "fingerprint": "x"}

def awkward(params, run):
    value = abs(math.log10(params["lr $_{x}$ 学習率 of quite an unreasonable length, really"]) + 3)
    run.report(1, **{"val_$a$_%": value + 1e4})
    run.report(2, **{"val_$a$_%": value + 1e-3, "train_$a$_%": 0.5 * value + 1e-3})
    return value + 1e-3

def plain(params, run):
    return params["x"]

def failing(params, run):
    raise ValueError("never works")
"""
BOOK = """
name = "book"
objective = "figure_objective:train"
describe = "figure_objective:describe"
metric = "val_accuracy"
direction = "maximize"
[space]
lr = { low = 1e-6, high = 1e-2, log = true }
weight_decay = { low = 1e-8, high = 1e-4, log = true }
[search]
trials = 40
seed = 3
"""
AWKWARD = {
    "lr $_{x}$ 学習率 of quite an unreasonable length, really": {
        "low": 1e-6,
        "high": 1e-1,
        "log": True,
    },
    "a_b^c\\$": {"low": 0.0, "high": 1.0},
    "opt": {"choices": ["sgd", "a choice $with$ a long name", "ünïcode_%", True, 1, 0.5]},
    "momentum": {"low": 0.5, "high": 0.99, "when": {"opt": ["sgd", 1]}},
    "width": {"low": 16, "high": 256, "step": 16},
    "_layers ": {"low": 1, "high": 4},
    "units": {"low": 1, "high": 1024, "log": True},
    "flag": {"choices": [True, False]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the objectives and a database with four studies in it."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "figure_objective.py").write_text(OBJECTIVE)
    (folder / "book.toml").write_text(BOOK)
    storage = f"sqlite:///{folder / 'hpo.db'}"
    starting.start(folder / "book.toml", storage=storage, workers=2, stages=3)

    def start(name, function, space, trials, **rest):
        definition = hpo.define(
            f"figure_objective:{function}", space=space, search={"trials": trials}, **rest
        )
        definition = dataclasses.replace(definition, folder=str(folder))
        starting.start(definition, storage=storage, workers=1, name=name)

    metric = {"metric": "val_$a$_%", "direction": "minimize"}
    start("näme/of $x$ " + "very " * 20 + "long", "awkward", AWKWARD, 14, **metric)
    start("single", "plain", {"x": {"low": 0.0, "high": 1.0}}, 1, direction="maximize")
    start("failed", "failing", {"x": {"low": 0, "high": 9}}, 3, direction="minimize")
    return folder


@pytest.fixture(scope="module")
def storage(folder):
    return f"sqlite:///{folder / 'hpo.db'}"


@pytest.fixture(scope="module")
def book(storage):
    return hpo.show("book", storage=storage)


@pytest.fixture(scope="module")
def curves(storage):
    return hpo.curves("book", storage=storage)


@pytest.fixture(scope="module")
def plotted(storage, tmp_path_factory):
    """What `plot` did in a folder of its own for two studies, and the figures that it saved."""
    found, save = {}, style.save
    for study in ("book", 2):
        drawn = []

        def spy(figure, path, drawn=drawn):
            drawn.append(figure)
            save(figure, path)

        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.chdir(tmp_path_factory.mktemp("plotted"))
            patch.setattr(style, "save", spy)
            warnings.simplefilter("error")
            plots = plotting.plot(study, storage=storage)
            written = [path.resolve() for path in plots.written]
        found[study] = dataclasses.replace(plots, written=written), drawn
    return found


@pytest.fixture(scope="module")
def drawn(plotted):
    """The figures of two studies; they are laid out, so that they can be measured."""
    return {study: figures for study, (_, figures) in plotted.items()}


def png_size(data):
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    return struct.unpack(">II", data[16:24])


def saved(figure):
    file = io.BytesIO()
    style.save(figure, file)
    return file.getvalue()


def texts(figure):
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def made_up(book, trials, *, space=None, stages=1, **definition):
    """Return a study of our own making: trials by stage."""
    space = book.stages[0].space if space is None else parse_space(space)
    definition = dataclasses.replace(book.study.definition, **definition)
    return dataclasses.replace(
        book,
        study=dataclasses.replace(book.study, definition=definition, description=None),
        stages=[
            dataclasses.replace(book.stages[0], number=n, space=space, budget=len(trials))
            for n in range(1, stages + 1)
        ],
        trials=[[t for t in trials if t.stage == n] for n in range(1, stages + 1)],
    )


def completed(number, value, params, stage=1, **rest):
    return Trial(stage, number, TrialState.COMPLETE, params, value, **rest)


# Files


@pytest.mark.parametrize("study", ["book", 2])
def test_all_five_are_written(plotted, study):
    plots, _ = plotted[study]
    names = ["learning_curves", "history", "ranges", "slices", "importance"]
    assert [path.name for path in plots.written] == [f"{name}.png" for name in names]
    assert plots.left_out == {}
    folder = plots.written[0].parent
    assert sorted(folder.iterdir()) == sorted(plots.written)
    for path in plots.written:
        width, height = png_size(path.read_bytes())
        assert 700 <= width <= 1800
        assert 200 <= height <= 1400
    assert png_size(plots.written[0].read_bytes())[0] > 1400, "twenty panels need room"


def test_the_folder_is_called_after_the_study(plotted):
    assert plotted["book"][0].written[0].parent.name == "plots-book"
    awkward = plotted[2][0].written[0].parent.name
    assert awkward.startswith("plots-näme_of_x_very_very")
    assert len(awkward) < 80


def test_what_a_study_has_nothing_for_is_left_out(storage, tmp_path):
    out = tmp_path / "new" / "folder"
    single = plotting.plot("single", storage=storage, out=str(out))
    assert {path.parent for path in single.written} == {out}
    assert [path.name for path in single.written] == ["history.png", "ranges.png", "slices.png"]
    assert single.left_out == {
        "learning_curves.png": "no completed trial reported score at a step",
        "importance.png": "it takes two parameters and ten completed trials that differ",
    }
    failed = plotting.plot("failed", storage=storage, out=tmp_path)
    assert [path.name for path in failed.written] == ["ranges.png"]
    assert failed.left_out["history.png"] == "no trial has a score"


def test_mistakes(storage, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file: cannot write there \(File exists\)"):
        plotting.plot("single", storage=storage, out=tmp_path / "file")
    with pytest.raises(NotFoundError):
        plotting.plot("nobody", storage=storage, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_state_of_matplotlib_is_neither_used_nor_changed(book):
    before = dict(matplotlib.rcParams)
    expected = saved(figures.history(book))
    assert dict(matplotlib.rcParams) == before
    theirs = {"text.usetex": True, "figure.facecolor": "black", "axes.grid": False, "font.size": 30}
    with matplotlib.rc_context(theirs):
        assert saved(figures.history(book)) == expected
    code = (
        "import sys, hpo.reports.figures as f; sys.exit('matplotlib.pyplot' in sys.modules or "
        "'optuna.visualization' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Learning curves


def test_twenty_panels_five_a_row(book, curves):
    figure = figures.learning_curves(book, curves)
    assert len(figure.axes) == 20
    rows = {ax.get_subplotspec().rowspan.start for ax in figure.axes}
    columns = {ax.get_subplotspec().colspan.start for ax in figure.axes}
    assert (len(rows), len(columns)) == (4, 5)
    top = book.top(count=20)
    for place, (ax, trial) in enumerate(zip(figure.axes, top, strict=True), start=1):
        assert ax.get_title(loc="left") == f"Best-{place}: {trial.value:.3g}"
        assert ax.get_title(loc="right") == f"trial {trial.stage}/{trial.number}"
        assert ax.get_ylim() == (0, 1)
        assert ax.get_shared_y_axes().joined(ax, figure.axes[0])
    assert figure.get_supxlabel() == "step"


def test_validation_is_solid_and_training_dashed(book, curves):
    figure = figures.learning_curves(book, curves)
    for ax, trial in zip(figure.axes, book.top(count=20), strict=True):
        steps = curves[(curves.stage == trial.stage) & (curves.trial == trial.number)]
        validation, training = ax.get_lines()
        assert (validation.get_linestyle(), training.get_linestyle()) == ("-", "--")
        assert validation.get_color() != training.get_color()
        np.testing.assert_array_equal(validation.get_xdata(), steps.step)
        np.testing.assert_array_equal(validation.get_ydata(), steps.val_accuracy)
        # The last step of the training curve is missing.
        np.testing.assert_array_equal(training.get_ydata(), steps.train_accuracy.dropna())
        assert len(training.get_ydata()) == len(steps) - 1
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["val_accuracy", "train_accuracy", "recommended ± standard error"]


def test_the_two_settings_stand_under_each_title(book, curves):
    figure = figures.learning_curves(book, curves)
    for ax, trial in zip(figure.axes, book.top(count=20), strict=True):
        (note,) = (t for t in ax.texts if "lr" in t.get_text())
        lr, weight_decay = (style.compact(trial.params[name]) for name in ("lr", "weight_decay"))
        assert note.get_text() == f"lr {lr}, weight_decay {weight_decay}"
        assert note.get_size() == style.SMALL


@pytest.mark.parametrize("study", ["book", 2])
def test_nothing_over_a_panel_overlaps(drawn, study):
    for ax in drawn[study][0].axes:
        left, right = ax._left_title, ax._right_title
        boxes = [t.get_window_extent() for t in (left, right, *ax.texts)]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_fewer_trials_take_fewer_panels(book, curves):
    few = dataclasses.replace(book, trials=[book.trials[0][:3], [], []])
    figure = figures.learning_curves(few, curves)
    assert len(figure.axes) == len(few.top(count=20)) <= 3
    more = dataclasses.replace(book, trials=[book.trials[0][:9], [], []])
    panels = figures.learning_curves(more, curves).axes
    assert 5 < len(panels) == len(more.top(count=20)) < 10
    # The lowest panel of each column has the numbers of its steps.
    labelled = [ax.xaxis.get_tick_params()["labelbottom"] for ax in panels]
    assert labelled == [False] * (len(panels) - 5) + [True] * 5


def test_a_trial_without_steps_has_an_empty_panel(book, curves):
    first = book.top(count=1)[0]
    rest = curves[(curves.stage != first.stage) | (curves.trial != first.number)]
    figure = figures.learning_curves(book, rest)
    assert "no steps" in [text.get_text() for text in figure.axes[0].texts]
    assert len(figure.axes) == 20


def test_one_step_makes_no_curve(book, curves):
    last = curves.groupby(["stage", "trial"]).tail(1)
    with pytest.raises(style.NothingToDraw, match="at one step of each trial: no curve"):
        figures.learning_curves(book, last)


def test_curves_of_a_loss_share_the_limits_of_the_data(drawn):
    panels = drawn[2][0].axes
    assert panels[0].get_yscale() == "log"
    low, high = panels[0].get_ylim()
    reached = [line.get_ydata().min() for ax in panels for line in ax.get_lines()]
    assert low < min(reached) < 1e4 < high
    assert {ax.get_ylim() for ax in panels} == {(low, high)}


# History


def test_history_counts_through_the_stages(book):
    (ax,) = figures.history(book).axes
    assert [t.get_text() for t in ax.texts] == [
        f"stage {stage.number} · {stage.kind}" for stage in book.stages
    ]
    (line,) = (line for line in ax.get_lines() if line.get_drawstyle() == "steps-post")
    reached = line.get_ydata()
    assert list(reached) == sorted(reached)
    assert reached[-1] == book.top(count=1)[0].value
    lengths = [len(trials) for trials in book.trials]
    assert ax.get_xlim() == (-1, sum(lengths))
    drawn = sum(len(group.get_offsets()) for group in ax.collections)
    assert drawn == sum(lengths)


def test_each_end_of_a_trial_has_its_mark(book):
    params = dict(book.trials[0][0].params)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    trials = [
        completed(0, 0.5, params),
        completed(1, 0.1, params, diverged_at=2),
        *(
            Trial(1, i, state, params, 0.3 if state is TrialState.PRUNED else None)
            for i, state in enumerate(states, start=2)
        ),
    ]
    figure = figures.history(made_up(book, trials))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["completed", "diverged", "pruned", "failed", "best so far", "recommended"]
    groups = figure.axes[0].collections
    assert len(groups) == 4, "a trial that has not ended is not drawn"
    shapes = {group.get_paths()[0].vertices.tobytes() for group in groups}
    assert len(shapes) == 4


def test_the_best_is_the_lowest_where_lower_is_better(storage):
    summary = hpo.show(2, storage=storage)
    (ax,) = figures.history(summary).axes
    (line,) = (line for line in ax.get_lines() if line.get_drawstyle() == "steps-post")
    assert line.get_ydata()[-1] == min(t.value for t in summary.trials[0])


def test_the_standard_error_is_shown_where_it_is_known(book, storage):
    best = book.best()
    assert best.se is not None

    def heights(figure):
        boxes = [patch.get_bbox() for patch in figure.axes[0].patches if hasattr(patch, "get_bbox")]
        return [(box.y0, box.y1) for box in boxes]

    band = (best.mean - best.se, best.mean + best.se)
    assert band in heights(figures.history(book))
    assert band in heights(figures.slices(book))
    assert any(f"± {best.se:.2g}" in t.get_text() for t in texts(figures.history(book)))


def test_a_trial_that_blew_up_does_not_flatten_the_others(book):
    params = dict(book.trials[0][0].params)
    values = [*(0.5 + i / 100 for i in range(20)), -1e9]
    trials = [completed(i, value, params) for i, value in enumerate(values)]
    figure = figures.history(made_up(book, trials, metric="r2"))
    low, high = figure.axes[0].get_ylim()
    assert 0.4 < low < high < 0.8
    (drawn,) = figure.axes[0].collections
    assert low < drawn.get_offsets()[-1][1] < 0.5, "it stands at the edge"
    assert any("1 trial lies far beyond" in t.get_text() for t in texts(figure))
    # The good ones are never cut off, however rare.
    figure = figures.history(
        made_up(book, trials, metric="r2", direction="minimize")  # now the odd one is the best
    )
    assert figure.axes[0].get_ylim()[0] < -1e9


# Ranges and slices


def test_ranges_has_a_bar_for_each_stage(book):
    figure = figures.ranges(book)
    for ax, name in zip(figure.axes, widest(book), strict=False):
        assert ax.get_xlabel() == name
        assert ax.get_xscale() == "log"
        bars = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
        ends = [(b.get_x(), b.get_x() + b.get_width()) for b in bars]
        axes = [stage.space[name] for stage in book.stages]
        assert ends == [pytest.approx((axis.low, axis.high)) for axis in axes]
        labels = [label.get_text() for label in ax.get_yticklabels()]
        assert labels[0] == f"stage 1\n{axes[0].low:.3g} … {axes[0].high:.3g}"
        assert ax.yaxis_inverted(), "stage 1 is at the top"
        low, high = ax.get_xlim()
        assert low < min(axis.low for axis in axes) < max(axis.high for axis in axes) < high
    colours = [group.get_facecolors() for group in figure.axes[0].collections]
    assert len({tuple(colour) for group in colours for colour in group}) > 10


def test_darker_is_better(book):
    params = dict(book.trials[0][0].params)
    trials = [completed(i, i / 10, params) for i in range(10)]

    def darkness(direction):
        (dots,) = figures.ranges(made_up(book, trials, direction=direction)).axes[0].collections
        return [-sum(colour[:3]) for colour in dots.get_facecolors()]

    rising = darkness("maximize")
    assert rising[-1] > rising[5] > rising[0]
    falling = darkness("minimize")
    assert falling[-1] < falling[5] < falling[0]


def test_choices_are_categories(storage):
    summary = hpo.show(2, storage=storage)
    (ax,) = (ax for ax in figures.slices(summary).axes if ax.get_xlabel() == "opt")
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["sgd", "a choice… name", "ünïcode_%", "true", "1", "0.5"]
    axis = widest(summary)["opt"]
    assert [position(axis, value) for value in ("sgd", True, 1)] == [0, 3, 4]


def test_a_conditional_parameter_shows_the_trials_that_have_it(storage):
    summary = hpo.show(2, storage=storage)
    (ax,) = (a for a in figures.slices(summary).axes if a.get_xlabel().startswith("momentum"))
    assert ax.get_xlabel() == "momentum (if opt = sgd or 1)"
    having = [t for t in summary.trials[0] if "momentum" in t.params]
    assert 0 < len(having) < 30
    assert sum(len(group.get_offsets()) for group in ax.collections) == len(having)


def test_slices_mark_stages_and_the_current_range(book):
    figure = figures.slices(book)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"stage 1", "stage 2", "stage 3", "range of stage 3"} <= set(legend)
    for ax, name in zip(figure.axes, widest(book), strict=True):
        now = book.last.space[name]
        edges = [line.get_xdata()[0] for line in ax.get_lines() if line.get_linestyle() == ":"]
        assert edges == [now.low, now.high]
        assert ax.get_xscale() == "log"
        assert ax.get_shared_y_axes().joined(ax, figure.axes[0])
        colours = {tuple(c[:3]) for group in ax.collections for c in group.get_edgecolors()}
        assert {to_rgba(colour)[:3] for colour in style.PALETTE[:3]} <= colours


def test_eight_parameters_and_nine_stages(book):
    space = {f"_p{i}$": {"low": 0.0, "high": 1.0} for i in range(8)}
    trials = [
        completed(i, math.sin(i + stage), {n: (i * 0.37 + k / 8) % 1 for k, n in enumerate(space)})
        for stage in range(1, 10)
        for i in range(4)
    ]
    trials = [dataclasses.replace(t, stage=1 + i // 4) for i, t in enumerate(trials)]
    summary = made_up(book, trials, space=space, stages=9, metric="_m")
    assert len(figures.slices(summary).axes) == 8
    assert len(figures.ranges(summary).axes) == 9, "and the legend of the colours"
    for draw in (figures.history, figures.ranges, figures.slices, figures.importance):
        width, height = png_size(saved(draw(summary)))
        assert width < 1800
        assert height < 2500


# Importance


def test_the_parameter_that_decides_comes_first(book):
    shares = importances(book)
    assert list(shares) == ["lr", "weight_decay"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["lr"] > 0.7
    assert importances(book) == shares
    (ax,) = figures.importance(book).axes
    assert [bar.get_width() for bar in ax.patches] == list(shares.values())
    assert [label.get_text() for label in ax.get_yticklabels()] == list(shares)


def test_importances_are_quiet(storage, capsys):
    before = optuna.logging.get_verbosity()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = importances(hpo.show(2, storage=storage))
    assert set(shares) == set(AWKWARD)
    assert optuna.logging.get_verbosity() == before
    assert capsys.readouterr() == ("", "")


def test_importances_that_cannot_be_told(book):
    two = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}
    trials = [completed(i, float(i), {"x": i / 20, "y": (i * 7 % 20) / 20}) for i in range(20)]
    assert set(importances(made_up(book, trials, space=two))) == {"x", "y"}
    assert importances(made_up(book, trials[:9], space=two)) == {}
    one = [dataclasses.replace(t, params={"x": t.params["x"]}) for t in trials]
    assert importances(made_up(book, one, space={"x": two["x"]})) == {}
    same = [dataclasses.replace(t, value=0.5) for t in trials]
    assert importances(made_up(book, same, space=two)) == {}
    with pytest.raises(style.NothingToDraw):
        figures.importance(made_up(book, same, space=two))


def test_the_widest_range_spans_all_stages(book):
    lows = [stage.space["lr"].low for stage in book.stages]
    highs = [stage.space["lr"].high for stage in book.stages]
    assert (widest(book)["lr"].low, widest(book)["lr"].high) == (min(lows), max(highs))
    first, second = (parse_space({"c": {"choices": list(c)}}) for c in ("ab", "cb"))
    stages = [dataclasses.replace(book.stages[0], space=space) for space in (first, second)]
    assert widest(dataclasses.replace(book, stages=stages))["c"].choices == ("a", "b", "c")


# Style


@pytest.mark.parametrize("study", ["book", 2])
def test_titles_tell_what_is_shown_and_no_text_is_tiny(storage, drawn, study):
    summary = hpo.show(study, storage=storage)
    for figure in drawn[study]:
        header = " ".join(t.get_text() for t in figure.texts).replace("\N{NO-BREAK SPACE}", " ")
        assert header.startswith(style.plain(summary.study.name, 8)[:4])
        assert style.plain(summary.study.definition.metric) in header
        first = summary.stages[0]
        assert f"stage 1 (start, {first.sampler}): {first.budget} trials" in header
        assert min(t.get_size() for t in texts(figure)) >= 7
        width, height = figure.canvas.get_width_height()
        for text in [*figure.texts, *figure.legends[:1]]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lr", "lr"),
        ("$x_1$", r"\$x_1\$"),
        ("100 %\n of\tit", "100 % of it"),
        ("a" * 30 + "b" * 30, "a" * 26 + "…" + "b" * 13),
    ],
)
def test_names_mean_only_themselves(text, shown):
    assert style.plain(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.00964, "9.6e-03"),
        (0.0123, "0.0123"),
        (0.9, "0.9"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (2.13e-06, "2.1e-06"),
        (123456.0, "123456"),
        (128, "128"),
        (10**9, "1.0e+09"),
        (True, "true"),
        ("sgd", "sgd"),
    ],
)
def test_settings_are_written_in_few_characters(value, shown):
    assert style.compact(value) == shown
