"""Objectives that return and report all sorts of values; a test copies this file."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np

LIMIT = 2**31 - 1
LARGEST = 1.7976931348623157e308


class Odd:
    """Something that can be read as a number."""

    def __float__(self):
        return 0.1


class Broken:
    """Something that looks like a number and is none."""

    def __float__(self):
        raise ArithmeticError("no number today")


NOT_A_SCORE = r"TypeError: the objective returned .* \(\w+\), not a number"
NOT_A_METRIC = r"TypeError: run\.report: other = .* is not a number"
TOO_LARGE = "OverflowError: int.* too large"

# What is given; what a returned one becomes, and a reported one: a number or the end of an error.
VALUES = [
    (0.1, 0.1, 0.1),
    (1, 1.0, 1.0),
    (math.nan, "diverged", math.nan),
    (math.inf, "diverged", "diverged"),
    (-math.inf, "diverged", "diverged"),
    (np.float32("nan"), "diverged", math.nan),
    (LARGEST, LARGEST, LARGEST),
    (-LARGEST, -LARGEST, -LARGEST),
    (5e-324, 5e-324, 5e-324),
    (-2.2250738585072e-308, -2.2250738585072e-308, -2.2250738585072e-308),
    (-0.0, 0.0, -0.0),  # SQLite keeps no sign of a zero; in the curve it is kept
    (2**53 + 1, 2.0**53, 2.0**53),  # as float() rounds it
    (10**400, TOO_LARGE, NOT_A_METRIC),
    (Fraction(1, 3), 1 / 3, 1 / 3),
    (Fraction(10**400), TOO_LARGE, NOT_A_METRIC),
    (np.float16(0.1), float(np.float16(0.1)), float(np.float16(0.1))),
    (np.float32(0.1), float(np.float32(0.1)), float(np.float32(0.1))),
    (np.longdouble("0.1"), 0.1, 0.1),
    (np.int64(2**62 + 1), 2.0**62, 2.0**62),
    (np.uint8(200), 200.0, 200.0),
    # A metric may be anything that is a number to float(); a score says more clearly what it is.
    (True, NOT_A_SCORE, 1.0),
    (np.bool_(True), NOT_A_SCORE, 1.0),
    (np.array(0.1), NOT_A_SCORE, 0.1),
    (Decimal("0.1"), NOT_A_SCORE, 0.1),
    (Odd(), NOT_A_SCORE, 0.1),
    (Decimal("sNaN"), NOT_A_SCORE, NOT_A_METRIC),
    (None, NOT_A_SCORE, NOT_A_METRIC),
    ("3.5", NOT_A_SCORE, NOT_A_METRIC),
    ("nan", NOT_A_SCORE, NOT_A_METRIC),
    (b"3.5", NOT_A_SCORE, NOT_A_METRIC),
    (bytearray(b"3.5"), NOT_A_SCORE, NOT_A_METRIC),
    (np.str_("3.5"), NOT_A_SCORE, NOT_A_METRIC),
    (1j, NOT_A_SCORE, NOT_A_METRIC),
    (np.complex128(1 + 2j), NOT_A_SCORE, NOT_A_METRIC),
    ([0.5], NOT_A_SCORE, NOT_A_METRIC),
    (np.array([1, 2]), NOT_A_SCORE, NOT_A_METRIC),
    (np.datetime64("2020"), NOT_A_SCORE, NOT_A_METRIC),
    (Broken(), NOT_A_SCORE, "ArithmeticError: no number today"),
]

NOT_A_STEP = r"TypeError: run\.report: step .* is not a whole number of 0 or more"
TOO_FAR = rf"ValueError: run\.report: step .* is above {LIMIT}"

STEPS = [
    (0, 0),
    (LIMIT, LIMIT),
    (np.int64(3), 3),
    (np.uint8(255), 255),
    (LIMIT + 1, TOO_FAR),
    (10**400, TOO_FAR),
    (np.uint64(2**63), TOO_FAR),
    (-1, NOT_A_STEP),
    (np.int8(-1), NOT_A_STEP),
    (True, NOT_A_STEP),
    (np.bool_(True), NOT_A_STEP),
    (1.0, NOT_A_STEP),
    (np.float64(1), NOT_A_STEP),
    (math.nan, NOT_A_STEP),
    (np.array(3), NOT_A_STEP),
    ("1", NOT_A_STEP),
    (None, NOT_A_STEP),
]

TAKEN = "ValueError: run.report: a metric cannot be called '.*', a column of every report"
UNPRINTABLE = r"ValueError: run\.report: the name '.*' has characters that cannot be printed"
TWICE = "TypeError: .* got multiple values for argument"

NAMES = [
    ("", None),
    (" ", None),
    ("a b", None),
    ("λ ± ü 漢字 😀", None),
    ("ﬁ", None),  # a ligature, which Python's own names would turn into two letters
    ("x" * 10_000, None),
    ("__class__", None),
    ("a/b", None),
    ("[b]x[/b]", None),
    ("=1+1", None),
    ("'\"; DROP TABLE hpo_curves; --", None),
    ("{0}%s$x", None),
    ("null", None),
    ("value", None),
    ("metrics", None),
    ("study", TAKEN),
    ("stage", TAKEN),
    ("trial", TAKEN),
    ("attempt", TAKEN),
    ("seconds", TAKEN),
    ("step", TWICE),
    ("\0", UNPRINTABLE),
    ("a\nb", UNPRINTABLE),
    ("\x1b[2J", UNPRINTABLE),
    ("\u202e", UNPRINTABLE),
    ("\ud800", UNPRINTABLE),
]


def returning(params, run):
    return VALUES[params["n"]][0]


def reporting(params, run):
    run.report(0, other=VALUES[params["n"]][0])
    return 1.0


def stepping(params, run):
    run.report(STEPS[params["n"]][0], other=0.5)
    return 1.0


def naming(params, run):
    run.report(0, **{NAMES[params["n"]][0]: 0.5})
    return 1.0


def jumping(params, run):
    for step in (5, 3, 9, 0):
        run.report(step, score=step / 10)
    run.report(4, loss=math.nan)


def wide(params, run):
    for step in range(3):
        run.report(step, **{f"metric {n}": n / 7 + step for n in range(params["metrics"])})
    return 1.0


def long(params, run):
    for step in range(params["steps"]):
        run.report(step, score=step / 7)
    return 1.0
