"""What a definition's `test` may do; a test copies this file beside the definition."""

import inspect
import itertools
import math
import os
import sqlite3
import time
from pathlib import Path

import hpo

FOLDER = Path(__file__).parent


def begun(seed):
    # One byte for each call; returns how many calls there were, this one included.
    with open(FOLDER / f"seed-{seed}", "a") as file:
        file.write(".")
    for number in itertools.count(1):
        try:
            open(FOLDER / f"call-{number}", "x").close()
        except FileExistsError:  # of another worker
            continue
        return number


def plain(params, seed):
    begun(seed)
    return {"accuracy": 0.5 + seed % 100 / 1000 + params["bonus"]}


def peeking(params, run):
    # A worker that looks for a way to test from inside of a search.
    frames = inspect.stack()
    setup = next(f.frame.f_locals["setup"] for f in frames if "setup" in f.frame.f_locals)
    if setup.test is None:
        raise RuntimeError("no test")
    return 1.0


def patient(params, seed):
    # The first two seeds end at once, the others when the file `go` is there.
    if begun(seed) > 2:
        while not (FOLDER / "go").exists():
            time.sleep(0.01)
    return {"accuracy": 0.75}


def knowing(params, seed):
    # What a look into the database says while the first seed is tested.
    (known,) = (
        sqlite3.connect(FOLDER / "hpo.db")
        .execute("SELECT count(*) FROM hpo_test_uses WHERE finished_at IS NULL")
        .fetchone()
    )
    return {"accuracy": float(known)}


def diverging(params, seed):
    number = begun(seed)
    if number <= params["lost"]:
        if number == 1:
            raise hpo.Diverged("test_loss is inf")
        return {"accuracy": math.nan}
    return {"accuracy": 0.75}


def regression(params, seed):
    if params.get("lost"):
        raise hpo.Diverged
    return {"rmse": 2.0, "accuracy_within_5": 0.5}


def moody(params, seed):
    # As the file `mood` says.
    mood = (FOLDER / "mood").read_text() if (FOLDER / "mood").exists() else ""
    if mood == "raise":
        raise ValueError("no test data here")
    if mood == "exit":
        raise SystemExit(3)
    if mood == "die":
        os._exit(1)
    return {"accuracy": 0.75}


def fickle(params, seed):
    return {"accuracy": 0.75} if begun(seed) > 1 else {"acc": 0.5}


RETURNS = [
    None,
    0.5,
    {},
    [("accuracy", 0.5)],
    {"accuracy": "high"},
    {"accuracy": True},
    {"accuracy": None},
    {"accuracy": 1j},
    {1: 0.5},
    {"": 0.5},
]


def returning(params, seed):
    return RETURNS[params["which"]]
