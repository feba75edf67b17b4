"""No test sees the user's cache; those that want the real MNIST are skipped where it is not."""

import os
from pathlib import Path

import pytest

from studies.data import MNIST

REAL = os.environ.get("HPO_DATA_DIR")


@pytest.fixture(autouse=True)
def no_user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the cache below tmp_path and forget where the real data is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)


@pytest.fixture
def real_mnist(no_user_cache: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let `$HPO_DATA_DIR` be what it was, and return the folder of MNIST in it."""
    if REAL is None or not Path(REAL, "mnist", MNIST.train_images.name).is_file():
        pytest.skip(f"HPO_DATA_DIR names no folder that holds mnist/{MNIST.train_images.name}")
    monkeypatch.setenv("HPO_DATA_DIR", REAL)
    return Path(REAL, "mnist")
