"""What holds for each experiment: it runs to its end, finds something, and has its figure."""

from __future__ import annotations

import pytest

from hpo.catalog import definition_names

NAMES = [name.removeprefix("ch06/") for name in definition_names() if name.startswith("ch06/")]


@pytest.mark.parametrize("name", NAMES)
def test_every_finding_has_its_numbers(name: str, experiment) -> None:
    found = experiment(name)
    assert set(found.trials["state"]) == {"COMPLETE"}
    assert found.findings
    for finding in found.findings:
        assert any(letter.isdigit() for letter in finding.measured)
        assert "nan" not in finding.measured


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_its_figure(name: str, experiment) -> None:
    figure = experiment(name).figure()
    for ax in figure.axes:
        assert ax.has_data() or not ax.axison
    width, height = figure.get_size_inches()
    assert width <= 14
    assert height <= 12
