"""Objectives that cost next to nothing; a test copies this file beside its definition."""

import math
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import hpo


def hill(params, run):
    """Best at x = 1e-3; the seed adds noise, so that equal curves mean equal seeds."""
    noise = random.Random(run.seed).gauss(0, 0.01)
    score = -((math.log10(params["x"]) + 3) ** 2)
    for epoch in range(params.get("epochs", 3)):
        score += noise
        run.report(epoch, score=score, half=score / 2, gap=math.nan)
        time.sleep(params.get("pause", 0))
    return score


def slope(params, run):
    """Best at the upper edge of x."""
    return math.log10(params["x"])


def late(params, run):
    """The score comes with the last report, which a large x never reaches."""
    for step in range(3):
        run.report(step, train_loss=math.inf if params["x"] > 1e-3 else 0.5)
    run.report(3, train_loss=0.5, score=0.5)
    return 0.5


def flat(params, run):
    """Nothing about x matters."""
    return random.Random(run.seed).random()


def valley(params, run):
    """A loss; lowest at x = 1e-3."""
    loss = (math.log10(params["x"]) + 3) ** 2
    run.report(0, val_loss=loss)
    return loss


def accuracy(params, run):
    """A share of examples: between 0 and 1."""
    run.report(0, val_accuracy=0.5)
    return 1 / (1 + abs(math.log10(params["x"]) + 3))


