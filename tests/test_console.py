"""Lines of progress where there is no terminal."""

import sys
import unicodedata

import pytest

from segclf import console


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: False, raising=False)
    return now


def test_the_time_left_is_taken_from_the_pace_after_start_up(clock, capsys):
    with console.progress("check") as show:
        clock[0] += 100  # start-up: workers import libraries
        show({"step": 1, "of": 201})
        clock[0] += 20
        show({"step": 101, "of": 201})
    lines = capsys.readouterr().err.splitlines()
    assert "left" not in lines[0]  # one event tells no pace
    assert lines[1].endswith("about 0.3 min left")  # 100 cases at 5 a second


def test_a_stages_own_estimate_is_shown_as_it_is(clock, capsys):
    with console.progress("train") as show:
        clock[0] += 11
        show({"step": 5, "of": 10, "eta_s": 120.0})
    assert "about 2.0 min left" in capsys.readouterr().err


def test_no_hidden_character_of_an_id_reaches_the_terminal(capsys):
    hidden = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]
    assert {"\x1b", "\r", "\u202e", "\u2066", "\u200f", "\u061c", "\ufeff"} <= set(hidden)
    shown = console.clean(f"a{'b'.join(hidden)}c")
    assert set(shown) == set("abc\t\n")  # only lines and tabs stay
    console.say("case p\u202egnp.1\x1b[2J: über 3 µm²")
    assert capsys.readouterr().err == "case pgnp.1[2J: über 3 µm²\n"
