"""Every error says what came, what was expected, and what to do."""

from __future__ import annotations

import pytest

from mien.core import errors
from mien.core.errors import MienError, MissingDependency, require

CLASSES = [getattr(errors, name) for name in errors.__all__ if name[0].isupper()]


@pytest.mark.parametrize("kind", CLASSES)
def test_three_sentences(kind: type[MienError]) -> None:
    error = kind(got="a text file", expected="a photo.", fix="Name a JPEG")
    assert str(error) == "Got a text file. Expected a photo. Name a JPEG."
    assert (error.got, error.expected, error.fix) == ("a text file", "a photo", "Name a JPEG")
    assert isinstance(error, MienError)


def test_few_classes_all_drawn_in_the_tree() -> None:
    assert len(CLASSES) <= 10
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in CLASSES)


def test_parts_cannot_be_mixed_up() -> None:
    with pytest.raises(TypeError):
        MienError("a", "b", "c")  # type: ignore[misc]


def test_require_returns_what_is_there() -> None:
    assert require("json", extra="video", purpose="nothing").loads("1") == 1


def test_require_names_the_extra() -> None:
    with pytest.raises(MissingDependency, match=r"no_such_package.*for videos.*pip install 'mien\[video\]'"):
        require("no_such_package", extra="video", purpose="videos")


def test_require_does_not_hide_a_broken_package(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is there but misses one of its own needs is not reported as absent."""
    from pathlib import Path

    folder = Path(str(tmp_path))
    (folder / "broken_package.py").write_text("import surely_absent")
    monkeypatch.syspath_prepend(folder)
    with pytest.raises(ModuleNotFoundError, match="surely_absent"):
        require("broken_package", extra="video", purpose="videos")
