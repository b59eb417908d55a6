"""The list of what is still wrong may only shrink."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
import outside

PRINTED = "ok    mirror     upright\nFAIL  mask  right: … / came: …\nskip  silent  no strace\nFAIL  cover x\n2 of 4\n"


def test_lines_of_cases_are_read() -> None:
    assert outside.results(PRINTED) == {"mirror": "ok", "mask": "FAIL", "silent": "skip", "cover": "FAIL"}


@pytest.mark.parametrize(
    ("known", "before", "sound", "fallen", "mended", "added"),
    [
        ("mask\ncover", "mask\ncover", True, (), (), ()),
        ("mask # drawn masks\n# cover", "mask\ncover", False, ("cover",), (), ()),
        ("mask\ncover\nmirror", "mask\ncover\nmirror", True, (), ("mirror",), ()),
        ("mask\ncover", "mask", False, (), (), ("cover",)),
        ("mask\ncover\nsilent", None, True, (), (), ()),
    ],
)
def test_the_list_is_held_against_the_cases(
    known: str, before: str | None, sound: bool, fallen: tuple[str], mended: tuple[str], added: tuple[str]
) -> None:
    earlier = None if before is None else outside.names(before)
    verdict = outside.judge(outside.results(PRINTED), outside.names(known), earlier)
    assert (verdict.fallen, verdict.mended, verdict.added, verdict.sound) == (fallen, mended, added, sound)


def test_cases_are_run_and_the_wrong_ones_again_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A runner whose case `busy` is wrong among others and right alone."""
    (tmp_path / "try").write_text(
        "import sys\nalone = '--jobs' in sys.argv\n"
        "print('ok    busy' if alone else 'FAIL  busy')\nprint('FAIL  wrong')\n"
        "print('' if alone else 'ok    right')\n"
    )
    assert outside.run_cases(tmp_path, []) == {"busy": "ok", "wrong": "FAIL", "right": "ok"}
    assert "wrong" in capsys.readouterr().out


def test_the_list_of_this_checkout_can_be_read(repository: Path) -> None:
    known = repository / ".ci" / "known_wrong.txt"
    assert outside.names(known.read_text(encoding="utf-8")) is not None
