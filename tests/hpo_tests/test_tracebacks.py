"""The one line of a traceback that a person reads first."""

import traceback

import pytest

from hpo import tracebacks


def noted():
    error = ValueError("the reason")
    error.add_note("a note")
    raise error


def caused():
    try:
        raise KeyError("first")
    except KeyError as error:
        raise ExceptionGroup("second\nof two lines", [ValueError("part")]) from error


def handled():
    try:
        raise ExceptionGroup("first", [ValueError("part")])
    except ExceptionGroup:
        raise KeyError("second")  # noqa: B904  # with both in its traceback


def nested():
    try:
        raise ExceptionGroup("inner", [ValueError("part")])  # so that it has frames of its own
    except ExceptionGroup as part:
        raise ExceptionGroup("outer", [part]) from None


def raising(error):
    def raise_():
        raise error

    return raise_


def endless():
    endless()


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (raising(ValueError("plain")), "ValueError: plain"),
        (raising(ValueError()), "ValueError"),
        (raising(ValueError("bad\nDetails: see log\n  indented")), "ValueError: bad"),
        (
            raising(ExceptionGroup("many", [KeyError("b")])),
            "ExceptionGroup: many (1 sub-exception)",
        ),
        (caused, "ExceptionGroup: second"),
        (nested, "ExceptionGroup: outer (1 sub-exception)"),
        (handled, "KeyError: 'second'"),
        (noted, "ValueError: the reason"),
        (endless, "RecursionError: maximum recursion depth exceeded"),
        (lambda: compile("a b", "file", "exec"), "SyntaxError: invalid syntax"),
    ],
)
def test_the_line_names_the_exception(fail, line):
    with pytest.raises(BaseException) as caught:  # noqa: PT011  # whatever it is
        fail()
    stored = "".join(traceback.format_exception(caught.value))
    assert tracebacks.said(stored) == line


def test_a_long_line_is_cut():
    head = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n'
    assert tracebacks.said(f"{head}ValueError: {'é' * 288}\n") == f"ValueError: {'é' * 288}"
    assert tracebacks.said(f"{head}ValueError: {'é' * 289}\n") == f"ValueError: {'é' * 287}…"


def test_a_traceback_whose_middle_was_left_out():
    stored = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    f(\n  …\nnd)\n'
    stored += '  File "a.py", line 2, in g\n    raise\nOSError: gone\nfor good\n'
    assert tracebacks.said(stored) == "OSError: gone"


@pytest.mark.parametrize("text", ["killed", "  killed\n", "killed\nby hand"])
def test_text_that_is_no_traceback(text):
    assert tracebacks.said(text) == "killed"
