"""What a trial is worth whose training stopped being finite."""

import math

import pytest

from hpo.objective import Description, floor_value, is_loss

TEN: Description = {
    "train": 400,
    "validation": 100,
    "test": 100,
    "classes": 10,
    "fingerprint": "x",
}


@pytest.mark.parametrize(
    ("metric", "direction", "chance"),
    [
        ("val_accuracy", "maximize", 0.1),
        ("accuracy", "maximize", 0.1),
        ("val_acc", "maximize", 0.1),
        ("val_error", "minimize", 0.9),
        ("val_loss", "minimize", math.log(10)),
        ("loss", "minimize", math.log(10)),
    ],
)
def test_the_chance_level_unless_worse_was_reported(metric, direction, chance):
    better, worse = (0.8, 0.05) if direction == "maximize" else (0.2, 7.5)
    assert floor_value(TEN, direction, metric, None) == pytest.approx(chance)
    assert floor_value(TEN, direction, metric, better) == pytest.approx(chance)
    assert floor_value(TEN, direction, metric, worse) == worse
    assert floor_value(None, direction, metric, better) == better
    assert floor_value(None, direction, metric, None) is None


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        ("val_nll", "minimize"),
        ("rmse", "minimize"),
        ("r2", "maximize"),
        ("neg_loss", "maximize"),
        ("val_error", "maximize"),
        ("val_accuracy", "minimize"),
        ("score", "maximize"),
        ("inaccuracy", "maximize"),
        ("gloss", "minimize"),
    ],
)
def test_a_number_of_another_kind_has_no_chance_level(metric, direction):
    assert floor_value(TEN, direction, metric, None) is None
    assert floor_value(TEN, direction, metric, -3.5) == -3.5


def test_what_is_a_loss():
    assert [is_loss(m) for m in ("loss", "val_loss", "val_acc", "loss_ratio", "gloss")] == [
        True,
        True,
        False,
        False,
        False,
    ]
