"""Settings that are given: nothing is drawn. `confirm` runs those that a search has found."""

from __future__ import annotations

from typing import Any

from hpo.sampling.request import Request


def suggest(request: Request) -> dict[str, Any]:
    """Return the setting that was given, its parameters in declared order."""
    params = request.given[request.setting]
    return {name: params[name] for name in request.space if name in params}
