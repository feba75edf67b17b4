"""What all tests share: the size of the fault tests (nightly with `--soak`), and their speed."""

import gc

import pytest
from threadpoolctl import threadpool_limits


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run the fault tests at nightly size (make soak)"
    )


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the fault tests run at nightly size."""
    return bool(request.config.getoption("--soak"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave variants to `make soak`, and begin with the commands of the README.

    Two processes share the files, in their order, and these commands take longest.
    """
    if not config.getoption("--soak"):
        variants = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=variants)
        items[:] = [item for item in items if item not in variants]
    items.sort(key=lambda item: item.path.name != "test_docs.py")


def pytest_collection_finish() -> None:
    """Keep modules and tests out of the garbage collections, which took a fifth of the time.

    And matrix products of this process on one core: the other one has tests of its own.
    """
    gc.collect()
    gc.freeze()
    threadpool_limits(1)
