"""The data sets: the digits as scikit-learn has them, where MNIST is looked for, MNIST itself."""

import gzip
import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import DataError
from studies import data, splits
from studies.data import DIGITS, MNIST

# The digits -----------------------------------------------------------------------------------


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = data._sklearn_digits()
    expected_pixels, expected_labels = load_digits(return_X_y=True)

    np.testing.assert_array_equal(pixels, expected_pixels)
    np.testing.assert_array_equal(labels, expected_labels)


def test_a_worker_does_not_import_scikit_learn() -> None:
    code = (
        "import sys; from studies import mlp; mlp.describe({'data': 'digits'});"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PACKED = gzip.compress(b"0,1,2\n3,4,5\n")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"0,1,2", "cannot be read (Not a gzipped file (b'0,'))"),
        (PACKED[:15], "is damaged (Compressed file ended before the end-of-stream marker"),
        (gzip.compress(b"0,1,x"), "is damaged (could not convert string 'x' to uint8"),
        (PACKED, "holds 2 × 3 numbers; expected are 1797 × 65"),
    ],
    # Names of its own: the packed bytes hold the second at which they were packed.
    ids=["absent", "not packed", "cut off", "no number", "another shape"],
)
def test_missing_or_damaged_digits_are_named(
    content: bytes | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "datasets" / "data" / "digits.csv.gz"
    if content is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    package = importlib.machinery.ModuleSpec("sklearn", None, is_package=True)
    package.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)

    with pytest.raises(DataError) as caught:
        data._sklearn_digits()

    assert str(caught.value).startswith(f"the data set 'digits' is not here: {path} {problem}")
    assert str(caught.value).endswith(
        ". Install it again with: pip install --force-reinstall scikit-learn"
    )


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="scikit-learn, which carries it, is not installed"):
        data._sklearn_digits()


def test_digits_has_nothing_to_fetch() -> None:
    assert DIGITS.status() == "built in"
    assert "nothing to fetch" in DIGITS.fetch()
    assert "\n" not in DIGITS.summary + MNIST.summary


# Where MNIST is looked for --------------------------------------------------------------------


def test_missing_mnist_names_both_places_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DataError) as caught:
        splits.describe("mnist", 500, 0.2)
    assert str(caught.value) == (
        "the data set 'mnist' is not here. "
        "Looked in $HPO_DATA_DIR (unset) and ~/.cache/hpo/mnist.\n"
        "Fetch it with: hpo data fetch mnist      or point HPO_DATA_DIR at a folder that holds "
        "mnist/train-images-idx3-ubyte.gz …"
    )
    assert MNIST.status() == "not here – fetch it with: hpo data fetch mnist"


def test_missing_mnist_tells_the_folder_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "elsewhere"))
    place = re.escape(f"Looked in $HPO_DATA_DIR ({tmp_path / 'elsewhere'}) and ")
    with pytest.raises(DataError, match=place):
        MNIST.read_train(5)
    with pytest.raises(DataError, match=place):
        MNIST.read_test()


# The real MNIST -------------------------------------------------------------------------------


def test_real_mnist_passes_its_checksums_and_looks_like_mnist(real_mnist: Path) -> None:
    pixels, labels = MNIST.read_train(60000)  # an empty memory: this checks the checksum

    assert labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert pixels.shape == (60000, 784)
    assert pixels.mean() / 255 == pytest.approx(0.13066, abs=5e-6)
    assert pixels.std() / 255 == pytest.approx(0.30811, abs=5e-6)
    test_pixels, test_labels = MNIST.read_test()
    assert test_pixels.shape == (10000, 784)
    assert np.bincount(test_labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    assert MNIST.status() == f"here: {real_mnist}"
    assert "(0 of 4 files fetched)" in MNIST.fetch("http://127.0.0.1:9/never-asked")
