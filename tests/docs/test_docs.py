"""The pages are true: their paths exist, their commands parse and run, their columns are the tables', figures agree."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import fill_figures
from mien.analyze.tables.columns import Contents
from mien.analyze.tables.peer_columns import LAYOUTS, layout_of
from mien.analyze.tables.schema import describe
from mien.app.cli import app
from mien.core.aus import AU_SETS
from mien.core.emotions import EMOTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *fill_figures.pages(ROOT),
    ROOT / "examples" / "README.md",
    ROOT / "examples" / "CLIP.md",
    ROOT / "CHANGELOG.md",
]
# Folders of the checkout, and files at its root; runs/ and out/ are made by the user.
OURS = re.compile(
    r"^(src|docs|tools|tests|benchmarks|examples)(/|$)|^(Makefile|NOTICE|LICENSE|[\w-]+\.(toml|txt|md))$"
)
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]*src=\"([^\"]+)\"")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HOSTS = {"doi.org", "localhost"}
# Wide tables and long names are no fault; a page must still not be a book.
MOST_LINES = 260


def identity(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def fences(path: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(path.read_text(encoding="utf-8")) if kind == language]


def commands(path: Path) -> list[list[str]]:
    """Every ``mien`` command in the page's code blocks, as words."""
    lines = (line for body in fences(path, "") for line in body.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("mien ")]


def inline_code(text: str) -> Iterator[str]:
    return (found[1] for found in re.finditer(r"`([^`\n]+)`", FENCE.sub("", text)))


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_every_path_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    # A name with <placeholder> or * stands for many files.
    words = [word for code in inline_code(text) for word in code.split()]
    named = [word for word in words if OURS.match(word) and re.fullmatch(r"[\w./-]+", word)]
    for body in fences(page, "") + fences(page, "python"):
        named += [word for word in re.findall(r"[\w./-]+", body) if word.count("/") and OURS.match(word)]
    missing = [name for name in named if not (ROOT / name).exists()]
    for link, image in LINK.findall(text):
        target = link or image
        if "://" not in target and not (page.parent / target).exists():
            missing.append(target)
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_pages_name_no_machine_and_count_no_lines(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {host for host in re.findall(r"https?://([\w.-]+)", text)} <= HOSTS
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users)/", text)
    assert not re.search(r"\b\d[\d,]* lines\b", text)
    # Filled-in figures are rows of tables; what a person wrote is the rest.
    assert sum(not line.startswith("|") for line in text.splitlines()) <= MOST_LINES
    prose = FENCE.sub("", text).splitlines()
    assert [
        line for line in prose if len(line) > 130 and not line.startswith(("|", "<", "*Not", "Measured"))
    ] == []


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page in PAGES for words in commands(page)],
    ids=lambda value: value.stem if isinstance(value, Path) else shlex.join(value)[:60],
)
def test_every_command_parses(page: Path, words: list[str]) -> None:
    command = typer.main.get_command(app)
    context = command.make_context("mien", list(words), resilient_parsing=False)
    while (rest := [*context._protected_args, *context.args]) and hasattr(command, "resolve_command"):
        name, command, left = command.resolve_command(context, rest)
        context = command.make_context(name, left, parent=context)
    assert not context.args


def test_every_option_exists() -> None:
    root = typer.main.get_command(app)
    known = {
        "--help",
        "--check",
        "--wheel",
        "--size",
        "--count",
        "--workers",
        "--clip",
        "--strict",
        "--data",
    } | {"--held-back"}
    stack = [root]
    while stack:
        command = stack.pop()
        known |= {name for option in command.params for name in option.opts}
        stack += list(getattr(command, "commands", {}).values())
    for page in PAGES:
        named = {
            code.split()[0] for code in inline_code(page.read_text(encoding="utf-8")) if code.startswith("--")
        }
        assert named <= known, identity(page)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["README.md", "docs/tour.md", "docs/outputs.md"])
