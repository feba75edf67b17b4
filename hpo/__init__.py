"""Hyperparameter optimization as a service on a database: search, narrow, search again."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo.confirming import confirm
    from hpo.definition import Definition, define, load_definition
    from hpo.evaluation import final
    from hpo.finding import Finding
    from hpo.health import check
    from hpo.objective import Diverged, Pruned, Run
    from hpo.overview import best, show
    from hpo.reports.frames import curves, report
    from hpo.reports.plotting import plot
    from hpo.rerun import replay
    from hpo.service import decide, narrow, resume
    from hpo.starting import start
    from hpo.store.optuna_storage import Storage

__version__ = "0.3.0"

_HOME = {
    "Definition": "hpo.definition",
    "Diverged": "hpo.objective",
    "Finding": "hpo.finding",
    "Pruned": "hpo.objective",
    "Run": "hpo.objective",
    "Storage": "hpo.store.optuna_storage",
    "best": "hpo.overview",
    "check": "hpo.health",
    "confirm": "hpo.confirming",
    "curves": "hpo.reports.frames",
    "decide": "hpo.service",
    "define": "hpo.definition",
    "final": "hpo.evaluation",
    "load_definition": "hpo.definition",
    "narrow": "hpo.service",
    "plot": "hpo.reports.plotting",
    "replay": "hpo.rerun",
    "report": "hpo.reports.frames",
    "resume": "hpo.service",
    "show": "hpo.overview",
    "start": "hpo.starting",
}

__all__ = [
    "Definition",
    "Diverged",
    "Finding",
    "Pruned",
    "Run",
    "Storage",
    "best",
    "check",
    "confirm",
    "curves",
    "decide",
    "define",
    "final",
    "load_definition",
    "narrow",
    "plot",
    "replay",
    "report",
    "resume",
    "show",
    "start",
]


def __getattr__(name: str) -> Any:
    # Imported at first use: workers and `hpo --help` need next to nothing of it.
    if name not in _HOME:
        raise AttributeError(f"module 'hpo' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
