"""The splits of the digits, and of MNIST where it is present."""

import re
from pathlib import Path

import numpy as np
import pytest

from hpo.errors import DataError
from studies import splits
from studies.data import DIGITS, MNIST


def test_digits_has_the_sizes_of_the_design() -> None:
    split = splits.load("digits", validation=0.2)
    x_test, t_test = splits.load_test("digits")

    assert split.x_train.shape == (1150, 64)
    assert split.x_val.shape == (287, 64)
    assert x_test.shape == (360, 64)
    assert (len(split.t_train), len(split.t_val), len(t_test)) == (1150, 287, 360)
    for x in (split.x_train, split.x_val, x_test):
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert x.min() == 0.0
        assert x.max() == 1.0
    for t in (split.t_train, split.t_val, t_test):
        assert t.dtype == np.int64
        assert set(t.tolist()) == set(range(10))


def test_digits_training_and_test_file_are_all_images_once() -> None:
    from sklearn.datasets import load_digits

    pixels, _ = load_digits(return_X_y=True)
    x_train, _ = splits.load_train_and_validation("digits")
    x_test, _ = splits.load_test("digits")

    ours = np.concatenate([x_train, x_test]) * 16
    assert sorted(map(bytes, ours.astype(np.uint8))) == sorted(map(bytes, pixels.astype(np.uint8)))


def test_digits_test_images_are_pinned() -> None:
    # A new scikit-learn or NumPy that deals the images differently would make old and new test
    # accuracies incomparable without a word.
    _, labels = DIGITS.read_test()
    assert labels[:10].tolist() == [5, 7, 6, 5, 7, 0, 5, 3, 4, 5]
    assert splits.describe("digits", None, 0.2)["fingerprint"] == "15d3c3dd28e2a3d5"


def test_validation_comes_first_in_the_order_of_the_split_seed() -> None:
    pixels, labels = DIGITS.read_train(100)
    order = np.random.default_rng(3).permutation(100)

    split = splits.load("digits", samples=100, validation=0.25, split_seed=3)

    np.testing.assert_array_equal(split.x_val * 16, pixels[order[:25]])
    np.testing.assert_array_equal(split.t_val, labels[order[:25]])
    np.testing.assert_array_equal(split.x_train * 16, pixels[order[25:]])
    np.testing.assert_array_equal(split.t_train, labels[order[25:]])


def test_split_depends_on_its_seed_alone() -> None:
    first = splits.load("digits", samples=200, validation=0.2)
    splits._shuffled.cache_clear()
    again = splits.load("digits", samples=200, validation=0.2)
    other = splits.load("digits", samples=200, validation=0.2, split_seed=1)

    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.t_val, other.t_val)


def test_retraining_set_is_validation_then_training() -> None:
    split = splits.load("digits", samples=200, validation=0.2, split_seed=5)
    x, t = splits.load_train_and_validation("digits", samples=200, split_seed=5)

    np.testing.assert_array_equal(x, np.concatenate([split.x_val, split.x_train]))
    np.testing.assert_array_equal(t, np.concatenate([split.t_val, split.t_train]))


