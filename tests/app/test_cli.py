"""The ``mien`` command as a user meets it: real processes, real photos, exit statuses, files."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import mien as package
from mien.app.cli import app
from mien.core.errors import MienError

# Real processes: generous, for loaded machines.
pytestmark = pytest.mark.timeout(600)

Mien = Callable[..., "CompletedProcess[str]"]
Gallery = Callable[[Path, int], list[Path]]


def invoke(*arguments: object) -> CompletedProcess[str]:
    """As the fixture ``mien``, in this process: it costs no start."""
    given = list(map(str, arguments))
    done = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    told = f"Error: {done.exception}" if isinstance(done.exception, MienError) else ""
    assert told or isinstance(done.exception, SystemExit | None), done.exception
    return CompletedProcess(given, 2 if told else done.exit_code, done.stdout, done.stderr + told)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, skipinitialspace=True))


def test_help_and_version(mien: Mien) -> None:
    done = mien("--help")
    assert done.returncode == 0 and "Exit status: 0 all well; 1 some items failed" in done.stdout
    for command in ("analyze", "ask", "models", "doctor"):
        assert command in done.stdout
    assert mien("--version").stdout.strip() == f"mien {package.__version__}"
    options = mien("analyze", "--help").stdout
    for option in (
        "--out --format --columns --explain --overlay --report --cropped --landmarks-only --model --resume "
        "--labels --fill --keep-formulas --smooth --every --threads --batch-size --redact --cut-off --landmarks "
        "--decimal"
    ).split():
        assert option in options


def test_a_folder_with_everything(mien: Mien, gallery: Gallery, clip: Path, tmp_path: Path) -> None:
    photos = gallery(tmp_path / "in", 3)
    (tmp_path / "in" / "clip.mp4").write_bytes(clip.read_bytes())
    out = tmp_path / "out"
    done = mien(
        "analyze",
        tmp_path / "in",
        "--out",
        out,
        "--explain",
        "--overlay",
        "--report",
        "--landmarks",
        "--every",
        10,
    )
    assert done.returncode == 0, done.stderr
    names = {
        str(path.relative_to(out)) for path in out.rglob("*") if ".mien" not in path.parts and path.is_file()
    }
    overlays = {f"overlay/{path.stem}.jpg" for path in photos} | {"overlay/clip.mp4"}
    assert names == {"faces.csv", "schema.json", "run.json", "report.html"} | overlays
    rows = rows_of(out / "faces.csv")
    assert {row["input"] for row in rows} == {*map(str, photos), str(tmp_path / "in" / "clip.mp4")}
    assert all(row["success"] == "1" and float(row["mesh_x_477"]) > 0 for row in rows)
    # Of a clip the frames are explained in which something starts, peaks or ends.
    said = [row for row in rows if row["explanation"] not in ("", "NaN")]
    assert {row["input"] for row in said} == {row["input"] for row in rows}
    assert all(row in said for row in rows if not row["input"].endswith(".mp4"))
    assert all(row["explanation"].startswith("Key Observations:") for row in said)
    assert all(row["claims_supported"] != "NaN" for row in said)
    run = json.loads((out / "run.json").read_text())
    assert run["counts"]["items"] == 4 and run["counts"]["faces"] == run["counts"]["rows"] == len(rows)
    assert run["config"]["explain"] is True and run["finished"] > run["started"]
    schema = json.loads((out / "schema.json").read_text())
    assert [column["name"] for column in schema["columns"]] == list(rows[0])
    page = (out / "report.html").read_text()
    assert "clip.mp4" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert f"{len(rows)} in {len(rows)} pictures or frames" in done.stdout
    assert "faces.csv" in done.stdout and "looks like" in done.stdout


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_formats(photos: list[Path], tmp_path: Path, format: str) -> None:
    done = invoke("analyze", photos[0], "--out", tmp_path, "--format", format, "--quiet")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / f"faces.{format}").stat().st_size > 500


def test_columns_of_other_tools(photos: list[Path], clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = ["analyze", photos[0], clip, "--every", 24, "--out", out]
    assert invoke(*given, "--columns", "openface").returncode == 0
    assert {path.name for path in (out / "openface").iterdir()} == {f"{photos[0].stem}.csv", "clip.csv"}
    assert (out / "openface" / f"{photos[0].stem}.csv").read_text().startswith("face,confidence,gaze_0_x")
    assert (
        (out / "openface" / "clip.csv").read_text().startswith("frame,face_id,timestamp,confidence,success,")
    )
    told = json.loads((out / "schema.json").read_text())["table"]
    assert told == {"openface/clip.csv": str(clip), f"openface/{photos[0].stem}.csv": str(photos[0])}
    # Another layout of the same run leaves no table of the earlier one behind.
    assert invoke(*given, "--columns", "pyfeat", "--resume").returncode == 0
    assert not (out / "openface").exists()
    rows = rows_of(out / "faces.csv")
    assert [row["input"] for row in rows[:2]] == [str(photos[0]), str(clip)]
    assert len({row["frame"] for row in rows}) == len(rows)  # one face each


def test_the_table_alone_to_standard_output(
    mien: Mien, photos: list[Path], clip: Path, tmp_path: Path
) -> None:
    given = ["analyze", photos[0], tmp_path / "absent.jpg", clip, "--every", 30]
    done = invoke(*given, "--out", "-")
    assert invoke(*given, "--out", tmp_path / "out").returncode == done.returncode == 1
    assert done.stdout == (tmp_path / "out" / "faces.csv").read_text() and "absent.jpg" in done.stderr
    one = invoke("analyze", photos[0], "-o", "-", "--format", "json", "--quiet")
    assert [row["input"] for row in json.loads(one.stdout)] == [str(photos[0])] and one.stderr == ""
    for options, said in ((["--report"], "--report"), (["--columns", "openface"], "for 3 inputs")):
        refused = invoke(*given, "--out", "-", *options)
        assert refused.returncode == 2 and said in refused.stderr and refused.stdout == ""
    assert not Path("-").exists()


@pytest.mark.parametrize("out", ["-", "out"])
def test_a_reader_that_has_gone_is_no_fault(
    out: str, repository: Path, photos: list[Path], tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mien", "analyze", str(photos[0]), "--out", out]
    source = os.environ.get("MIEN_TEST_SOURCE", str(repository / "src"))
    done = subprocess.run(
        command, cwd=tmp_path, stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    os.close(writing)
    assert "Error" not in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 0 or out == "-"
    assert (tmp_path / "out" / "faces.csv").exists() == (out == "out")


def test_overlays_stand_in_the_table(gallery: Gallery, clip: Path, tmp_path: Path) -> None:
    (photo,) = gallery(tmp_path / "in", 1)
    (tmp_path / "in" / "PHOTO000.png").write_bytes(photo.read_bytes())
    (tmp_path / "in" / "con.jpg").write_bytes(photo.read_bytes())
    (tmp_path / "in" / "broken.jpg").write_text("hello")
    (tmp_path / "in" / "clip.mp4").write_bytes(clip.read_bytes())
    done = invoke("analyze", tmp_path / "in", "--out", tmp_path / "out", "--overlay", "--every", 30)
    assert done.returncode == 1, done.stderr
    rows = rows_of(tmp_path / "out" / "faces.csv")
    drawn = {Path(row["input"]).name: row["overlay"] for row in rows}
    assert drawn["clip.mp4"] == "overlay/clip.mp4" and drawn["broken.jpg"] == ""
    assert drawn["con.jpg"].startswith("overlay/con_-")
    names = {path.name for path in (tmp_path / "out" / "overlay").iterdir()}
    assert names == {Path(name).name for name in drawn.values() if name}
    assert len({name.casefold() for name in names}) == len(names) == 4


def test_what_is_never_opened_is_a_notice(gallery: Gallery, tmp_path: Path) -> None:
    gallery(tmp_path / "in", 1)
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    done = invoke("analyze", tmp_path / "in", "--out", tmp_path / "out")
    assert done.returncode == 0 and "1 × a named pipe" in done.stdout, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "out" / "errors.jsonl").read_text().splitlines()]
    assert {Path(line["input"]).name for line in lines} == {"pipe.jpg", "loop.png"}
    assert all(line["error"] is None and line["notice"].startswith("passed over: ") for line in lines)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["passed_over"] == 2


def test_landmarks_only_overlay_holds_no_pixels(photos: list[Path], tmp_path: Path) -> None:
    done = invoke(
        "analyze", photos[0], "--out", tmp_path, "--landmarks-only", "--overlay", "--report", "--cut-off", 2
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "overlay" / f"{photos[0].stem}.jpg") as drawn:
        corner = drawn.convert("L").crop((0, drawn.height - 20, 20, drawn.height))
        assert corner.getextrema()[1] < 40  # the blank canvas
    (row,) = rows_of(tmp_path / "faces.csv")
    keys = [name.removesuffix("_l") for name in row if name.startswith("AU") and name.endswith("_l")]
    assert len(keys) > 10
    present = [key for key in keys if row[f"{key}_l"] not in ("NaN", "0", "1")]
    assert present == [key for key in keys if row[f"{key}_c"] == "1"]


def test_redaction(photos: list[Path], tmp_path: Path) -> None:
    for name, options in (("open", ()), ("closed", ("--redact",))):
        done = invoke("analyze", photos[0], "--out", tmp_path / name, "--overlay", *options)
        assert done.returncode == 0, done.stderr
    (row,) = rows_of(tmp_path / "open" / "faces.csv")
    assert [row] == rows_of(tmp_path / "closed" / "faces.csv")
    edges = [float(row[f"box_{side}"]) for side in ("left", "top", "right", "bottom")]
    box = [round(edges[i] + share * (edges[i ^ 2] - edges[i])) for i, share in enumerate((0.2,) * 4)]
    likeness = {}
    with Image.open(photos[0]) as opened:
        face = np.asarray(opened.convert("L").crop(tuple(box)), dtype=np.float64)
        for name in ("open", "closed"):
            with Image.open(tmp_path / name / "overlay" / f"{photos[0].stem}.jpg") as drawn:
                shown = np.asarray(drawn.convert("L").resize(opened.size).crop(tuple(box)), dtype=np.float64)
            likeness[name] = float(np.corrcoef(face.ravel(), shown.ravel())[0, 1])
    assert likeness["open"] > 0.7 and likeness["closed"] < 0.4, likeness


def test_pictures_of_one_name_keep_apart(gallery: Gallery, tmp_path: Path) -> None:
    gallery(tmp_path / "a", 1)
    gallery(tmp_path / "b", 1)
    done = invoke("analyze", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out", "--overlay")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out" / "overlay").glob("photo000-*.jpg"))) == 2
    assert len(rows_of(tmp_path / "out" / "faces.csv")) == 2


def test_own_output_is_not_analysed(gallery: Gallery, tmp_path: Path) -> None:
    gallery(tmp_path, 2)
    for _ in range(2):
        assert invoke("analyze", tmp_path, "--out", tmp_path, "--overlay").returncode == 0
    assert len(rows_of(tmp_path / "faces.csv")) == 2


def test_asking(mien: Mien, photos: list[Path], tmp_path: Path) -> None:
    done = mien("ask", photos[0], "What is the emotion of this face?")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey.png")
    nobody = mien("ask", tmp_path / "grey.png", "What is the emotion of this face?")
    assert nobody.returncode == 2
    assert nobody.stderr.startswith("Error: Got a picture in which no face was found. Expected")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "excel"], "one of mien, openface, openface-spaced, pyfeat"),
        (["--format", "xlsx"], "one of csv, tsv, parquet, json, jsonl"),
        (["--labels", "emoji"], "one of mien, affectnet"),
        (["--format", "json", "--decimal", "comma"], "Expected csv or tsv"),
        (["--model", "none-such"], "none-such"),
        (["--every", "0"], "--every"),
        (["--cut-off", "6"], "--cut-off"),
        (["--fill", "0"], "in which 0 is a measurement"),
        (["--every", "2", "--fps", "5"], "Expected one of them"),
        (["--out", ""], "an empty path"),
        (["--out", "faces.csv"], "name a folder"),
    ],
)
def test_wrong_options(photos: list[Path], tmp_path: Path, options: list[str], message: str) -> None:
    done = invoke("analyze", photos[0], "--out", tmp_path / "out", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "faces.csv").exists()


def test_landmark_file(photos: list[Path], tmp_path: Path) -> None:
    assert (
        invoke("analyze", photos[0], "--out", tmp_path / "a", "--landmarks", "--landmarks-only").returncode
        == 0
    )
    done = invoke("analyze", tmp_path / "a" / "faces.csv", "--out", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    (first,), (second,) = rows_of(tmp_path / "a" / "faces.csv"), rows_of(tmp_path / "b" / "faces.csv")
    assert abs(float(first["AU12_i"]) - float(second["AU12_i"])) < 1e-3
    assert first["emotion"] == second["emotion"]


def test_verify_holds_a_text_against_a_face(mien: Mien, photos: list[Path], tmp_path: Path) -> None:
    done = mien(
        "verify", "AU12 is strong and AU4 is present.", "--image", photos[0], "--fail-on-contradiction"
    )
    assert done.returncode == 1 and "1 supported, 1 contradicted" in done.stdout, done.stderr
    rows = [{"text": "AU12 is strong.", "image": str(photos[0])}, {"text": "AU12", "image": "absent.jpg"}]
    (tmp_path / "texts.jsonl").write_text("\n".join(["{", *(json.dumps(row) for row in rows)]))
    several = mien("verify", tmp_path / "texts.jsonl", "--json")
    assert several.returncode == 1 and json.loads(several.stdout)["supported"] == 1
    assert "texts.jsonl:1" in several.stderr and "texts.jsonl:3" in several.stderr
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "other.txt").write_bytes(b"AU12 \xff")
    for nothing in (
        ["AU12"],
        ["AU12", "--image", "absent.jpg"],
        ["absent.jsonl"],
        [tmp_path / "empty.jsonl"],
        [tmp_path / "other.txt", "--image", photos[0]],
    ):
        done = mien("verify", *nothing)
        assert done.returncode == 2 and "Expected" in done.stderr, nothing
    assert mien("ask", photos[0], "How old is she?").returncode == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_streams_that_are_full_or_closed_end_no_run(photos: list[Path], tmp_path: Path) -> None:
    def run(out: str, streams: str) -> subprocess.CompletedProcess[str]:
        command = f'"$0" -m mien analyze "$1" --out "$2" {streams}'
        environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
        return subprocess.run(
            ["sh", "-c", command, sys.executable, photos[0], out],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for number, streams in enumerate((">/dev/full 2>&-", ">&- 2>/dev/full")):
        done = run(f"o{number}", streams)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert len((tmp_path / f"o{number}" / "faces.csv").read_text().splitlines()) == 2
    full = run("-", ">/dev/full")
    assert full.returncode == 2 and "Got standard output" in full.stderr and "Traceback" not in full.stderr
