"""What storing a trial costs, beside Optuna's own storages.

    python benchmarks/storage.py [--quick] [--json FILE]

The work is the same everywhere: random search over two parameters, fifty reported values, nothing
computed. It goes through `study.optimize` to `hpo.Storage` and to Optuna's own storages, and,
without Optuna, to the slot ledger that `hpo start` writes to.

Each storage has a process of its own, so that none pays for another's memory. They work in turns,
a block of trials each, and a ratio is that of two blocks of one round: a busy neighbour slows down
both. What is shown is the median of all rounds.

Files go to a temporary folder; TMPDIR names another disk.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import optuna
import psutil
from machine import machine
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from rich.console import Console
from rich.table import Table

import hpo
from hpo.definition import parse_definition
from hpo.store import migrations, studies
from hpo.store.attempt import Outcome, Step
from hpo.store.engine import open_engine, writing
from hpo.store.ledger import Ledger

STEPS = 50
BLOCK = 100
LEDGER_BUDGET = 20_000


# The work. A kind of storage is a function that opens one in a folder and returns how to store
# a number of trials there.

Work = Callable[[int], None]


def objective(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", 0.0, 1.0)
    y = trial.suggest_float("y", 1e-6, 1e-2, log=True)
    for step in range(STEPS):
        trial.report(x + step, step)
    return x + y


def study_on(storage: BaseStorage | str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))


def optimize(storage: BaseStorage | str) -> Work:
    study = study_on(storage)
    return lambda trials: study.optimize(objective, n_trials=trials)


def ours(folder: Path) -> Work:
    return optimize(hpo.Storage(f"sqlite:///{folder}/trials.db"))


def ours_full(folder: Path) -> Work:
    return optimize(hpo.Storage(f"sqlite:///{folder}/trials.db", durability="full"))


def ours_asked(folder: Path) -> Work:
    """As a sampler that learns, ask for all trials in every block."""
    study = study_on(hpo.Storage(f"sqlite:///{folder}/trials.db"))

    def work(trials: int) -> None:
        study.optimize(objective, n_trials=trials)
        study.get_trials(deepcopy=False)

    return work


def rdb(folder: Path) -> Work:
    return optimize(RDBStorage(f"sqlite:///{folder}/trials.db"))


def journal(folder: Path) -> Work:
    return optimize(JournalStorage(JournalFileBackend(f"{folder}/trials.log")))


def in_memory(folder: Path) -> Work:
    return optimize(InMemoryStorage())


def ledger(folder: Path) -> Work:
    """Store trials as the supervisor does: claim, beats in the middle, finish."""
    space = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 1e-6, "high": 1e-2, "log": True}}
    definition = parse_definition(
        {
            "objective": "none:none",
            "metric": "score",
            "direction": "minimize",
            "space": space,
            "search": {"trials": LEDGER_BUDGET},
        },
        default_name="storage",
    )
    engine = open_engine(f"sqlite:///{folder}/trials.db", "create")
    migrations.prepare(engine)
    with writing(engine) as connection:
        study = studies.create_study(connection, definition, "storage", None, {})
        stage = studies.create_stage(
            connection,
            study,
            parent=None,
            kind="start",
            space=definition.space,
            evidence=None,
            sampler="random",
            budget=LEDGER_BUDGET,
            seeds=1,
        )
    slots = Ledger(engine, stage, "score")
    draw = random.Random(0)

    def work(trials: int) -> None:
        for _ in range(trials):
            opening = slots.next_open()
            assert opening is not None
            x = draw.random()
            claim = slots.claim(opening.slot, {"x": x, "y": 1e-6 + 9e-3 * x}, seed=opening.slot)
            assert claim is not None
            steps = [Step(step, step / 10, {"score": x + step}) for step in range(STEPS)]
            slots.beat([(claim, steps[: STEPS // 2])])
            slots.finish(claim, Outcome("complete", x, STEPS / 10), steps[STEPS // 2 :])

    return work


KINDS: dict[str, Callable[[Path], Work]] = {
    "hpo.Storage": ours,
    "hpo.Storage, full durability": ours_full,
    "hpo.Storage, asked for all trials": ours_asked,
    "hpo ledger": ledger,
    "RDBStorage": rdb,
    "JournalStorage": journal,
    "InMemoryStorage": in_memory,
}


# Processes that measure


@dataclass(frozen=True)
class Block:
    """Some trials.

    Args:
        trials: Their number.
        wall: Seconds for each.
        cpu: Seconds of CPU for each.
        rss: Memory of the process at their end, in KiB.
    """

    trials: int
    wall: float
    cpu: float
    rss: float


def serve(kind: str, folder: str, pipe: Connection) -> None:
    """Store as many trials as asked, until asked for none."""
    work = KINDS[kind](Path(folder))
    while trials := pipe.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        work(trials)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        gc.collect()
        rss = psutil.Process().memory_info().rss / 1024
        pipe.send(Block(trials, wall / trials, cpu / trials, rss))


Blocks = dict[str, list[Block]]


class Store(Protocol):
    def __call__(self, trials: int) -> Block: ...


@contextmanager
def storage(kind: str) -> Iterator[Store]:
    """Open a storage of a kind, in a new folder and a new process."""
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=serve, args=(kind, folder, theirs), daemon=True)
        process.start()
        theirs.close()  # so that its end ends the waiting for an answer

        def store(trials: int) -> Block:
            pipe.send(trials)
            block: Block = pipe.recv()
            return block

        yield store
        pipe.send(0)
        process.join()


# What is measured


def cost_of_a_trial(rounds: int) -> Blocks:
    """Return one block of each storage in each round."""
    trials = {
        "hpo.Storage": BLOCK,
        "hpo.Storage, full durability": BLOCK,
        "hpo ledger": BLOCK,
        "InMemoryStorage": BLOCK,
        "JournalStorage": BLOCK // 10,
        "RDBStorage": BLOCK // 20,
    }
    blocks: Blocks = {kind: [] for kind in trials}
    with ExitStack() as stack:
        stores = {kind: stack.enter_context(storage(kind)) for kind in trials}
        for kind, store in stores.items():
            store(trials[kind])  # the first imports, and fills caches
        for _ in range(rounds):
            for kind, store in stores.items():
                blocks[kind].append(store(trials[kind]))
    return blocks


def cost_as_a_study_grows(kind: str, late: int, rounds: int) -> Blocks:
    """Return blocks about a late trial of one long study, and about trial 100 of new ones."""
    blocks: Blocks = {"late": [], "early": []}
    with storage(kind) as long:
        long(late - rounds * BLOCK // 2)
        for _ in range(rounds):
            with storage(kind) as new:
                new(BLOCK // 2)
                blocks["early"].append(new(BLOCK))
            blocks["late"].append(long(BLOCK))
    return blocks


def memory(kind: str, trials: int) -> list[Block]:
    """Return twenty blocks of one long study."""
    with storage(kind) as store:
        return [store(trials // 20) for _ in range(20)]


def growth(blocks: Sequence[Block]) -> float:
    """Return how much memory each trial of the second half took, in KiB."""
    middle, *later = blocks[len(blocks) // 2 - 1 :]
    return (later[-1].rss - middle.rss) / sum(block.trials for block in later)


def ratio(some: Sequence[Block], others: Sequence[Block], of: str) -> float:
    """Return the median over all rounds of the ratio within one."""
    pairs = zip(some, others, strict=True)
    return float(statistics.median(getattr(one, of) / getattr(two, of) for one, two in pairs))


# What is shown


@dataclass(frozen=True)
class Result:
    what: str
    measured: float
    target: float

    @property
    def met(self) -> bool:
        return self.measured <= self.target


def shown(number: float) -> str:
    return f"1/{1 / number:.0f}" if 0 < number < 0.1 else f"{number:.2f}"


def cost_table(cost: Blocks) -> Table:
    table = Table(title=f"A trial of 2 parameters and {STEPS} values, stored")
    table.add_column("storage")
    for column in ("ms (median)", "min", "max", "CPU ms", "x in memory", "x RDBStorage"):
        table.add_column(column, justify="right")
    for kind, blocks in cost.items():
        walls = [block.wall * 1000 for block in blocks]
        cpu = statistics.median(block.cpu * 1000 for block in blocks)
        numbers = (statistics.median(walls), min(walls), max(walls), cpu)
        ratios = [ratio(blocks, cost[k], "wall") for k in ("InMemoryStorage", "RDBStorage")]
        table.add_row(kind, *(f"{number:.2f}" for number in numbers), *map(shown, ratios))
    return table


def memory_table(kept: Blocks) -> Table:
    trials = sum(block.trials for block in next(iter(kept.values())))
    table = Table(title=f"Memory of the process over {trials:,} trials")
    table.add_column("storage")
    for column in ("MiB half-way", "MiB at the end", "KiB per 1,000 trials"):
        table.add_column(column, justify="right")
    for kind, blocks in kept.items():
        ends = [f"{block.rss / 1024:.1f}" for block in (blocks[len(blocks) // 2 - 1], blocks[-1])]
        table.add_row(kind, *ends, f"{growth(blocks) * 1000:.0f}")
    return table


def results_of(cost: Blocks, kept: Blocks, grown: dict[str, Blocks], late: int) -> list[Result]:
    """Compare the ratios with what was promised."""

    def time_of(kind: str, other: str) -> float:
        return ratio(cost[kind], cost[other], "wall")

    full = "hpo.Storage, full durability"
    a_trial = growth(kept["InMemoryStorage"])
    return [
        Result("hpo.Storage / RDBStorage", time_of("hpo.Storage", "RDBStorage"), 1 / 100),
        Result("hpo.Storage / in memory", time_of("hpo.Storage", "InMemoryStorage"), 3),
        Result(f"{full} / RDBStorage", time_of(full, "RDBStorage"), 1 / 30),
        *(
            Result(
                f"{kind}: trial {late:,} / trial 100, CPU",
                ratio(blocks["late"], blocks["early"], "cpu"),
                1.2,
            )
            for kind, blocks in grown.items()
        ),
        *(
            Result(f"{kind}: memory per trial / in memory", growth(kept[kind]) / a_trial, target)
            for kind, target in (
                ("hpo.Storage", 0.02),
                ("hpo ledger", 0.02),
                ("hpo.Storage, asked for all trials", 1.1),
            )
        ),
    ]


def results_table(results: Sequence[Result]) -> Table:
    table = Table(title="Targets")
    table.add_column("ratio")
    for column in ("measured", "target", "met"):
        table.add_column(column, justify="right")
    for result in results:
        met = "yes" if result.met else "no"
        table.add_row(result.what, shown(result.measured), f"≤ {shown(result.target)}", met)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description="What storing a trial costs.")
    parser.add_argument("--quick", action="store_true", help="fewer trials; the ratios are coarse")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all raw numbers")
    options = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 110)
    about = machine()
    console.print(", ".join(f"{name} {value}" for name, value in about.items()), highlight=False)

    rounds, late, trials = (5, 1_000, 4_000) if options.quick else (15, 10_000, 20_000)
    cost = cost_of_a_trial(rounds)
    console.print(cost_table(cost))
    kept = {
        kind: memory(kind, trials)
        for kind in (
            "hpo.Storage",
            "hpo.Storage, asked for all trials",
            "hpo ledger",
            "InMemoryStorage",
        )
    }
    console.print(memory_table(kept))
    grown = {k: cost_as_a_study_grows(k, late, rounds) for k in ("hpo.Storage", "hpo ledger")}
    results = results_of(cost, kept, grown, late)
    console.print(results_table(results))

    if options.json:
        answer = {
            "machine": about,
            "results": [{**asdict(result), "met": result.met} for result in results],
            "blocks": {"cost": cost, "memory": kept, "growth": grown},
        }
        options.json.write_text(json.dumps(answer, default=asdict, indent=1))


if __name__ == "__main__":
    main()
