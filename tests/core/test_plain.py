"""Names of strangers steer no terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mien.app.terminal import say, shown
from mien.core.errors import BadInput
from mien.core.plain import printable

NAMES = {
    "a\x1b[31mb.jpg": r"a\x1b[31mb.jpg",
    "a\x1b]0;title\x07.jpg": r"a\x1b]0;title\x07.jpg",
    "a\rb\x08.jpg": r"a\rb\x08.jpg",
    "a\x9b31m.jpg": r"a\x9b31m.jpg",
    "gpj.\u202ea.exe": r"gpj.\u202ea.exe",
    "caf\udce9.jpg": r"caf\udce9.jpg",
    "grün 日本 😀.jpg": "grün 日本 😀.jpg",
}


@pytest.mark.parametrize("name", NAMES)
def test_control_characters_become_escapes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(name) == NAMES[name]
    assert NAMES[name] in str(BadInput(got=name, expected="a picture"))
    say(name)
    assert capsys.readouterr().out == NAMES[name] + "\n"


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print(shown("o_[red]x[/x] [link=http://a]b", "red"))
    assert capsys.readouterr().out == "o_[red]x[/x] [link=http://a]b\n"


@given(st.text(st.characters(codec=None)))
def test_whatever_comes_can_be_written(text: str) -> None:
    made = printable(text)
    made.encode("utf-8")
    assert all(one.isprintable() or one in "\n\t" for one in made)
    assert printable(made) == made
