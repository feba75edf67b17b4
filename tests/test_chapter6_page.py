"""The gallery of chapter 6: three of its studies, run and shown as `make book` does with all."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import done
from databases import problems, sql

import hpo
from hpo.catalog import find_definition
from hpo.reports.style import compact

NAMES = ("optimizer-paths", "grid-vs-random", "hyperparameters")
DB = Path("book-quick.db")
STORAGE = f"sqlite:///{DB}"
PAGE = Path("chapter6-quick/chapter6.md")

TWO_FINDINGS = """
import hpo

def finding(trials, curves):
    return [
        hpo.Finding("all were tried", f"{len(trials)} trials", holds=True),
        hpo.Finding("none was tried", f"{len(trials)} of {len(trials)} were", holds=False),
    ]
"""


def load() -> ModuleType:
    file = Path(__file__).parents[1] / "docs" / "chapter6.py"
    spec = importlib.util.spec_from_file_location("chapter6", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Write the page where one study is new, one has ended, and one stopped in its first stage."""
    module = load()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("book"))
        patch.delenv("HPO_STORAGE", raising=False)
        patch.setattr(module, "NAMES", NAMES)
        Path("two_findings.py").write_text(TWO_FINDINGS)
        begin("grid-vs-random", search={"seeds": 2, "trials": 8})
        begin(
            "hyperparameters",
            search={"trials": 30},
            settings={"data": "digits", "hidden": [30], "epochs": 3, "batch_size": 4},
            timeout=1e-6,
            finding="two_findings:finding",
            folder=str(Path.cwd()),
        )
        # Without a start of Python for each command, which would take most of the time
        patch.setattr(module, "hpo_command", lambda *a, storage: done(*a, "--storage", storage))
        module.main(quick=True)
        yield module


def begin(
    name: str,
    search: Mapping[str, int],
    settings: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    **changed: str,
) -> None:
    """Start a study at a size that takes no time."""
    hpo.start(
        replace(find_definition(f"ch06/{name}"), **changed).searching(**search),
        storage=STORAGE,
        name=f"ch06/{name}",
        settings=settings,
        timeout=timeout,
        workers=1,
    )


def section(name: str) -> str:
    """Return what the page says of one experiment."""
    _, *sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    (found,) = [each for each in sections if each.splitlines()[0] == name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_experiment_has_its_figures(name: str, gallery: ModuleType) -> None:
    links = re.findall(r"!\[.*?\]\((.*?)\)", section(name))
    assert links
    for link in links:
        assert (PAGE.parent / link).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", NAMES)
def test_each_finding_is_shown_as_it_is_stored(name: str, gallery: ModuleType) -> None:
    findings = hpo.show(f"ch06/{name}", storage=STORAGE).findings
    assert findings
    for finding in findings:
        (line,) = [each for each in section(name).splitlines() if finding.claim in each]
        assert finding.measured in line
        rest = line.replace(finding.claim, "").replace(finding.measured, "")
        assert ("does not hold" not in rest and "holds" in rest) == finding.holds
        assert ("does not hold" in rest) == (not finding.holds)


def test_the_table_says_what_the_sections_say(gallery: ModuleType) -> None:
    head, *_ = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)
    for name in NAMES:
        for finding in hpo.show(f"ch06/{name}", storage=STORAGE).findings:
            verdict = "yes" if finding.holds else "**no**"
            assert f"| [{name}](#{name}) | {finding.claim} | {verdict} |" in head


def test_a_section_says_what_its_study_is(gallery: ModuleType) -> None:
    for name in NAMES:
        module = importlib.import_module(f"studies.ch06.{name.replace('-', '_')}")
        assert module.__doc__.strip() in section(name)
    assert (
        "`hpo start ch06/grid-vs-random --quick`: 8 trials, 2 seeds for each setting."
        in section("grid-vs-random")
    )
    assert "`hpo start ch06/hyperparameters --quick --stages 3`: 90 trials." in section(
        "hyperparameters"
    )