def rising(params, run):
    """Rise to a score that is best at x = 1e-3; if there is a file `hold`, wait for `go` before.

    Before a second file `answered` can say that `run.report` came back.
    """
    score = 1 - abs(math.log10(params["x"]) + 3) / 4
    epochs = params.get("epochs", 9)
    folder = Path(__file__).parent
    if (folder / "hold").exists():
        (folder / f"holding-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
    for epoch in range(1, epochs + 1):
        time.sleep(params.get("pause", 0))
        try:
            run.report(epoch, score=score * epoch / epochs)
        finally:
            (folder / "answered").touch()
    return score


def stubborn(params, run):
    """Train in a thread of its own, which passes over everything that `run.report` raises."""

    def train():
        for epoch in range(1, 10):
            try:
                run.report(epoch, score=params["x"] * epoch, other=0.5)
            except hpo.Pruned:
                continue

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    return 9 * params["x"]


def forked(params, run):
    """A conditional space: momentum exists only for one optimizer."""
    assert ("momentum" in params) == (params["optimizer"] == "momentum")
    return params.get("momentum", 0.1)


RESULTS = {
    "nan": math.nan,
    "inf": math.inf,
    "none": None,
    "text": "abc",
    "bool": True,
    "whole": 1,
}


def returning(params, run):
    """Return what `give` names, after two honest steps and, if told so, one that is not finite."""
    run.report(1, score=0.5, val_accuracy=0.5)
    run.report(2, score=0.25, val_accuracy=0.25)
    return RESULTS[params["give"]]


def exploding(params, run):
    """Diverge at step 7: in the score, in a loss, or by an infinite metric of any name."""
    run.report(5, score=0.5)
    run.report(6, score=0.75)
    run.report(7, **{params["in"]: float(params["to"])})
    raise AssertionError("report lets nothing through that is not finite")


def reporting(params, run):
    """Report in a way that is not allowed."""
    match params["how"]:
        case "twice":
            run.report(1, score=0.5)
            run.report(1, score=0.5)
        case "negative":
            run.report(-1, score=0.5)
        case "half":
            run.report(0.5, score=0.5)
        case "text":
            run.report(0, score="high")
        case "word":
            run.report("first", score=0.5)
    return 0.5


def leaving(params, run):
    """End the trial without a result."""
    run.report(0, score=0.5)
    match params["how"]:
        case "exit":
            sys.exit("enough")
        case "_exit":
            os._exit(3)
        case "raise":
            raise RuntimeError(f"no luck with [bold]{params['x']:.3g}[/bold]")
        case "interrupt":
            raise KeyboardInterrupt
        case "deep":
            return endless(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(params["how"])


def endless(depth):
    return endless(depth + 1)


def pruning(params, run):
    """Give up after two steps below x = 1e-4, at once below 1e-5."""
    if params["x"] < 1e-5:
        raise hpo.Pruned
    run.report(0, score=0.25)
    run.report(1, score=0.75)
    if params["x"] < 1e-4:
        raise hpo.Pruned
    return 1.0


def unlucky(params, run):
    """Die at the first attempts, as many as `deaths`; leave a mark for each that began."""
    marks = Path(__file__).parent / "marks"
    marks.mkdir(exist_ok=True)
    before = len(list(marks.glob(f"{run.seed}-*")))
    (marks / f"{run.seed}-{before}").touch()
    if before < params["deaths"]:
        run.report(100, score=0.5)
        time.sleep(0.3)  # so that the next report sends both
        run.report(101, score=0.5)
        os._exit(1)
    return hill(params, run)


def patient(params, run):
    """Say where it runs, then go on until the file `go` is there."""
    folder = Path(__file__).parent
    (folder / f"worker-{os.getpid()}").touch()
    for step in range(10_000):
        if (folder / "go").exists():
            break
        run.report(step, score=0.5)
        time.sleep(0.01)
    return hill(params, random_reporter(run))


def random_reporter(run):
    """Return a run of the same seed whose steps come after those that were reported."""

    class Later:
        seed = run.seed

        def report(self, step, **metrics):
            run.report(100_000 + step, **metrics)

    return Later()


def talking(params, run):
    """Print, in every way."""
    print("to stdout with [red]markup[/red]")
    print("to stderr", file=sys.stderr)
    sys.stdout.write("no end of line")
    sys.stdout.flush()
    os.write(1, b"\n\xff bytes\n")
    return 1.0


def describe(fixed):
    """Describe data that the file `data` beside this one may change."""
    data = Path(__file__).parent / "data"
    return {
        "train": 400,
        "validation": 100,
        "test": 50,
        "classes": 10,
        "fingerprint": data.read_text() if data.exists() else "first",
    }


def describe_nothing(fixed):
    """Return no description."""


def describe_half(fixed):
    """Return a description with a part missing."""
    return {"train": 400, "validation": 0, "test": 50, "classes": 10, "fingerprint": ""}


def describe_failing(fixed):
    """Raise what is meant for developers."""
    raise KeyError("samples")


def describe_exiting(fixed):
    """End the process."""
    os._exit(9)


not_a_function = 3


def outlived(params, run):
    """Leave a thread behind that goes on reporting, also while the next trial runs."""

    def go_on():
        for step in range(100, 200):
            time.sleep(0.01)
            try:
                run.report(step, score=99.0)
            except RuntimeError as error:
                Path(f"refused-{run.seed}").write_text(str(error))
                return

    threading.Thread(target=go_on, daemon=True).start()
    run.report(0, score=0.5)
    time.sleep(0.05)
    return 0.5


def fragile(params, run):
    """Better and better to the right, where one seed in two breaks it beyond 1e-3."""
    noise = random.Random(run.seed)
    run.report(0, score=-9.0)
    if params["x"] > 1e-3 and noise.random() < 0.5:
        run.report(1, score=math.nan)
    return math.log10(params["x"]) + noise.gauss(0, 0.01)


def broken_later(params, run):
    """Work until there is a file `broken`, then raise; diverge if it says so."""
    sign = Path(__file__).parent / "broken"
    run.report(0, score=0.5)
    if sign.exists():
        run.report(1, score=math.nan if sign.read_text() == "diverge" else 0.5)
        raise ValueError("broken")
    return math.log10(params["x"])


def bounded(params, run):
    """Better with more momentum, of which there can be no more than 1."""
    if params["momentum"] >= 1:
        raise ValueError(f"momentum {params['momentum']:.3f} is not below 1")
    return params["momentum"]
