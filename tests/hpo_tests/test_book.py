"""The book's rule: the box of the best five, and nothing else."""

from made_trials import LR, UNIT, around, decided, ends, log_peak, one, sampled, swept, trial

from hpo.narrowing import Rule
from hpo.space import Choice, Float, Int, Space

BOOK = Rule("book")


def test_the_box_is_the_hull_of_the_best_five() -> None:
    decision = one(UNIT, swept(UNIT, around(0.5)), rule=BOOK)  # 0.475, 0.485 …
    assert decision.action == "narrow"
    assert ends(decision.new) == (0.475, 0.515)  # a sixth is as good, but newer
    assert decision.reason == "the 5 best lie between 0.475 and 0.515"
    ten = one(UNIT, swept(UNIT, around(0.5)), rule=Rule("book", top=10))
    low, high = ends(ten.new)
    assert high - low > 0.08


def test_a_log_axis_is_measured_in_logarithms() -> None:
    space = Space({"lr": LR})
    trials = sampled(space, log_peak(1e-4))
    low, high = ends(decided(space, trials, rule=BOOK).space["lr"])
    best = sorted(trials, key=lambda t: -(t.value or 0.0))[:5]
    values = [t.params["lr"] for t in best]
    assert 0.9 * min(values) < low <= min(values)
    assert max(values) <= high < 1.1 * max(values)
    for end in (low, high):
        assert float(f"{end:.2e}") == end


def test_it_neither_widens_nor_pads_nor_sees_a_cliff() -> None:
    decision = decided(UNIT, swept(UNIT, lambda x: x), rule=BOOK)
    assert ends(decision.space["x"]) == (0.955, 0.995)
    assert decision.warnings == ()
    assert decision.sampler == "random"
    assert decision.elites == ((1, 99), (1, 98), (1, 97), (1, 96), (1, 95))


def test_lower_is_better() -> None:
    decision = one(UNIT, swept(UNIT, lambda x: x), rule=BOOK, direction="minimize")
    assert ends(decision.new) == (0.005, 0.045)


def test_whole_numbers_keep_a_neighbour() -> None:
    axis = Int(1, 20)
    assert one(axis, swept(axis, around(9)), rule=BOOK).new == Int(8, 10)
    assert one(axis, swept(axis, lambda x: -x), rule=BOOK).new == Int(1, 2)
    steps = Float(0.0, 0.9, step=0.1)
    assert one(steps, swept(steps, lambda x: x), rule=BOOK).new == Float(0.8, 0.9, step=0.1)


def test_equal_settings_keep_some_room() -> None:
    trials = [trial(i, {"x": 0.25 if i < 5 else 0.8}, float(i < 5)) for i in range(30)]
    low, high = ends(one(UNIT, trials, rule=BOOK).new)
    assert low < 0.25 < high
    assert high - low < 0.05


def test_choices_are_those_of_the_best_five() -> None:
    values = [("a", "b", True, 1)[i % 4] for i in range(40)]
    trials = [trial(i, {"x": v}, 1.0 if v is True else i / 100) for i, v in enumerate(values)]
    decision = one(Choice(("a", "b", True, 1)), trials, rule=BOOK)
    assert isinstance(decision.new, Choice)
    assert repr(decision.new.choices) == "(True,)"
    assert decision.reason == "none of the 5 best has 'a' or 'b' or 1"
    kept = one(Choice(("a", "b", True, 1)), trials, rule=Rule("book", top=30))
    assert (kept.action, kept.reason) == ("keep", "every choice is among the best")


def test_a_conditional_range_is_that_of_the_best_five_that_have_it() -> None:
    space = Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0, when={"kind": ("a",)})})
    trials = sampled(space, lambda p: around(0.5)(p["x"]) if "x" in p else -0.2, n=200)
    new = decided(space, trials, rule=BOOK).space["x"]
    assert new.contains(0.5)
    low, high = ends(new)
    assert high - low < 0.2
    assert new.when == {"kind": ("a",)}
