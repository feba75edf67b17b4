"""How the ranges of the next stage follow from the finished trials: a pure function.

`decide` is the seam. The rule behind it is `pad20` (order statistics of the best trials); another
one takes its place behind the same call, and `Decision.rule` says which one spoke. Reading order:
decision (the words), next_space, pad20 (the rule), evidence, ruler, chances (the formulas).
"""

from hpo.narrowing.decision import DEFAULT_RULE, AxisDecision, Decision, Rule, Side
from hpo.narrowing.evidence import edge_warnings, leaning, needed, parameters, usable
from hpo.narrowing.next_space import decide
from hpo.narrowing.ruler import default_limits

__all__ = [
    "DEFAULT_RULE",
    "AxisDecision",
    "Decision",
    "Rule",
    "Side",
    "decide",
    "default_limits",
    "edge_warnings",
    "leaning",
    "needed",
    "parameters",
    "usable",
]
