"""A newcomer's first minutes: clone, ``make demo``, size of the environment, and once more without network.

    python benchmarks/install.py --yes [--pip-args ARGS]

Only with --yes: it downloads packages. What is not committed is not cloned.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from _process import run_process
from _record import ROOT, Record, Skipped, parser, run

DEMO_BAR, SIZE_BAR = 180.0, 350.0
PRODUCTS = ("report.html", "faces.csv", "schema.json", "run.json")
CUT = ("unshare", "--net", "--")


def measure(record: Record) -> None:
    if not record.options.yes:
        raise Skipped("run with --yes; it clones this repository and downloads packages")
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        raise Skipped("needs git and a checkout")
    with tempfile.TemporaryDirectory(prefix="mien-install-") as name:
        copy = Path(name) / "mien"
        run_process(["git", "clone", "--quiet", "--no-local", str(ROOT), str(copy)])
        arguments = [f"PIP_ARGS={record.options.pip_args}"] if record.options.pip_args else []
        cost = run_process(["make", "demo", *arguments], folder=copy, environment=_environment())
        record.add("git clone to demo: make demo", cost.seconds, "s", bar=DEMO_BAR, at_most=True)
        products(record, copy, "first run")
        record.add("core environment", folder_size(copy / ".venv"), "MB", bar=SIZE_BAR, at_most=True)
        offline(record, copy)


def offline(record: Record, copy: Path) -> None:
    """The demo again in a network namespace of its own, which has no way out."""
    if subprocess.run([*CUT, "true"], check=False, capture_output=True).returncode != 0:
        print("install: offline run skipped: unshare --net is not allowed here")
        return
    shutil.rmtree(copy / "demo-output")
    cost = run_process([*CUT, "make", "demo"], folder=copy, environment=_environment())
    record.add("make demo again, network cut", cost.seconds, "s")
    products(record, copy, "network cut")


def products(record: Record, copy: Path, when: str) -> None:
    out = copy / "demo-output"
    present = [name for name in PRODUCTS if (out / name).is_file() and (out / name).stat().st_size > 0]
    missing = sorted(set(PRODUCTS) - set(present))
    note = f"missing: {', '.join(missing)}" if missing else ", ".join(PRODUCTS)
    record.add(f"{when}: files of the demo", len(present), bar=len(PRODUCTS), n=len(PRODUCTS), note=note)
    sources = sum(path.suffix in {".jpg", ".png", ".mp4"} for path in (copy / "examples").iterdir())
    overlays = (
        sum(path.is_file() for path in (out / "overlay").rglob("*")) if (out / "overlay").is_dir() else 0
    )
    record.add(f"{when}: overlays", overlays, bar=sources, n=sources)


def folder_size(folder: Path) -> float:
    """Bytes on disk of all files, links not followed, in MB (1e6)."""
    sizes = (
        path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    )
    return sum(sizes) / 1e6


def _environment() -> dict[str, str]:
    """This environment without what would let the clone borrow from the checkout."""
    return {
        key: value
        for key, value in os.environ.items()
        if key not in {"PYTHONPATH", "VIRTUAL_ENV", "MIEN_DATA"}
    }


def options() -> argparse.ArgumentParser:
    made = parser(__doc__.splitlines()[0])
    made.add_argument("--yes", action="store_true", help="really clone and install")
    made.add_argument("--pip-args", default="", help="extra arguments of pip install")
    return made


if __name__ == "__main__":
    run("install", options(), measure)
