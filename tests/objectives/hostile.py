"""One trial of six misbehaves; a test copies this file beside its definition."""

import ctypes
import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

HOSTILE = 1
"""The trial that misbehaves; four healthy ones come after it."""

FOLDER = Path(__file__).parent

KEPT = []
"""What outlives the trial."""


def train(params, run):
    """Do what `act` names in one of the trials, and in all of them what is right."""
    if params["n"] == HOSTILE:
        with (FOLDER / "acted").open("a") as file:
            file.write("x")
        globals()[params["act"]](run)
    draw = random.Random(run.seed).random
    for step in range(3):
        run.report(step, score=draw(), other=draw() / 3)
    print("printed by", params["n"])
    return params["n"] + draw()


def nothing(run):
    """Misbehave not at all."""


# What raises


class Odd(BaseException):
    """What `except Exception` lets through."""


class Unprintable(Exception):
    """An exception without words."""

    def __str__(self):
        raise KeyboardInterrupt

    __repr__ = __str__


class Unspeakable(Exception):
    """An exception that Python itself cannot print."""

    @property
    def __notes__(self):
        raise RuntimeError("no notes")


def exception(run):
    raise ValueError("bad luck")


def base_exception(run):
    raise Odd("odd luck")


def system_exit(run):
    sys.exit(3)


def interrupt(run):
    raise KeyboardInterrupt


def generator_exit(run):
    raise GeneratorExit


def in_finally(run):
    try:
        raise ValueError("first")
    finally:
        raise LookupError("second")


def unprintable(run):
    raise Unprintable


def unspeakable(run):
    raise Unspeakable("of something")


def syntax(run):
    raise SyntaxError("made up", ("file", 1, 2, 3))  # where the line should be, a number


def unpicklable(run):
    error = ValueError("locked")
    error.lock, error.call = threading.Lock(), lambda: None
    raise error


def long_message(run):
    raise ValueError("x" * 10_000_000 + " the end")


def odd_message(run):
    raise ValueError("\udcff\0\x1b[2J\x1b]0;title\x07\u202e")


def long_chain(run):
    error = ValueError("link 0")
    for number in range(1, 3000):
        later = ValueError(f"link {number}")
        later.__cause__ = error
        error = later
    raise error


def circle(run):
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def deep(run):
    deep(run)


def recursion_limit(run):
    sys.setrecursionlimit(40)
    deep(run)


# What ends the process


def leave(run):
    os._exit(1)


def segfault(run):
    ctypes.string_at(0)


def abort(run):
    os.abort()


def end_itself(run):
    os.kill(os.getpid(), signal.SIGTERM)  # as a guard against full memory does, for a start
    threading.Event().wait()


# Memory and time


def limit_memory(more):
    """Allow the process so many bytes more than it has."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + more, resource.RLIM_INFINITY))


def memory(run):
    limit_memory(30_000_000)
    hoard = []
    while True:
        hoard.append(bytes(100_000))


def memory_kept(run):
    limit_memory(30_000_000)
    for size in (1_000_000, 1000):
        try:
            while True:
                KEPT.append(bytes(size))
        except MemoryError:
            continue
    raise MemoryError


def loop(run):
    while True:
        pass


def hold_the_gil(run):
    ctypes.PyDLL(None).usleep(2_000_000)


def half_a_message(run):
    """As if the process were stopped while it sends one."""
    os.write(int(sys.argv[1]), b'{"say": "st')
    time.sleep(1000)


# Processes and threads


def fork_and_live_on(run):
    if os.fork() == 0:
        time.sleep(1000)


def fork_and_return(run):
    if os.fork() == 0:
        run.report(99, score=99.0)


def fork_and_raise(run):
    if os.fork() == 0:
        raise ValueError("child")


def fork_and_die(run):
    fork_and_live_on(run)
    os._exit(1)


def pool(run):
    KEPT.append(multiprocessing.get_context("spawn").Pool(1))
    assert KEPT[-1].map(abs, [-1]) == [1]


def threads(run):
    for _ in range(10):
        threading.Thread(target=time.sleep, args=(1000,)).start()


def two_reporters(run):
    ends, counts = time.monotonic() + 0.7, []

    def report(first):
        step = first
        while time.monotonic() < ends:
            run.report(step, score=-1.0, other=0.1)
            step += 2
            time.sleep(0)
        counts.append((step - first) // 2)

    pair = [threading.Thread(target=report, args=(1000 + n,)) for n in range(2)]
    for thread in pair:
        thread.start()
    for thread in pair:
        thread.join()
    (FOLDER / "reported").write_text(str(sum(counts)))


# What belongs to the process


def close_standard(run):
    os.closerange(0, 3)


def close_all(run):
    os.closerange(0, 1000)


def close_all_and_open(run):
    os.closerange(0, 1000)
    KEPT.extend((FOLDER / f"file-{number}").open("w") for number in range(100))


def chdir(run):
    folder = FOLDER / "elsewhere"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()


def environ(run):
    os.environ.clear()
    for each in (sys.path, sys.meta_path, sys.argv):
        each.clear()


def environ_and_raise(run):
    environ(run)
    raise ValueError("nowhere")


def no_stdout(run):
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None


def broken_stdout(run):
    class Broken:
        def write(self, text):
            raise OSError("no pen")

    sys.stdout = sys.stderr = Broken()


def handlers(run):
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_IGN)


def nice(run):
    os.nice(19)


# What is printed


def binary(run):
    os.write(1, bytes(range(256)) * 10)
    os.write(2, b"\x1b[2J\x1b]0;title\x07\xf0\x9f\r\r\0\n")


def last_words(run):
    os.write(1, b"last words")
    raise ValueError("silence")


def flood(run):
    for _ in range(megabytes()):
        os.write(1, b"x" * 1_000_000)


def flood_lines(run):
    for _ in range(megabytes()):
        os.write(1, (b"x" * 99 + b"\n") * 10_000)


def flood_for_ever(run):
    while True:
        os.write(1, b"x\n" * 50_000)


def megabytes():
    return int((FOLDER / "megabytes").read_text())
