"""Optuna's side of the store: `hpo.Storage`, for any program that speaks Optuna."""

from hpo.store.optuna_storage.storage import Storage

__all__ = ["Storage"]