def test_data_is_read_once_and_cannot_be_changed() -> None:
    first = splits.load("digits", samples=300, validation=0.2)
    again = splits.load("digits", samples=300, validation=0.5)

    assert np.shares_memory(first.x_train, again.x_train)
    for array in (*first, *splits.load_test("digits"), *splits.load_train_and_validation("digits")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_describe_tells_sizes_and_names_the_split() -> None:
    described = splits.describe("digits", 500, 0.2, split_seed=1)

    fingerprint = described.pop("fingerprint")  # type: ignore[misc]
    assert described == {"train": 400, "validation": 100, "test": 360, "classes": 10}
    assert re.fullmatch("[0-9a-f]{16}", fingerprint)
    assert fingerprint == splits.describe("digits", 500, 0.2, 1)["fingerprint"]
    for other in [(500, 0.2, 2), (499, 0.2, 1), (500, 0.3, 1)]:
        assert fingerprint != splits.describe("digits", *other)["fingerprint"]


@pytest.mark.parametrize("samples", [0, 1, -5, 1438, 100.0, True, "500"])
def test_impossible_samples_are_refused(samples: int) -> None:
    message = f"samples = {samples!r} is not possible: the data set 'digits' allows 2 to 1,437"
    with pytest.raises(DataError, match=re.escape(message)):
        splits.load("digits", samples=samples, validation=0.2)
    with pytest.raises(DataError, match=re.escape(message)):
        splits.load_train_and_validation("digits", samples=samples)
    with pytest.raises(DataError, match=re.escape(message)):
        splits.describe("digits", samples, 0.2)


@pytest.mark.parametrize("validation", [0, 0.0, 1, 1.0, -0.2, 1.5, float("nan"), 0.009, True, "0"])
def test_impossible_validation_is_refused(validation: float) -> None:
    message = (
        f"validation = {validation!r} of 100 images is not possible: it must be a share from "
        f"0.01 (one image) to below 1, or 'held-out'."
    )
    with pytest.raises(DataError, match=re.escape(message)):
        splits.load("digits", samples=100, validation=validation)


@pytest.mark.parametrize("split_seed", [-1, 0.5, None, False])
def test_impossible_split_seed_is_refused(split_seed: int) -> None:
    with pytest.raises(DataError, match=f"split_seed = {split_seed} is not possible"):
        splits.load("digits", validation=0.2, split_seed=split_seed)


def test_unknown_data_set_is_refused() -> None:
    message = "There is no data set 'cifar'. There are: digits, mnist."
    with pytest.raises(DataError, match=re.escape(message)):
        splits.load("cifar", validation=0.2)
    with pytest.raises(DataError, match=re.escape(message)):
        splits.load_test("cifar")


def test_search_reads_no_test_file(
    real_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for file in (MNIST.train_images, MNIST.train_labels):
        (tmp_path / "mnist" / file.name).symlink_to(real_mnist / file.name)

    split = splits.load("mnist", samples=500, validation=0.2)
    described = splits.describe("mnist", 500, 0.2)

    assert split.x_train.shape == (400, 784)
    assert split.x_val.shape == (100, 784)
    fingerprint = described.pop("fingerprint")  # type: ignore[misc]
    assert described == {"train": 400, "validation": 100, "test": 10000, "classes": 10}
    assert fingerprint == "0b28d9f0b47eb346"
    splits._test.cache_clear()
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz of the data set 'mnist' is"):
        splits.load_test("mnist")


def test_held_out_images_end_the_training_file() -> None:
    pixels, labels = DIGITS.read_train(1437)
    order = np.random.default_rng(3).permutation(300)

    split = splits.load("digits", samples=300, validation="held-out", split_seed=3)

    np.testing.assert_array_equal(split.x_train * 16, pixels[order])
    np.testing.assert_array_equal(split.t_train, labels[order])
    np.testing.assert_array_equal(split.x_val * 16, pixels[958:])
    np.testing.assert_array_equal(split.t_val, labels[958:])
    assert len(splits.load("digits", validation="held-out").x_train) == 958


def test_nobody_trains_on_held_out_images() -> None:
    with pytest.raises(DataError, match="allows 2 to 958"):
        splits.load("digits", samples=959, validation="held-out")


def test_a_description_tells_held_out_images_from_a_share() -> None:
    said = splits.describe("digits", 300, "held-out")
    assert (said["train"], said["validation"], said["test"]) == (300, 479, 360)
    others = [splits.describe("digits", 300, 0.2), splits.describe("digits", 300, "held-out", 1)]
    assert said["fingerprint"] not in {other["fingerprint"] for other in others}


def test_mnist_holds_out_its_last_ten_thousand(real_mnist: Path) -> None:
    split = splits.load("mnist", samples=100, validation="held-out")
    _, labels = MNIST.read_train(60_000)
    np.testing.assert_array_equal(split.t_val, labels[50_000:])
