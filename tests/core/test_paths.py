"""Where things lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from mien.core import paths


def test_weights_lie_in_the_package() -> None:
    assert (paths.face_weights() / "manifest.json").is_file()
    assert paths.pocket_weights().is_relative_to(paths.PACKAGE)


def test_data_root_is_named_or_beside_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIEN_DATA", str(tmp_path))
    assert paths.data_root() == tmp_path
    monkeypatch.delenv("MIEN_DATA")
    assert paths.data_root().parts[-2:] == ("shared", "data")
