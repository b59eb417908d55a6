"""The site: every page has its place, it builds without a warning, and nothing in it is loaded from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for one in (nav.values() if isinstance(nav, dict) else nav) for page in leaves(one)]


def test_every_page_is_in_the_contents() -> None:
    nav = leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    made = {"changes.md", "contributing.md", "security.md", "examples.md"}
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(nav) == sorted(pages | made)


def test_the_reference_names_what_exists() -> None:
    from importlib import import_module

    for name in re.findall(r"^::: ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE):
        module, _, last = name.rpartition(".")
        assert hasattr(import_module(module), last) or import_module(name), name


def test_the_citation_tells_the_version() -> None:
    import mien

    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert said["version"] == mien.__version__ and said["license"] == "Apache-2.0" and said["authors"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_builds_loads_nothing_from_elsewhere_and_axe_finds_nothing_serious(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        loaded = re.findall(
            r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8")
        )
        assert loaded == [], page
    reference = (tmp_path / "site" / "api.html").read_text("utf-8")
    assert "Analyzer.analyze" in reference and "mien.study.summaries.contrasts" in reference
    browser, serious = request.getfixturevalue("browser"), request.getfixturevalue("serious")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = browser.new_page(
            bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 844}
        )
        # The page of what is not found names its style from the root of a server: as a file it has none.
        for path in sorted(path for path in pages if path.name != "404.html"):
            page.goto(path.as_uri())
            assert serious(page) == [], (path, width)
        page.close()