def test_the_narrowed_study_says_what_each_stage_searched(gallery: ModuleType) -> None:
    lines = section("hyperparameters").splitlines()
    assert "- stage 1 (random): lr 1e-06 … 0.01, weight_decay 1e-08 … 0.0001" in lines
    _, *later = hpo.show("ch06/hyperparameters", storage=STORAGE).stages
    for stage in later:
        (line,) = [each for each in lines if each.startswith(f"- stage {stage.number} ")]
        for limit in ("low", "high"):
            assert f"{getattr(stage.space['lr'], limit):.3g}" in line
        assert f"({stage.sampler})" in line


def test_a_stage_of_confirm_is_no_search(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    done("db", "backup", copy, "--storage", STORAGE)
    storage, study = f"sqlite:///{copy}", "ch06/hyperparameters"
    confirmed = hpo.confirm(study, top=1, seeds=2, workers=1, storage=storage)
    assert len(confirmed.stages) == 4
    assert "`hpo start ch06/hyperparameters --quick --stages 3`: 90 trials." in gallery.section(
        "hyperparameters", confirmed, True
    )
    monkeypatch.setattr(gallery, "STAGES", 4)
    monkeypatch.setattr(gallery, "hpo_command", lambda *arguments, storage: None)
    gallery.run("hyperparameters", copy, storage, quick=True)
    said = gallery.section("hyperparameters", hpo.show(study, storage=storage), True)
    assert "\n- no other: it was not worth its trials, by the rule of `hpo narrow`\n" in said
    assert "no other" not in section("hyperparameters")


def test_the_best_inside_the_books_range_are_those_of_the_first_stage(gallery: ModuleType) -> None:
    study = "ch06/hyperparameters"
    first = hpo.report(study, storage=STORAGE).query("stage == 1")
    best = sorted(first["value"], reverse=True)
    listed = re.findall(r"validation accuracy ([\d.]+):", section("hyperparameters"))
    assert listed == [f"{value:.3f}" for value in best[:5]]
    figure = gallery.draw_best_twenty(hpo.show(study, storage=STORAGE), STORAGE)
    titles = [title for ax in figure.axes if (title := ax.get_title("left"))]
    assert titles == [f"Best-{i}: {compact(value)}" for i, value in enumerate(best[:20], start=1)]


def test_an_interrupted_study_is_completed(gallery: ModuleType) -> None:
    studies = {name: hpo.show(f"ch06/{name}", storage=STORAGE) for name in NAMES}
    assert [len(study.stages) for study in studies.values()] == [1, 1, 3]
    assert not any(stage.open for study in studies.values() for stage in study.stages)
    assert [len(trials) for trials in studies["hyperparameters"].trials] == [30, 30, 30]
    assert [len(trials) for trials in studies["grid-vs-random"].trials] == [8]
    assert problems(DB) == []


def content() -> list[object]:
    """Return all that running something would change."""
    tables = ("hpo_studies", "hpo_stages", "hpo_slots", "hpo_retries", "hpo_curves", "trials")
    return [sql(DB, f"SELECT * FROM {table}") for table in tables]


def test_what_is_there_is_not_run_again(
    gallery: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, page = content(), PAGE.read_text()
    PAGE.unlink()
    monkeypatch.setattr(gallery.style, "save", lambda figure, path: None)
    gallery.main(quick=True)
    assert content() == before
    assert PAGE.read_text() == page


def test_a_command_that_fails_ends_it(gallery: ModuleType) -> None:
    with pytest.raises(SystemExit, match="1"):
        load().hpo_command("resume", "nobody", storage=STORAGE)


def test_nothing_runs_unless_it_was_asked_for(tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "docs" / "chapter6.py"
    ended = subprocess.run(
        [sys.executable, script, "--quik"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "--quick" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_runs_nothing_either(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["chapter6.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        load().arguments()
    assert "--quick" in capsys.readouterr().out


def test_a_study_without_a_finding_is_named(
    gallery: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("two_findings.py").write_text("def finding(trials, curves):\n    return []\n")
    sys.modules.pop("two_findings", None)
    monkeypatch.setattr(gallery, "NAMES", ["hyperparameters"])
    with pytest.raises(SystemExit, match=r"ch06/hyperparameters has no finding: .*hpo show"):
        gallery.main(quick=True)
