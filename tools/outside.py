"""Run the cases from outside that stand beside the checkout, and hold them against the list of what is still wrong.

    python tools/outside.py ../shared/field            # what .ci/run does where that folder is
    python tools/outside.py ../shared/field --quick    # the most important cases only

`.ci/known_wrong.txt` names the cases that are wrong, one a line. It may only shrink: a case that is wrong and not named
fails the run, and so does a name that the commit before did not have; a named case that is right asks to be taken out.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / ".ci" / "known_wrong.txt"
QUESTIONS = "questions"
"""Name of the bank of questions, as one case."""
_LINE = re.compile(r"^(ok|FAIL|skip)\s+(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What the cases and the list say together."""

    fallen: tuple[str, ...]
    """Wrong, and not on the list."""
    mended: tuple[str, ...]
    """On the list, and right."""
    added: tuple[str, ...]
    """On the list, and not on the one before."""

    @property
    def sound(self) -> bool:
        """Whether the run passes."""
        return not self.fallen and not self.added


def names(text: str) -> set[str]:
    """The names on a list; ``#`` begins a remark."""
    return {name for line in text.splitlines() if (name := line.partition("#")[0].strip())}


def results(text: str) -> dict[str, str]:
    """Case -> ``ok``, ``FAIL`` or ``skip``, of what the runner of the cases printed."""
    return {name: state for state, name in _LINE.findall(text)}


def judge(found: dict[str, str], known: Iterable[str], before: Iterable[str] | None) -> Verdict:
    """Hold results against the list, and the list against the one before (None: there was none)."""
    listed = set(known)
    return Verdict(
        tuple(sorted(name for name, state in found.items() if state == "FAIL" and name not in listed)),
        tuple(sorted(name for name in listed if found.get(name) == "ok")),
        () if before is None else tuple(sorted(listed - set(before))),
    )


def run_cases(field: Path, options: Sequence[str]) -> dict[str, str]:
    """Results of all cases; one that is wrong is run again alone, as a busy machine passes time limits."""
    found = results(_output([str(field / "try"), *options]))
    wrong = [name for name, state in found.items() if state == "FAIL"]
    again = results(_output([str(field / "try"), "--jobs", "1", *wrong])) if wrong else {}
    return found | {name: again[name] for name in wrong if name in again}


def ask_questions(field: Path) -> dict[str, str]:
    """The bank of questions, as one case."""
    done = subprocess.run([sys.executable, str(field / "asks" / "score.py")], cwd=ROOT, check=False)
    return {QUESTIONS: "FAIL" if done.returncode else "ok"}


def _output(command: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    sys.stdout.write(done.stdout)
    return done.stdout


def _before() -> set[str] | None:
    place = f"HEAD~1:{KNOWN.relative_to(ROOT)}"
    done = subprocess.run(["git", "show", place], cwd=ROOT, capture_output=True, text=True, check=False)
    return names(done.stdout) if done.returncode == 0 else None


def main() -> int:
    """Run and judge; the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("field", type=Path, help="folder with `try` and `asks`")
    options.add_argument("--quick", action="store_true", help="the most important cases, no questions")
    chosen = options.parse_args()
    field = chosen.field.resolve()
    found = run_cases(field, ["--quick"] if chosen.quick else [])
    if not chosen.quick:
        found |= ask_questions(field)
    verdict = judge(found, names(KNOWN.read_text(encoding="utf-8")), _before())
    for told, which in (
        ("wrong, and not on the list", verdict.fallen),
        ("on the list now, and not before", verdict.added),
        (f"right: take it out of {KNOWN.relative_to(ROOT)}", verdict.mended),
    ):
        for name in which:
            sys.stdout.write(f"{name}: {told}\n")
    return 0 if verdict.sound and found else 1


if __name__ == "__main__":
    sys.exit(main())
