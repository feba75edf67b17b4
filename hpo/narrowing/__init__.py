"""How the ranges of the next stage follow from the finished trials: a pure function.

`decide` is the seam, `Decision.rule` says which rule spoke behind it. Reading order: decision (the
words), next_space, posterior (the default rule), optimum, surrogate; book (the other rule);
evidence, failures, ruler.
"""

from hpo.narrowing.decision import (
    BELOW_NOISE,
    DEFAULT_RULE,
    MATTERS,
    NOTHING_LEARNS,
    AxisDecision,
    Decision,
    Rule,
    RuleName,
    Side,
)
from hpo.narrowing.evidence import needed, parameters, usable
from hpo.narrowing.failures import missing
from hpo.narrowing.next_space import decide
from hpo.narrowing.ruler import default_limits

__all__ = [
    "BELOW_NOISE",
    "DEFAULT_RULE",
    "MATTERS",
    "NOTHING_LEARNS",
    "AxisDecision",
    "Decision",
    "Rule",
    "RuleName",
    "Side",
    "decide",
    "default_limits",
    "missing",
    "needed",
    "parameters",
    "usable",
]
