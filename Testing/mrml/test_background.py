"""Questions that are answered in a thread: order, patience, what takes whose place, what is dropped."""

from __future__ import annotations

import threading
import time

import pytest


@pytest.fixture
def make():
    """Background(patience)."""
    from MedSegDiffSlicerLib.jobs.background import Background

    return Background


class Gate:
    """Work that ends when a test says so."""

    def __init__(self, answer=None):
        self.answer, self.begun, self.opened = answer, threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        assert self.opened.wait(10)
        return self.answer


def settle(background) -> None:
    end = time.monotonic() + 10
    while background.busy:
        assert time.monotonic() < end
        background.deliver()
        time.sleep(0.001)


def test_work_is_done_elsewhere_and_delivered_here(make):
    background, threads = make(0), []
    background.ask("a", threading.get_ident, lambda answer: threads.extend([answer, threading.get_ident()]))
    assert background.busy
    settle(background)
    assert threads[0] != threads[1] == threading.get_ident()


def test_quick_work_is_delivered_before_ask_returns(make):
    background, told = make(10), []
    background.ask("a", lambda: 1, lambda answer: told.append(answer) or iter([told.append(2), told.append(3)]))
    assert told == [1, 2, 3] and not background.busy


def test_a_newer_question_takes_the_place_of_one_that_has_not_begun(make):
    background, told, gate = make(0), [], Gate("first")
    background.ask("a", gate, told.append)
    assert gate.begun.wait(10)
    for number in range(3):
        background.ask("a", lambda number=number: number, told.append)
    background.ask("b", lambda: "other topic", told.append)
    gate.opened.set()
    settle(background)
    assert told == ["first", 2, "other topic"], "what has begun is told; of the others of a topic only the last"


@pytest.mark.parametrize("topics", [(), ("a",)])
def test_what_is_forgotten_is_never_told(make, topics):
    background, told, gate = make(0), [], Gate()
    background.ask("a", gate, told.append)
    assert gate.begun.wait(10)
    background.ask("a", lambda: 1, told.append)
    background.forget(*topics)
    assert not background.busy
    background.ask("a", lambda: 2, told.append)
    gate.opened.set()
    settle(background)
    assert told == [2]


def test_other_topics_are_not_forgotten(make):
    background, told = make(0), []
    background.ask("a", lambda: 1, told.append)
    background.ask("b", lambda: 2, told.append)
    background.forget("b")
    settle(background)
    assert told == [1]


def test_steps_go_on_one_call_after_the_other_until_forgotten(make):
    background, told = make(0), []

    def steps(_answer):
        try:
            for number in range(100):
                told.append(number)
                time.sleep(0.005)
                yield
        finally:
            told.append("end")

    background.ask("a", lambda: None, steps)
    while not told:
        background.deliver()
    assert background.busy and 1 <= len(told) < 20, "a call ends after a share of the time"
    background.forget("a")
    assert told[-1] == "end" and not background.busy


def test_errors_are_told_or_raised(make):
    background, told = make(0), []

    def work():
        raise ValueError("wrong")

    background.ask("a", work, told.append, lambda error: told.append(str(error)))
    settle(background)
    background.ask("a", work, told.append)
    with pytest.raises(ValueError, match="wrong"):
        settle(background)
    settle(background)
    background.ask("a", lambda: 1, told.append)
    settle(background)
    assert told == ["wrong", 1]


def test_asking_out_of_an_answer(make):
    background, told = make(10), []
    background.ask("a", lambda: 1, lambda one: background.ask("a", lambda: one + 1, told.append))
    settle(background)
    assert told == [2]


def test_no_thread_and_no_answer_stays(make):
    background, before = make(0), threading.active_count()
    background.ask("a", lambda: bytearray(8), lambda _answer: None)
    settle(background)
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_an_answer_asks_is_waited_for_too(make):
    background, told = make(10), []

    def steps(_answer):
        yield
        background.ask("b", lambda: 2, told.append)
        told.append(1)

    background.ask("a", lambda: None, steps)
    assert told == [1, 2] and not background.busy


def test_the_thread_is_given_way_until_it_has_an_answer(make):
    background, gate = make(0), Gate("answer")
    background.ask("a", gate, lambda _answer: None)
    threading.Timer(0.05, gate.opened.set).start()
    began = time.monotonic()
    background.give_way(10)
    assert time.monotonic() - began < 9 and gate.opened.is_set()
    settle(background)
