"""The size of the fault tests: small by default, nightly with `--soak`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run the fault tests at nightly size (make soak)"
    )


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the fault tests run at nightly size."""
    return bool(request.config.getoption("--soak"))
