"""`hpo.Storage` beside Optuna's: its conformance suite, and stock tools on the same file."""

from collections.abc import Callable

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import FrozenTrial, TrialState
from optuna_studies import optimize, record

from hpo.store.optuna_storage import Storage


class ForCache(Storage):
    """What `_CachedStorage` calls of an `RDBStorage` beyond a storage's interface."""

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None) -> FrozenTrial:
        return self.get_trial(self.create_new_trial(study_id, template_trial))

    def _set_trial_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, _: object
    ) -> None:
        self.set_trial_param(trial_id, name, value, distribution)

    def _get_trials(
        self,
        study_id: int,
        states: object,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        return [
            trial
            for trial in self.get_all_trials(study_id, deepcopy=False)
            if trial._trial_id in included_trial_ids or trial._trial_id > trial_id_greater_than
        ]

    def _get_best_trial_id(self, study_id: int, direction: StudyDirection) -> int:
        return self.get_best_trial(study_id)._trial_id


class TestConformance(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        return Storage(url)


class TestConformanceUnderOptunasCache(StorageTestCase):
    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        return _CachedStorage(ForCache(url))  # type: ignore[arg-type]


class TestConformanceWithoutOwnership(StorageTestCase):
    """A pickled storage holds nothing back: every change takes the other path."""

    @pytest.fixture
    def storage(self, url: str) -> BaseStorage:
        class Shared(Storage):
            def create_new_trial(
                self, study_id: int, template_trial: FrozenTrial | None = None
            ) -> int:
                trial_id = super().create_new_trial(study_id, template_trial)
                self._own.clear()
                return trial_id

            def __reduce__(self) -> tuple[type[Storage], tuple[str]]:
                return Storage, (self._url,)

        return Shared(url)


def test_stock_optuna_reads_what_ours_wrote(
    url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    ours = Storage(url)
    optimize(ours)
    assert record(ours) == record(open_stock(url)) == record(Storage(url, read_only=True))


def test_ours_reads_what_stock_optuna_wrote(
    url: str, open_stock: Callable[[str], RDBStorage]
) -> None:
    stock = open_stock(url)
    optimize(stock)
    assert record(stock) == record(Storage(url)) == record(Storage(url, read_only=True))


def test_the_trials_are_those_of_the_storage_in_memory(url: str) -> None:
    studies = []
    for storage in (Storage(url), optuna.storages.InMemoryStorage()):
        study = optuna.create_study(
            storage=storage,
            sampler=optuna.samplers.TPESampler(seed=3, n_startup_trials=20),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
        )

        def prunable(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", 0, 1)
            for step in range(5):
                trial.report(x, step)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return x

        study.optimize(prunable, n_trials=30)
        studies.append([(t.state, t.values, t.params) for t in study.trials])
    assert studies[0] == studies[1]
    assert {state for state, *_ in studies[0]} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_both_write_one_study_in_turns(url: str, open_stock: Callable[[str], RDBStorage]) -> None:
    ours, stock = Storage(url), open_stock(url)
    studies = [
        optuna.create_study(storage=storage, study_name="study", load_if_exists=True)
        for storage in (ours, stock)
    ]
    for study in [*studies, *studies]:
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    assert [trial.number for trial in studies[0].trials] == list(range(8))
    assert record(ours) == record(stock)
