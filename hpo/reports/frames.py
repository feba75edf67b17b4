"""Trials and learning curves as pandas frames: the one door to pandas."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from importlib.util import find_spec

import pandas as pd

from hpo.errors import MissingExtraError
from hpo.launch import open_study
from hpo.store.engine import reading
from hpo.store.studies import study_stages
from hpo.store.trials import stage_curves, stage_trials


def report(study: str | int, *, storage: str | None = None) -> pd.DataFrame:
    """Return every trial of a study as a row.

    Args:
        study: Id or name.
        storage: URL of the database.

    Returns:
        Columns `study, stage, trial, state, value, params_<name>…, steps, seconds, attempt, seed,
        diverged`, in the order of stages and trials. `state` is in Optuna's words; a parameter
        that a trial does not have is missing.

    Raises:
        NotFoundError: There is no such study.
    """
    rows, names = [], []
    with open_study(study, storage) as (engine, found), reading(engine) as connection:
        for stage in study_stages(connection, found):
            names += [name for name in stage.space if name not in names]
            rows += stage_trials(connection, stage)
    params = {
        f"params_{name}": pd.Series([t.params.get(name) for t in rows]).infer_objects()
        for name in names
    }
    return pd.DataFrame(
        {
            "study": pd.Series([found.name] * len(rows), dtype="str"),
            "stage": pd.Series([t.stage for t in rows], dtype="int64"),
            "trial": pd.Series([t.number for t in rows], dtype="int64"),
            "state": pd.Series([str(t.state) for t in rows], dtype="str"),
            "value": pd.Series([t.value for t in rows], dtype="float64"),
            **params,
            "steps": pd.Series([t.steps for t in rows], dtype="int64"),
            "seconds": pd.Series([t.seconds for t in rows], dtype="float64"),
            "attempt": pd.Series([t.attempt for t in rows], dtype="int64"),
            "seed": pd.Series([t.seed for t in rows], dtype="Int64"),
            "diverged": pd.Series([t.diverged for t in rows], dtype="bool"),
        }
    )


def curves(study: str | int, *, storage: str | None = None) -> pd.DataFrame:
    """Return every reported step of a study as a row.

    Args:
        study: Id or name.
        storage: URL of the database.

    Returns:
        Columns `study, stage, trial, attempt, step, seconds`, then the metrics by name; one that
        is called as a column before is `metric_<name>`. Each trial appears with its newest
        attempt.

    Raises:
        NotFoundError: There is no such study.
    """
    head = ["study", "stage", "trial", "attempt", "step", "seconds"]
    rows = []
    metrics: set[str] = set()
    with open_study(study, storage) as (engine, found), reading(engine) as connection:
        for stage in study_stages(connection, found):
            for trial, attempt, step, seconds, values in stage_curves(connection, stage):
                metrics |= set(values)
                place = (found.name, stage.number, trial, attempt, step, seconds)
                rows.append((place, values))
    # `run.report` refuses the names of columns; a database may still hold such a metric.
    names = {metric: _free_name(metric, metrics, head) for metric in sorted(metrics)}
    columns = [*head, *names.values()]
    frame = pd.DataFrame(
        [(*place, *(values.get(metric, math.nan) for metric in names)) for place, values in rows],
        columns=columns,
    )
    return frame.astype(dict.fromkeys(names.values(), "float64"))


def render(frame: pd.DataFrame, form: str) -> bytes:
    """Return a frame as a file's content.

    Args:
        frame: The frame.
        form: "table", "csv", "json" (an array of row objects), "parquet" or "html".

    Raises:
        MissingExtraError: Parquet without pyarrow.
    """
    match form:
        case "table":
            text = frame.to_string(index=False, na_rep="") + "\n"
        case "csv":
            text = frame.to_csv(index=False)
        case "json":
            # pandas would round to 15 decimals, and a weight decay of 1e-7 with it.
            numbers = frame.replace([math.inf, -math.inf], math.nan)  # which JSON has no word for
            rows = numbers.astype(object).where(numbers.notna(), None).to_dict(orient="records")
            text = json.dumps(rows) + "\n"
        case "html":
            text = frame.to_html(index=False, na_rep="")
        case "parquet":
            if find_spec("pyarrow") is None:
                raise MissingExtraError("The parquet format", "parquet")
            return bytes(_of_one_type(frame).to_parquet(index=False))
        case _:
            raise ValueError(form)
    return text.encode()


def _free_name(metric: str, metrics: Collection[str], taken: Collection[str]) -> str:
    """Return the column of a metric: its name, unless the frame has such a column."""
    if metric not in taken:
        return metric
    name = f"metric_{metric}"
    while name in metrics:
        name = f"metric_{name}"
    return name


def _of_one_type(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose mixed columns, as a choice of 1 and "auto", are text."""
    mixed = [
        name
        for name, column in frame.items()
        if column.dtype == object and column.dropna().map(type).nunique() > 1
    ]
    return frame.assign(**{str(n): frame[n].map(str, na_action="ignore") for n in mixed})
