"""Every error says what came, what was expected, and what to do."""

from __future__ import annotations

import numpy as np
import pytest

from mien.core import errors
from mien.core.errors import BadConfig, MienError, MissingDependency, require, require_range

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


@pytest.mark.parametrize("value", [1, 5, np.int64(3), np.uint8(1)])
def test_a_number_within_its_range(value: object) -> None:
    require_range(value, "rounds", 1, 5, whole=True)
    require_range(2.5, "rounds", 1)
    require_range(np.float32(0.5), "rounds", 0, 1)


@pytest.mark.parametrize("value", [0, 6, 2.5, np.float64(2), "3", None, True, float("nan"), 10**400])
def test_a_number_out_of_its_range(value: object) -> None:
    with pytest.raises(BadConfig, match=r"Got rounds .*\. Expected a whole number, 1 to 5\. Correct it\."):
        require_range(value, "rounds", 1, 5, whole=True)


def test_a_range_without_an_end() -> None:
    with pytest.raises(BadConfig, match=r"Got share nan\. Expected 0 or more\. Leave it out\."):
        require_range(float("nan"), "share", 0, fix="Leave it out")
