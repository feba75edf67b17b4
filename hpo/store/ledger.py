"""The slot ledger: which slot is run by whom, and how it ended.

A stage of N trials has N rows in `hpo_slots`. Every change of a slot is one transaction together
with the Optuna rows that it concerns, and every write of a worker's result names the attempt that
it belongs to (the fencing token): a supervisor that lost its slot can write nothing any more.

    open ──claim──▶ running ──finish──▶ complete | pruned | failed
      ▲                │
      └─release, lose──┘
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, select, update

from hpo.errors import SlotTakenOver, StateError
from hpo.store import distributions, owner, trial_rows
from hpo.store.engine import reading, writing
from hpo.store.optuna_tables import trials
from hpo.store.studies import STAGE_ATTR
from hpo.store.tables import curves, slots, stages
from hpo.store.trials import read_params
from hpo.study import Stage


@dataclass(frozen=True)
class Claim:
    """A slot that this process runs.

    Args:
        slot: Its number in the stage; also the number of its trial.
        attempt: The fencing token.
        slot_id: Its row in `hpo_slots`.
        trial_id: Its row in Optuna's `trials` when it was claimed.
        params: The parameters, if an earlier attempt has drawn them.
    """

    slot: int
    attempt: int
    slot_id: int
    trial_id: int
    params: Mapping[str, Any] | None


@dataclass(frozen=True)
class Step:
    """What the objective reported at one step.

    Args:
        step: Epoch, iteration or layer.
        seconds: Time since the attempt began.
        metrics: Floats by name; they may be NaN or infinite.
    """

    step: int
    seconds: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Args:
        state: The state that the slot takes.
        value: The score; None for a failure.
        seconds: Duration of the attempt.
        diverged_at: Step at which training stopped being finite.
        reason: Why it failed.
        error: Traceback of the objective's exception.
    """

    state: Literal["complete", "pruned", "failed"]
    value: float | None
    seconds: float
    diverged_at: int | None = None
    reason: str | None = None
    error: str | None = None


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
    """

    def __init__(self, engine: Engine, stage: Stage, metric: str) -> None:
        self._engine = engine
        self._stage = stage
        self._metric = metric
        self._owner = owner.new()

    def close(self) -> None:
        """Stop owning slots: what is still held is free for others, also in this process."""
        owner.retire(self._owner)

    def recover(self) -> int:
        """Open the slots again whose supervisor has died on this host.

        Returns:
            Their number.
        """
        with writing(self._engine) as connection:
            held = connection.execute(
                select(slots.c.id, slots.c.owner).where(
                    slots.c.stage_id == self._stage.id, slots.c.state == "running"
                )
            ).all()
            dead = [row.id for row in held if not owner.alive(row.owner)]
            for slot_id in dead:
                _open(connection, slot_id)
            return len(dead)

    def claim(self) -> Claim | None:
        """Take the lowest open slot.

        Returns:
            None when no slot is open.

        Raises:
            StateError: The Optuna study of the stage was deleted or has trials of others.
        """
        lowest = (
            select(slots)
            .where(slots.c.stage_id == self._stage.id, slots.c.state == "open")
            .order_by(slots.c.slot)
            .limit(1)
        )
        with reading(self._engine) as connection:  # asked often: takes no lock from a writer
            if connection.execute(lowest).first() is None:
                return None
        with writing(self._engine) as connection:
            row = connection.execute(lowest).first()
            if row is None:
                return None
            attempt = row.attempt + 1
            connection.execute(
                update(slots)
                .where(slots.c.id == row.id)
                .values(state="running", attempt=attempt, owner=self._owner)
            )
            trial_id, params = self._trial(connection, row.slot, attempt)
            return Claim(row.slot, attempt, row.id, trial_id, params)

    def _trial(
        self, connection: Connection, slot: int, attempt: int
    ) -> tuple[int, Mapping[str, Any] | None]:
        """Return the Optuna trial of a slot, made at its first attempt."""
        study_id = self._optuna_study(connection)
        if attempt == 1:
            added = trial_rows.append_trial(connection, study_id, started=datetime.now(UTC))
            assert added is not None
            trial_id, number = added
            if number != slot:
                raise StateError(
                    f"The Optuna study {self._stage.optuna_study} has trials that hpo did not "
                    f"make: the next number is {number} instead of {slot}. This stage cannot be "
                    "finished; start a new study: hpo start"
                )
            return trial_id, None
        trial_id = self._trial_id(connection, slot)
        # The one write that Optuna itself would not do: the lost attempt's curve goes.
        trial_rows.delete_intermediate_values(connection, trial_id)
        return trial_id, read_params(connection, [trial_id]).get(trial_id)

    def _optuna_study(self, connection: Connection) -> int:
        study_id = trial_rows.find_study_by_user_attr(connection, STAGE_ATTR, self._stage.uuid)
        if study_id is None:
            raise StateError(
                f"The Optuna study {self._stage.optuna_study} of this stage was deleted. "
                "Start a new study: hpo start"
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

    def sampled(self, claim: Claim, drawn: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
        """Record the parameters of a trial before its work begins.

        Args:
            claim: The slot.
            drawn: Its parameters.
            seed: `run.seed`.

        Returns:
            The recorded parameters: another replicate's, if the setting has been drawn before.

        Raises:
            SlotTakenOver: The slot is another supervisor's now.
        """
        with writing(self._engine) as connection:
            self._fence(connection, claim, seed=seed)
            trial_id = self._trial_id(connection, claim.slot, claim.trial_id)
            params = self._params_of_setting(connection, claim.slot) or drawn
            rows = distributions.to_rows(self._stage.space, params)
            trial_rows.insert_params(connection, trial_id, rows)
            return params

    def _params_of_setting(self, connection: Connection, slot: int) -> Mapping[str, Any] | None:
        """Return what another replicate of the slot's setting has drawn, if one has.

        Two supervisors with other evidence may draw differently; the first to write decides.
        """
        replicates = self._stage.seeds
        if replicates == 1:
            return None
        first = slot // replicates * replicates
        ids = connection.scalars(
            select(trials.c.trial_id).where(
                trials.c.study_id == self._optuna_study(connection),
                trials.c.number.between(first, first + replicates - 1),
            )
        )
        return next(iter(read_params(connection, list(ids)).values()), None)

    def record(self, claim: Claim, steps: Sequence[Step]) -> None:
        """Record reported steps.

        Raises:
            SlotTakenOver: The slot is another supervisor's now.
        """
        if steps:
            with writing(self._engine) as connection:
                self._fence(connection, claim)
                trial_id = self._trial_id(connection, claim.slot, claim.trial_id)
                self._write_steps(connection, claim, trial_id, steps)

    def finish(self, claim: Claim, outcome: Outcome, steps: Sequence[Step]) -> None:
        """Record the end of a trial, with the steps that are not recorded yet.

        Raises:
            SlotTakenOver: The slot is another supervisor's now.
        """
        with writing(self._engine) as connection:
            self._finish(connection, claim, outcome, steps)

    def lose(self, claim: Claim, max_attempts: int, seconds: float) -> bool:
        """Record that the worker of an attempt died under a living supervisor.

        Returns:
            Whether the slot is open again; otherwise it has failed with the reason "lost".
        """
        with writing(self._engine) as connection:
            losses: int = self._fence(connection, claim).losses + 1
            again = losses < max_attempts
            if not again:
                self._finish(connection, claim, Outcome("failed", None, seconds, reason="lost"), [])
            connection.execute(
                update(slots).where(slots.c.id == claim.slot_id).values(losses=losses)
            )
            if again:
                _open(connection, claim.slot_id)
            return again

    def release(self, claim: Claim) -> None:
        """Give a slot back that will not be finished by this supervisor."""
        with writing(self._engine) as connection:
            self._fence(connection, claim)
            _open(connection, claim.slot_id)

    def _finish(
        self, connection: Connection, claim: Claim, outcome: Outcome, steps: Sequence[Step]
    ) -> None:
        now = datetime.now(UTC)
        self._fence(
            connection,
            claim,
            state=outcome.state,
            owner=None,
            seconds=outcome.seconds,
            diverged_at=outcome.diverged_at,
            reason=outcome.reason,
            error=outcome.error,
        )
        trial_id = self._trial_id(connection, claim.slot, claim.trial_id)
        self._write_steps(connection, claim, trial_id, steps)
        attributes: dict[str, object] = {}  # what a person should see in the dashboard
        if outcome.diverged_at is not None:
            attributes["diverged_at"] = outcome.diverged_at
        if outcome.error is not None:
            attributes["error"] = outcome.error.strip().splitlines()[-1]
        elif outcome.reason is not None:
            attributes["error"] = outcome.reason
        trial_rows.set_user_attrs(connection, trial_id, attributes)
        state = _OPTUNA_STATE[outcome.state]
        if not trial_rows.finish_trial(connection, trial_id, state, outcome.value, now):
            raise StateError(
                f"Trial {claim.slot} of {self._stage.optuna_study} was finished by another "
                "program. Look with: hpo db check"
            )
        self._close_stage(connection, now)

    def _fence(self, connection: Connection, claim: Claim, **changes: Any) -> Any:
        """Change the slot's row, if this process still holds it, and return it as it was."""
        held = (
            slots.c.id == claim.slot_id,
            slots.c.state == "running",
            slots.c.attempt == claim.attempt,
            slots.c.owner == self._owner,
        )
        row = connection.execute(select(slots).where(*held)).first()
        if row is None:
            raise SlotTakenOver(
                f"Trial {claim.slot} of {self._stage.optuna_study} was taken over by another "
                "supervisor; this one writes nothing more to it"
            )
        if changes:
            connection.execute(update(slots).where(*held).values(**changes))
        return row

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
                    # JSON has no NaN: what is not a number is stored as null.
                    "metrics": {
                        name: value if math.isfinite(value) else None
                        for name, value in step.metrics.items()
                    },
                }
                for step in steps
            ],
        )
        shown = {s.step: s.metrics[self._metric] for s in steps if self._metric in s.metrics}
        trial_rows.insert_intermediate_values(connection, trial_id, shown)

    def _close_stage(self, connection: Connection, now: datetime) -> None:
        left = connection.scalar(
            select(slots.c.id)
            .where(slots.c.stage_id == self._stage.id, slots.c.state.in_(["open", "running"]))
            .limit(1)
        )
        if left is None:
            connection.execute(
                update(stages).where(stages.c.id == self._stage.id).values(finished_at=now)
            )


def _open(connection: Connection, slot_id: int) -> None:
    connection.execute(
        update(slots).where(slots.c.id == slot_id).values(state="open", owner=None, seed=None)
    )
