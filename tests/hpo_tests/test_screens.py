"""What a person sees: text of others is shown and never obeyed, and commands can be pasted."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from commands import done, run
from objectives.files import X, place
from processes import HPO, run_hpo

import hpo
from hpo.cli import console, hints, tables, words
from hpo.store.check import check

URL = "sqlite:///my dir[/b]/h.db"

NASTY = """
def train(params, run):
    print("\\x1b[31mred\\x1b[0m run:fire: [b]\\tend\\x1b]0;title\\x07")
    print("10%\\r20%\\x9b2J")
    if params["x"] < 1e-5:
        raise RuntimeError("bad \\x1b[2J luck [/b]")
    return params["x"]
"""


@pytest.fixture(autouse=True)
def _home(home):
    """Every test here has a folder of its own."""


# Text of others


def test_what_an_objective_prints_and_raises_cannot_steer_the_terminal(home):
    place(home, "nasty:train", search={"trials": 20})
    (home / "nasty.py").write_text(NASTY)
    started = done("start", "my.toml")
    shown = done("show", 1)
    for text in (started.stdout, started.stderr, shown.stdout):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)
    assert re.search(r"  trial 0 │ red run:fire: \[b\]\s+end\n", started.stderr)
    assert "  trial 0 │ 20%\n" in started.stderr
    assert r"failed: RuntimeError: bad \x1b[2J luck [/b]" in started.stderr


@pytest.mark.parametrize("name", ["a\\", "[/b]", "run:fire:", "[red]x[/red]"])
def test_a_name_is_printed_as_it_is(home, name):
    choices = [name.replace("\\", "\\\\"), "b"]  # as TOML writes it
    place(home, space={"x": X, "kind": {"choices": choices}}, search={"trials": 30})
    started = done("start", "my.toml", "--name", name)
    assert f"{name} · stage 1 of study 1" in started.stderr
    assert f"kind  {name} | b" in started.stderr
    assert f" · {name} · " in done("show", 1).stdout
    assert f" {name} " in done("list").stdout
    assert done("narrow", 1, "--dry-run").stdout.startswith(f"{name} · narrowing")


def test_an_error_cannot_steer_the_terminal(home):
    path = place(home)
    path.write_text('"k\\u001b[2J" = 1\n' + path.read_text())
    told = run("start", "my.toml").stderr
    assert "\x1b" not in told
    assert r"k\x1b[2J" in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äπ✓ \u00a0\t\n", "plain äπ✓ \u00a0\t\n"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb\x07\x9b", r"a\rb\x07\x9b"),
        ("\u202eevil", r"\u202eevil"),
        ("\udcff", r"\udcff"),
    ],
)
def test_printable(text, shown):
    assert words.printable(text) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Btext\x1b7", "text"),
        ("10%\r20%\r", "20%"),
        ("\tkept \x00\x08tab", "\tkept tab"),
        ("\x9b2Jtext", "text"),
        ("\x1b", ""),
    ],
)
def test_printed(line, shown):
    assert words.printed(line) == shown


def test_the_screens_take_text_as_it_is(capsys):
    console.out.print("[bold]a[/bold] :fire: \x1b[2J")
    assert capsys.readouterr().out == "[bold]a[/bold] :fire: \\x1b[2J\n"


# The next command


@pytest.fixture
def elsewhere(home):
    """A study of 12 trials in a database whose path needs quotes."""
    Path("my dir[/b]").mkdir(parents=True)
    place(home, search={"trials": 12})
    return done("start", "my.toml", "--storage", URL)


def pasted(text):
    """Run the last command that a text names, as a shell would."""
    line = re.findall(r"hpo (?:resume|narrow|show|start) .*", text)[-1]
    return done(*shlex.split(line)[1:])


def test_the_next_command_can_be_pasted(elsewhere):
    assert f"Next: hpo resume 1 --trials 30 --storage '{URL}'\n" in elsewhere.stderr
    assert f"hpo report 1, each with --storage '{URL}'" in elsewhere.stderr
    pasted(elsewhere.stderr.partition("Look: ")[0])
    assert hpo.show(1, storage=URL).stages[0].budget == 30


def test_the_command_in_an_error_can_be_pasted(elsewhere):
    refused = run("narrow", 1, "--storage", URL)
    assert refused.exit_code == 1
    assert f"Run: hpo resume --storage '{URL}' 1 --trials 30\n" in refused.stderr
    pasted(refused.stderr)
    assert hpo.show(1, storage=URL).stages[0].budget == 30


def test_every_form_of_the_url_is_passed_on(home):
    url = f"sqlite+pysqlite:///{home}/here.db"
    place(home, search={"trials": 12})
    started = done("start", "my.toml", "--storage", url)
    pasted(started.stderr.partition("Look: ")[0])
    assert hpo.show(1, storage=url).stages[0].budget == 30


@pytest.mark.parametrize("name", ["two words", "-x", "hpo resume", 'it\'s "hpo list"'])
def test_a_name_that_is_taken(home, name):
    url = "sqlite:///here.db"
    path = place(home, search={"trials": 2})
    hpo.start(path, trials=1, storage=url)
    for _ in range(2):
        again = run("start", "my.toml", f"--name={name}", "--storage", url)
    assert again.stderr == (
        f"Error: there is a study called {name!r} already. "
        f"Go on with it: hpo resume --storage {url} 2   or choose another --name\n"
    )
    done("resume", "--storage", url, 2)


def test_commands_in_a_sentence_are_completed():
    url = "sqlite:///a b.db"
    given = f" --storage '{url}'"
    for sentence, told in {
        "Run: hpo resume 1": f"Run: hpo resume{given} 1",
        "Look with: hpo db check": f"Look with: hpo db check{given}",
        "hpo start or hpo list": f"hpo start{given} or hpo list{given}",
        "Fetch it with: hpo data fetch mnist": "Fetch it with: hpo data fetch mnist",
        "hpo.db is a database of hpo (yes)": "hpo.db is a database of hpo (yes)",
        "the study's end: hpo show 'x'": f"the study's end: hpo show{given} 'x'",
        r"'a \' hpo list': hpo list": rf"'a \' hpo list': hpo list{given}",
    }.items():
        assert hints.completed(sentence, url) == told
        assert hints.completed(sentence, None) == sentence


def test_the_default_database_needs_no_option(monkeypatch):
    assert hints.suffix("sqlite:///hpo.db") == ""
    for refused in ("postgresql://me:secret@host/db", "sqlite:///a?key=secret", "hpo.db"):
        assert hints.suffix(refused) == ""
    monkeypatch.setenv("HPO_STORAGE", "sqlite:///other.db")
    assert hints.suffix(None) == hints.suffix("sqlite:///other.db") == ""
    assert hints.suffix("sqlite:///hpo.db") == " --storage sqlite:///hpo.db"


# show


def test_show_lists_failures(home):
    place(home, "leaving", fixed={"how": "raise"}, search={"trials": 5})
    run("start", "my.toml")
    shown = done("show", 1).stdout
    assert shown.endswith(
        "\nstage 1, 5 of 5 trials failed:\n"
        "  5 trials (0, 1, 2, 3, 4): RuntimeError: no luck with [bold]…[/bold]\n\n"
        "The whole traceback of trial 1/0: hpo show 1 --debug\n"
    )
    whole = done("show", 1, "--debug").stdout
    assert "stage 1, trial 0:\nTraceback (most recent call last):\n" in whole
    assert 'tiny.py", line ' in whole


def test_show_says_that_a_worker_died(home):
    place(home, "leaving", fixed={"how": "_exit"}, search={"trials": 1, "max_attempts": 2})
    run("start", "my.toml")
    shown = done("show", 1).stdout
    assert "stage 1, 1 attempt that did not count: 1 lost (the worker died)\n" in shown
    assert "  trial 0: its worker died 2 times (exit code 3)\n" in shown
    assert "Traceback" not in done("show", 1, "--debug").stdout


def test_a_study_without_failures_has_none(home):
    place(home, search={"trials": 1})
    done("start", "my.toml")
    assert "fail" not in done("show", 1).stdout


def test_a_narrow_terminal_keeps_the_bars_whole(home, monkeypatch, capsys):
    place(home, search={"trials": 30})
    done("start", "my.toml")
    done("narrow", 1, "--trials", 3)
    for width in (100, 60, 40):
        monkeypatch.setattr(type(console.out), "is_terminal", True)
        monkeypatch.setattr(type(console.out), "width", width)
        tables.study(hpo.show(1))
        shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out)
        assert len(re.findall(r"1e-06 [·░█▓]{10} 1e-02", shown)) == 1


def bars_of(shown):
    """Return the bars of a screen, and what it says of their signs."""
    legend = next((line for line in shown.splitlines() if line.startswith("░ range")), None)
    return re.findall(r"[·░█▓]{10}", shown), legend


def test_show_marks_where_the_optimum_can_be_once_a_stage_followed(home):
    place(home, "slope", search={"trials": 30})
    done("start", "my.toml")
    (bar,), legend = bars_of(done("show", 1).stdout)
    assert re.fullmatch(r"░+▓+", bar)
    assert legend == "░ range   ▓ where its five best lie"
    done("narrow", 1)
    (first, second), legend = bars_of(done("show", 1).stdout)
    assert first == "░░░░░░█···", "the upper edge"
    assert re.fullmatch(r"··+░*▓+", second)
    assert legend == (
        "░ range   █ where the optimum can be   ▓ where its five best lie   "
        "· outside, another stage's range"
    )
    (old, new), legend = bars_of(done("narrow", 1, "--dry-run", "--from-stage", 1).stdout)
    assert (old, new) == (first, second.replace("▓", "░"))
    assert legend == "░ range   █ where the optimum can be   · outside, another stage's range"


def test_the_newest_of_several_branches_is_shown(home):
    place(home, "hill", search={"trials": 30})
    done("start", "my.toml")
    done("narrow", 1, "--trials", 2)
    low, high = hpo.show(1).last.evidence["axes"]["x"]["numbers"]["hull"]
    assert 1e-6 < low < 1e-3 < high < 1e-2
    (first, _), _ = bars_of(done("show", 1).stdout)
    assert re.fullmatch(r"░+█+░+", first)
    # Ranges set by hand say nothing about the optimum, and do not hide what was known.
    done("narrow", 1, "--from-stage", 1, "--range", "x=1e-5:1e-2", "--trials", 2)
    assert bars_of(done("show", 1).stdout)[0][0] == first


def test_the_book_knows_the_best_five_only(home):
    place(home, "hill", search={"trials": 30})
    done("start", "my.toml")
    (five,), _ = bars_of(done("show", 1).stdout)
    dry, legend = bars_of(done("narrow", 1, "--dry-run", "--rule", "book").stdout)
    assert dry[0] == five
    assert legend == "░ range   ▓ where the best lie   · outside, another stage's range"
    done("narrow", 1, "--rule", "book")
    bars, legend = bars_of(done("show", 1).stdout)
    assert bars[0] == five
    assert "█" not in legend


def test_choices_alone_need_no_legend(home):
    space = {"optimizer": {"choices": ["sgd", "a░█"]}}
    place(home, "forked", space=space, search={"trials": 2})
    done("start", "my.toml")
    assert bars_of(done("show", 1).stdout) == ([], None)


# Streams


def test_a_terminal_of_ascii_gets_ascii(home):
    place(home, search={"trials": 2})
    done("start", "my.toml", "--name", "größe")
    shown = run_hpo("show", 1, environment={"PYTHONIOENCODING": "ascii"})
    assert (shown.returncode, shown.stderr) == (0, "")
    assert r" gr\xf6\xdfe " in shown.stdout
    assert r"1e-06 \u2591" in shown.stdout


@pytest.mark.parametrize(
    ("command", "closed", "code", "printed"),
    [
        ("start my.toml", "<&- >&- 2>&-", 0, ""),
        ("list", "2>&-", 0, "id   name"),
        ("list", ">&-", 0, ""),
        ("show 9", "2>&-", 1, ""),
    ],
)
def test_closed_streams(home, command, closed, code, printed):
    hpo.start(place(home, search={"trials": 2}))
    line = f"{shlex.quote(str(HPO))} {command} {closed}"
    ended = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (code, "")
    assert ended.stdout[: len("id   name")] == printed
    assert check("sqlite:///hpo.db") == []


# Several stages


def test_stages_of_which_one_fails_too_often(home):
    place(home, "some:train", search={"trials": 30})
    (home / "some.py").write_text(
        "def train(params, run):\n    assert run.seed % 4\n    return params['x']\n"
    )
    started = done("start", "my.toml", "--stages", 2)
    assert started.stdout.startswith("Best five\n")
    lost = sum(trial.value is None for trial in hpo.show(1).trials[0])
    assert 0 < lost < 25
    assert started.stderr.endswith(
        f"No new stage: stage 1 has 30 counted trials, {30 - lost} with a value; narrowing 1 "
        f"parameter needs 30. Run: hpo resume 1 --trials {30 + lost}\n"
        "Look at what there is: hpo show 1\n"
    )


# narrow


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Next sampler: tpe (the range shrank), 30 trials."),
        (["--trials", 5], "Next sampler: tpe (the range shrank), 5 trials."),
        (["--sampler", "qmc"], "Next sampler: qmc (as asked), 30 trials."),
        (["--range", "x=1e-8:1e-2"], "Next sampler: random (the range grew), 30 trials."),
    ],
)
def test_what_narrow_says_of_the_next_stage(home, arguments, sentence):
    place(home, search={"trials": 30})
    done("start", "my.toml")
    shown = done("narrow", 1, "--dry-run", *arguments).stdout
    assert sentence in shown
    assert ("carried over" in shown) is ("Next sampler: tpe" in shown)
    assert hpo.show(1).stages[0].number == len(hpo.show(1).stages)


def test_another_sampler_on_the_same_ranges(home):
    place(home, search={"trials": 60, "seeds": 2})
    done("start", "my.toml")
    assert "No stage is made: another stage" in done("narrow", 1, "--dry-run").stdout
    shown = done("narrow", 1, "--dry-run", "--sampler", "qmc").stdout
    assert "Next sampler: qmc (as asked)" in shown
    assert "No stage is made" not in shown


def test_the_same_ranges_with_another_sampler(home):
    place(home, "flat", search={"trials": 30})
    done("start", "my.toml")
    shown = done("narrow", 1, "--dry-run").stdout
    assert "30 trials lie inside the next ranges and are carried over.\n" in shown
    assert "Next sampler: tpe (the ranges stay), 30 trials.\n" in shown


# Limits of the options


@pytest.mark.parametrize("words_", [["start"], ["narrow", "1"], ["resume", "1"]])
def test_a_million_trials_at_most(words_):
    refused = run(*words_, "--trials", 1_000_001)
    assert refused.exit_code == 2
    assert "a stage has at most 1,000,000 trials, not 1,000,001." in refused.stderr


def test_a_range_of_hundreds_of_digits():
    refused = run("narrow", 1, "--range", f"x=0:1{'0' * 400}")
    assert refused.exit_code == 2
    assert "is not two numbers" in refused.stderr


def test_the_real_command_in_a_pipe_prints_no_escapes(home):
    place(home, "nasty:train", search={"trials": 3})
    (home / "nasty.py").write_text(NASTY)
    started = run_hpo("start", "my.toml", "--json")
    assert json.loads(started.stdout)["study"]["name"] == "my"
    assert "\x1b" not in started.stderr