def test_the_tour_runs(name: str, examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command that needs only the examples, in order; videos at every tenth frame."""
    (tmp_path / "examples").symlink_to(examples, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    ran = 0
    for words in commands(ROOT / name):
        if words[0] == "train" or any(word.startswith("runs/") for word in words):
            continue
        quick = ["--every", "10", "--quiet"] if words[0] == "analyze" else []
        done = CliRunner().invoke(app, [*words, *quick], catch_exceptions=False)
        assert done.exit_code == 0, (words, done.output)
        ran += 1
    assert ran >= 2
    if name == "README.md":
        assert (tmp_path / "out" / "first" / "report.html").is_file()
    elif name == "docs/tour.md":
        expected = {"faces.csv", "schema.json", "run.json", "report.html", "overlay", ".mien"}
        assert {path.name for path in (tmp_path / "out" / "photos").iterdir()} == expected
    else:
        rows = json.loads((tmp_path / "out" / "all" / "faces.json").read_text(encoding="utf-8"))
        assert rows and "angry" in rows[0]


def test_the_python_of_the_tour(
    examples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(examples, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    pandas, python = fences(ROOT / "docs" / "tour.md", "python")
    (shorter,) = fences(ROOT / "README.md", "python")
    exec(compile(shorter, "README.md", "exec"), {})
    assert "Key Observations:" in capsys.readouterr().out
    exec(compile(python, "tour.md", "exec"), {})
    printed = capsys.readouterr().out
    assert (
        "examples/grace_hopper.jpg" in printed and "Key Observations:" in printed and "supported" in printed
    )
    # pandas is no dependency of the tests: its block is read, not run.
    columns = {column.name for column in layout_of("mien", Contents(AU_SETS["pocket"], "pocket")).columns}
    quoted = {
        node.value
        for node in ast.walk(ast.parse(pandas))
        if isinstance(node, ast.Constant) and node.value != "out/clip/faces.csv"
    }
    assert quoted - {1} <= columns


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_python_of_the_tour_is_typed(tmp_path: Path) -> None:
    pages = (ROOT / "README.md", ROOT / "docs" / "tour.md")
    for number, code in enumerate(code for page in pages for code in fences(page, "python")):
        (tmp_path / f"sample{number}.py").write_text(code, encoding="utf-8")
    files = sorted(map(str, tmp_path.glob("*.py")))
    # The checkout's settings are strict, and its cache saves most of the time.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def family(column: str) -> str:
    """The name under which a page documents a column: one AU and one end of a series stand for all."""
    for pattern, name in (
        (r"AU\d\d_([pilc])", r"AU12_\1"),
        (r"mesh_([xyz])_\d+", r"mesh_\1_0"),
        (r"[xyXYZ]_\d+", "x_0"),
        (r"gaze_.*", "gaze_*"),
        (r"eye_lmk_.*", "eye_lmk_*"),
        (r"pose_T[xyz]", "pose_Tx"),
        (r"p_.+", "p_*"),
        (r"AU\d\d", "AU01"),
    ):
        column = re.sub(f"^{pattern}$", name, column)
    return column


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("photos_only", [False, True])
def test_every_column_is_documented(layout: str, photos_only: bool) -> None:
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    documented = set(inline_code(text)) | {"AU12_r"}
    assert "`AU01_r` …" in text
    contents = Contents(AU_SETS["pocket"], "pocket", explain=True, landmarks=True, photos_only=photos_only)
    names = {
        re.sub(r"^AU\d\d_r$", "AU12_r", family(column.name)) for column in layout_of(layout, contents).columns
    }
    assert names <= documented


def test_schema_has_what_the_page_says() -> None:
    contents = Contents(AU_SETS["pocket"], "pocket")
    said = describe("faces.csv", "csv", layout_of("openface", contents), contents)
    assert {"omitted", "aus", "columns", "presence_cut_off"} <= said.keys()
    text = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in EMOTIONS)


def test_the_map_names_every_room() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    text = (ROOT / "docs" / "design" / "rooms.md").read_text(encoding="utf-8")
    rooms = sorted(path.parent.name for path in (ROOT / "src" / "mien").glob("*/__init__.py"))
    assert [room for room in rooms if f"| `{room}` |" not in text] == []
    pages = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert page.name == "index.md" or f"({page.relative_to(ROOT / 'docs').as_posix()})" in pages


@pytest.mark.timeout(600)  # loading torch takes long on a busy machine
def test_the_card_tells_the_model_as_it_is() -> None:
    from mien.layers.face_crop import FaceCropEncoder
    from mien.models.pocket.evidence import PocketEvidence, PocketEvidenceConfig
    from mien.models.pocket.expression import ExpressionClassifier, PocketExpression
    from mien.models.pocket.system import build

    text = " ".join((ROOT / "docs" / "pocket.md").read_text(encoding="utf-8").split())
    told = re.search(r"own vocabulary of about ([\d,]+) tokens", text)
    assert told is not None
    model = build(int(told[1].replace(",", "")))
    parts = {
        "evidence net": PocketEvidence(PocketEvidenceConfig()),
        "expression net": PocketExpression(ExpressionClassifier(FaceCropEncoder())),
        "projectors": model.model.projectors,
        "decoder": model.model.language_model,
    }
    for name, part in parts.items():
        millions = sum(parameter.numel() for parameter in part.parameters()) / 1e6
        row = re.search(rf"\| {name} \|[^|]*\| ([\d.]+) \|", text)
        assert row is not None and float(row[1]) == pytest.approx(millions, abs=0.06), name
    assert f"{len(AU_SETS['pocket'])} Action Units:** {' '.join(AU_SETS['pocket'])}." in text


@pytest.mark.parametrize("page", fill_figures.pages(ROOT), ids=identity)
def test_figures_equal_the_records(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert fill_figures.filled(text) == text, "run: python tools/fill_figures.py"


def record(folder: Path, **figure: object) -> None:
    whole = {
        "name": "mien --help: median",
        "value": 0.2171,
        "unit": "s",
        "bar": 0.3,
        "at_most": True,
        "reached": True,
    }
    whole |= {"n": 5, "low": None, "high": None, "note": ""} | figure
    run = {"commit": "0123456789abcdef", "dirty": False, "hardware": {"cpu": "a processor", "cores": 2}}
    content = json.dumps({"benchmark": "speed", "run": run, "figures": [whole]})
    (folder / "speed.json").write_text(content, encoding="utf-8")


BLOCK = "Before.\n<!-- figures: speed/mien --help* -->\nold\n<!-- /figures -->\nAfter.\n"


def test_a_block_is_filled(tmp_path: Path) -> None:
    record(tmp_path)
    text = fill_figures.filled(BLOCK, tmp_path)
    assert text.startswith("Before.\n<!-- figures: speed/mien --help* -->\n| figure |")
    assert text.endswith("<!-- /figures -->\nAfter.\n") and "old" not in text
    assert (
        "| mien --help: median | 0.22 s | ≤ 0.3 | 5 |" in text
        and "Measured by `speed` at 0123456789 on 2 cores (a processor)" in text
    )
    assert fill_figures.filled(text, tmp_path) == text
    record(tmp_path, value=0.4, reached=False, low=0.3, high=0.5)
    assert "| 0.40 s | 0.30 – 0.50 | ≤ 0.3 (**missed**) | 5 |" in fill_figures.filled(text, tmp_path)
    record(tmp_path, value=None, bar=None, n=None)
    assert "| mien --help: median | undefined |" in fill_figures.filled(text, tmp_path)


def test_what_cannot_be_filled_is_said(tmp_path: Path) -> None:
    assert "*Not measured yet: `benchmarks/speed.py`.*" in fill_figures.filled(BLOCK, tmp_path)
    record(tmp_path)
    with pytest.raises(ValueError, match="no figure of speed.json fits 'memory'"):
        fill_figures.filled(BLOCK.replace("mien --help*", "memory"), tmp_path)
    with pytest.raises(ValueError, match="not closed"):
        fill_figures.filled("<!-- figures: speed -->\n", tmp_path)


NUMBERED = {
    "FacePhi": {"Eq": 4, "Table": 3, "Fig": 3},
    "EmoLA": {"Eq": 2, "Table": 14, "Fig": 13},
    "EMO-LLaMA": {"Eq": 6, "Table": 9, "Fig": 4},
    "AU-LLaVA": {"Eq": 3, "Table": 4, "Fig": 2},
    "ExpLLM": {"Eq": 1, "Table": 5, "Fig": 5},
}
"""How many equations, tables and figures the papers number."""
ROMAN = {"I": 1, "II": 2, "III": 3, "IV": 4, "V": 5}


def numbers_of(item: str) -> set[tuple[str, int]]:
    """``"Table 3–5, Fig. 1"`` -> (Table, 3), (Table, 4), (Table, 5), (Fig, 1)."""
    found: set[tuple[str, int]] = set()
    for kind, text in re.findall(r"(Eq|Table|Fig)\.? ((?:[\dIV]+(?:–[\dIV]+)?(?:, |\b))+)", item):
        for first, last in re.findall(r"([\dIV]+)(?:–([\dIV]+))?", text):
            ends = [ROMAN[end] if end in ROMAN else int(end) for end in (first, last or first)]
            found |= {(kind, number) for number in range(ends[0], ends[1] + 1)}
    return found


def test_the_index_of_the_papers_is_whole_and_names_what_exists() -> None:
    text = (ROOT / "docs" / "paper_index.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)+)", text, flags=re.MULTILINE))
    for paper, counts in NUMBERED.items():
        rows = re.findall(r"^\| (.+?) \| (.+) \| (.+) \|$", sections[paper], flags=re.MULTILINE)
        told = set().union(*(numbers_of(item) for item, _, _ in rows))
        assert told == {(kind, n) for kind, count in counts.items() for n in range(1, count + 1)}, paper
        for _, files, tests in rows:
            for path in re.findall(r"`([\w/]+\.py)`", files):
                assert (ROOT / "src" / "mien" / path).is_file(), path
            for path, name in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", tests):
                code = (ROOT / "tests" / path).read_text(encoding="utf-8")
                assert not name or f"def {name}(" in code, f"{path}::{name}"
