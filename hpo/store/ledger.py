"""The slot ledger: which slot is run by whom, and how it ended.

A stage of N trials has N rows in `hpo_slots`. Every change of a slot is one transaction together
with the Optuna rows that it concerns, and every write of a worker's result names the attempt that
it belongs to (the fencing token, https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html):
a supervisor that lost its slot can write nothing any more.

    open ──claim──▶ running ──finish──▶ complete | pruned | failed
      ▲              │    ▲
      └release, lose─┘    └─claim, once its owner is dead or its lease is over

The reason of an attempt that did not count stays in `hpo_retries`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, select, update

from hpo import tracebacks
from hpo.errors import SlotTakenOver, StateError
from hpo.store import curve_metrics, distributions, lease, owner, studies, trial_rows
from hpo.store.attempt import Claim, Opening, Outcome, Step
from hpo.store.engine import Patience, reading, unlimited, writing
from hpo.store.optuna_tables import trials
from hpo.store.reconcile import reconcile
from hpo.store.tables import curves, retries, slots, stages
from hpo.store.trials import read_params
from hpo.study import Stage

_OPTUNA_STATE: dict[str, trial_rows.FinishedState] = {
    "complete": "COMPLETE",
    "pruned": "PRUNED",
    "failed": "FAIL",
}


class Ledger:
    """The slots of one stage, as one supervisor works on them.

    Args:
        engine: The database, open for writing.
        stage: The stage.
        metric: Name of the metric that Optuna's tools show as the learning curve.
        patience: Tells how long to wait while another program has the database locked.
    """

    def __init__(
        self,
        engine: Engine,
        stage: Stage,
        metric: str,
        patience: Patience = unlimited,
    ) -> None:
        self._engine = engine
        self._stage = stage
        self._metric = metric
        self._patience = patience
        self._owner = owner.new()
        self._study_id: int | None = None

    def close(self) -> None:
        """Stop owning slots: what is still held is free for others, also in this process."""
        owner.retire(self._owner)

    def next_open(self) -> Opening | None:
        """Return the lowest slot that is open, or whose owner has no claim to it any more.

        Nothing is reserved: parameters are drawn next, which may take long and must not keep
        others from writing; then `claim` tells whether the slot is still to be had.
        """
        with reading(self._engine) as connection:
            row = connection.execute(
                select(slots)
                .where(slots.c.stage_id == self._stage.id, slots.c.state == "open")
                .order_by(slots.c.slot)
                .limit(1)
            ).first()
            held = connection.execute(
                select(slots)
                .where(slots.c.stage_id == self._stage.id, slots.c.state == "running")
                .order_by(slots.c.slot)
            )
            for other in held:
                if row is not None and row.slot < other.slot:
                    break
                if self._forfeited(other):
                    row = other
                    break
            if row is None:
                return None
            return Opening(row.slot, self._drawn_before(connection, row.slot, row.attempt))

    def claim(self, slot: int, drawn: Mapping[str, Any], seed: int) -> Claim | None:
        """Take a slot, with everything that its work needs, in one transaction.

        Args:
            slot: An open slot.
            drawn: Its parameters, unless its setting has been drawn before: two supervisors with
                other evidence may draw differently, and the first to write decides.
            seed: `run.seed`.

        Returns:
            None when another supervisor took the slot meanwhile.

        Raises:
            StateError: The Optuna study of the stage was deleted or has trials of others.
        """
        with self._writing() as connection:
            row = connection.execute(
                select(slots).where(slots.c.stage_id == self._stage.id, slots.c.slot == slot)
            ).one()
            if row.state == "running" and (reason := self._forfeited(row)):
                _retry(connection, row.id, row.attempt, reason, row.owner)
            elif row.state != "open":
                return None
            attempt = row.attempt + 1
            connection.execute(
                update(slots)
                .where(slots.c.id == row.id)
                .values(
                    state="running",
                    attempt=attempt,
                    owner=self._owner,
                    lease=lease.ends(),
                    seed=seed,
                )
            )
            params = self._drawn_before(connection, slot, row.attempt)
            trial_id = self._trial(connection, slot, attempt)
            if params is None:
                params = drawn
            rows = distributions.to_rows(self._stage.space, params)
            trial_rows.insert_params(connection, trial_id, rows)
            return Claim(slot, attempt, row.id, trial_id, params)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Open a write transaction, in which slots and trials agree.

        The dashboard's "rename" gives a study another id, also while it runs.
        """
        with writing(self._engine, self._patience) as connection:
            study_id = studies.optuna_study_of(connection, self._stage)
            if study_id != self._study_id:
                reconcile(connection, self._stage, self._metric)
            yield connection
        self._study_id = study_id

    def _forfeited(self, row: Any) -> str | None:
        """Return why a running slot may be taken from its owner, or None if it may not."""
        return None if row.owner == self._owner else lease.forfeited(row.owner, row.lease)

    def _drawn_before(
        self, connection: Connection, slot: int, attempts: int
    ) -> Mapping[str, Any] | None:
        """Return the parameters of a slot's setting, if they were drawn already."""
        replicates = self._stage.seeds
        if attempts == 0 and replicates == 1:
            return None
        first = slot // replicates * replicates
        ids = connection.scalars(
            select(trials.c.trial_id).where(
                trials.c.study_id == self._optuna_study(connection),
                trials.c.number.between(first, first + replicates - 1),
            )
        )
        return next(iter(read_params(connection, list(ids)).values()), None)

    def _trial(self, connection: Connection, slot: int, attempt: int) -> int:
        """Return the Optuna trial of a slot, made at its first attempt."""
        if attempt > 1:
            trial_id = self._trial_id(connection, slot)
            # The one write that Optuna itself would not do: the lost attempt's curve goes.
            trial_rows.delete_intermediate_values(connection, trial_id)
            return trial_id
        study_id = self._optuna_study(connection)
        added = trial_rows.append_trial(connection, study_id, started=datetime.now(UTC))
        assert added is not None
        trial_id, number = added
        if number != slot:
            raise StateError(
                f"The Optuna study {self._stage.optuna_study} has trials that hpo did not "
                f"make: the next number is {number} instead of {slot}. This stage cannot be "
                "finished; start a new study: hpo start DEFINITION"
            )
        return trial_id

    def _optuna_study(self, connection: Connection) -> int:
        study_id = studies.optuna_study_of(connection, self._stage)
        if study_id is None:
            raise StateError(
                f"The Optuna study {self._stage.optuna_study} of this stage was deleted. "
                "Start a new study: hpo start DEFINITION"
            )
        return study_id

    def _trial_id(self, connection: Connection, slot: int, likely: int | None = None) -> int:
        """Return the Optuna trial of a slot that was begun.

        Asked at every write: the dashboard's "rename" gives a study's trials other ids, and SQLite
        gives the ids of a deleted study to the next one's trials.

        Args:
            connection: In a write transaction.
            slot: The slot.
            likely: The id that the trial had; looking there first saves reading the others.
        """
        study_id = self._optuna_study(connection)
        this = select(trials.c.trial_id).where(
            trials.c.study_id == study_id, trials.c.number == slot
        )
        found: int | None = None
        if likely is not None:
            found = connection.scalar(this.where(trials.c.trial_id == likely))
        if found is None:
            found = connection.scalar(this)
        if found is None:
            raise StateError(
                f"Trial {slot} of the Optuna study {self._stage.optuna_study} was deleted. "
                "Look with: hpo db check"
            )
        return found

    def counted(self) -> int:
        """Return how many slots of the stage are counted, whoever ran them."""
        counted = select(func.count()).where(
            slots.c.stage_id == self._stage.id, slots.c.state.not_in(["open", "running"])
        )
        with reading(self._engine) as connection:
            return connection.scalar(counted) or 0

    def finished(self) -> bool:
        """Return whether all slots are counted, and Optuna's trials agree with them."""
        closed = select(stages.c.finished_at).where(stages.c.id == self._stage.id)
        with reading(self._engine) as connection:
            if connection.scalar(closed) is None:
                return False
        with self._writing() as connection:
            return connection.scalar(closed) is not None

    def beat(self, reports: Iterable[tuple[Claim, Sequence[Step]]]) -> list[Claim]:
        """Extend the leases of running slots, and record what was reported since the last time.

        Returns:
            The slots that are another supervisor's now; nothing was written for them.
        """
        taken = []
        with self._writing() as connection:
            for claim, steps in reports:
                try:
                    self._fence(connection, claim, lease=lease.ends())
                except SlotTakenOver:
                    taken.append(claim)
                    continue
                trial_id = self._trial_id(connection, claim.slot, claim.trial_id)
                self._write_steps(connection, claim, trial_id, steps)
        return taken

    def finish(self, claim: Claim, outcome: Outcome, steps: Sequence[Step]) -> None:
        """Record the end of a trial, with the steps that are not recorded yet.

        Raises:
            SlotTakenOver: The slot is another supervisor's now, or was counted as a person said.
        """
        with self._writing() as connection:
            counted = self._finish(connection, claim, outcome, steps)
        if not counted:
            raise self._told(claim)

    def lose(self, claim: Claim, max_attempts: int, failure: Outcome) -> bool:
        """Record that the worker of an attempt died under a living supervisor.

        Args:
            claim: The attempt.
            max_attempts: How many of a slot's attempts may be lost.
            failure: How the slot ends if this was the last.

        Returns:
            Whether the slot is open again; otherwise it has failed with the reason "lost".

        Raises:
            SlotTakenOver: The slot is another supervisor's now, or was counted as a person said.
        """
        counted = True
        with self._writing() as connection:
            lost_before = connection.scalar(
                select(func.count())
                .select_from(retries)
                .where(retries.c.slot_id == claim.slot_id, retries.c.reason == "lost")
            )
            again = (lost_before or 0) + 1 < max_attempts
            if again:
                self._open(connection, claim, "lost")
            else:
                counted = self._finish(connection, claim, failure, [])
        if not counted:
            raise self._told(claim)
        return again

    def release(self, claims: Iterable[Claim]) -> None:
        """Give slots back that this supervisor will not finish, but for those that others took."""
        with writing(self._engine, self._patience) as connection:
            for claim in claims:
                with suppress(SlotTakenOver):
                    self._open(connection, claim, "cancelled")

    def _open(self, connection: Connection, claim: Claim, reason: str) -> None:
        self._fence(connection, claim, state="open", owner=None, lease=None)
        _retry(connection, claim.slot_id, claim.attempt, reason, self._owner)

    def _finish(
        self, connection: Connection, claim: Claim, outcome: Outcome, steps: Sequence[Step]
    ) -> bool:
        """Count a slot; return False if a person has ended its trial, who then decides."""
        trial_id = self._trial_id(connection, claim.slot, claim.trial_id)
        state = _OPTUNA_STATE[outcome.state]
        now = datetime.now(UTC)
        if not trial_rows.finish_trial(connection, trial_id, state, outcome.value, now):
            reconcile(connection, self._stage, self._metric)
            return False
        self._fence(
            connection,
            claim,
            state=outcome.state,
            owner=None,
            lease=None,
            seconds=outcome.seconds,
            diverged_at=outcome.diverged_at,
            reason=outcome.reason,
            error=outcome.error,
        )
        self._write_steps(connection, claim, trial_id, steps)
        attributes: dict[str, object] = {}  # what a person should see in the dashboard
        if outcome.diverged_at is not None:
            attributes["diverged_at"] = outcome.diverged_at
        if outcome.error is not None:
            attributes["error"] = tracebacks.said(outcome.error)
        elif outcome.reason is not None:
            attributes["error"] = outcome.reason
        trial_rows.set_user_attrs(connection, trial_id, attributes)
        studies.close_if_counted(connection, self._stage)
        return True

    def _told(self, claim: Claim) -> SlotTakenOver:
        return SlotTakenOver(
            f"Trial {claim.slot} of {self._stage.optuna_study} was ended by another program"
        )

    def _fence(self, connection: Connection, claim: Claim, **changes: Any) -> None:
        """Change the slot's row, if this process still holds it."""
        held = connection.execute(
            update(slots)
            .where(
                slots.c.id == claim.slot_id,
                slots.c.state == "running",
                slots.c.attempt == claim.attempt,
                slots.c.owner == self._owner,
            )
            .values(**changes)
        )
        if held.rowcount == 0:
            raise SlotTakenOver(
                f"Trial {claim.slot} of {self._stage.optuna_study} was taken over by another "
                "supervisor; this one writes nothing more to it"
            )

    def _write_steps(
        self, connection: Connection, claim: Claim, trial_id: int, steps: Sequence[Step]
    ) -> None:
        if not steps:
            return
        connection.execute(
            curves.insert(),
            [
                {
                    "slot_id": claim.slot_id,
                    "attempt": claim.attempt,
                    "step": step.step,
                    "seconds": step.seconds,
                    "metrics": curve_metrics.to_json(step.metrics),
                }
                for step in steps
            ],
        )
        shown = {s.step: s.metrics[self._metric] for s in steps if self._metric in s.metrics}
        trial_rows.insert_intermediate_values(connection, trial_id, shown)


def _retry(
    connection: Connection, slot_id: int, attempt: int, reason: str, owner_name: str
) -> None:
    """Write down why an attempt did not count."""
    connection.execute(
        retries.insert().values(
            slot_id=slot_id,
            attempt=attempt,
            reason=reason,
            owner=owner_name,
            ended_at=datetime.now(UTC),
        )
    )
