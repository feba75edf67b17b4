"""What becomes of a network that diverges where an experiment has a training of its own."""

from __future__ import annotations

from typing import Any

import pytest

from hpo.catalog import find_definition
from hpo.worker import Setup, run_trial


def never_asked() -> dict[str, Any]:
    raise AssertionError("without a pruner nothing is asked")


@pytest.mark.parametrize("name", ["ensemble", "validation-split"])
def test_it_is_a_result_and_no_accuracy(name: str) -> None:
    definition = find_definition(f"ch06/{name}").quickened()
    setup = Setup(
        {
            "objective": definition.objective,
            "describe": definition.describe,
            "metric": definition.metric,
            "direction": definition.direction,
            "folder": None,
            "test": None,
            "tests": False,
        }
    )
    params = {**(definition.fixed or {}), "lr": 1e30}
    sent: list[dict[str, Any]] = []
    ended = run_trial(setup, {"seed": 0, "params": params, "ask_at": ()}, sent.append, never_asked)
    assert ended["state"] == "diverged"
    assert sent == []
