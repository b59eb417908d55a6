"""The Dockerfile, read as a builder reads it: what it copies exists, who it runs as, that it runs offline."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from typer.testing import CliRunner

from mien.app.cli import app

ROOT = Path(__file__).resolve().parents[2]


def steps() -> list[tuple[str, str]]:
    """(instruction, arguments), continued lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


def last(name: str) -> str:
    return [said for instruction, said in steps() if instruction == name][-1]


def test_two_stages_of_a_slim_and_named_base() -> None:
    bases = [said for name, said in steps() if name == "FROM"]
    assert len(bases) == 2 and all(re.match(r"python:3\.\d+-slim\b", base) for base in bases)
    minor = int(re.findall(r"3\.(\d+)", bases[0])[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: 3.{minor}" in project["classifiers"]


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for name, said in steps():
        if name == "COPY" and not said.startswith("--from"):
            for source in said.split()[:-1]:
                assert (ROOT / source).exists() and any(fnmatch(source, one) for one in kept), source
    # What the build reads of the package itself: readme and licences.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["readme"] in kept and {"LICENSE", "NOTICE"} <= set(kept)


def test_it_installs_tested_versions_of_extras_that_exist() -> None:
    ran = " ".join(said for name, said in steps() if name == "RUN")
    assert "-c constraints.txt" in ran and not re.search(r"curl|wget|apt-get|https?://", ran)
    extras = re.search(r"'\.\[([\w,]+)\]'", ran)
    assert extras is not None
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras[1].split(",")) <= known.keys()


def test_it_runs_as_nobody_in_particular_and_tells_its_health() -> None:
    names = [name for name, _ in steps()]
    assert last("USER") == "mien" and "--uid" in last("RUN")
    assert names.index("USER") < names.index("ENTRYPOINT") and "ADD" not in names
    assert json.loads(last("ENTRYPOINT")) == ["mien"] and json.loads(last("CMD")) == ["--help"]
    checks = last("HEALTHCHECK").split("CMD", 1)[1].split("||")
    assert "/healthz" in checks[0]
    assert CliRunner().invoke(app, checks[1].split()[1:]).exit_code == 0
