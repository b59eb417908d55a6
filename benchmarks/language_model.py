"""The data engines, the judge and a question, with a real language model behind the wire: what is kept, and why.

    MIEN_TEST_LM=FOLDER python benchmarks/language_model.py [--limit N]

The model is SmolLM2-135M-Instruct on a CPU (`tools/lm_server.py`). It cannot see, so what it writes is fluent and
mostly wrong: a test of gates on texts that nobody wrote for them. Each engine runs over the same labelled faces twice,
once killed (signal 9) five times and taken up again, once left alone; both must end with the same bytes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

from _record import ROOT, Record, Skipped, parser, run, table
from _validation import samples_of

from mien.dialogue.read.claims import read_claims
from mien.dialogue.read.emotion import read_emotion
from mien.train.data.crops import iter_pixels

SERVER = ROOT / "tools" / "lm_server.py"
NAME = "smollm2-135m-instruct-q4"
FILES = ("items.jsonl", "rejected.jsonl", "statistics.json")
FACES, KILLS, MOST = 100, 5, 72
ENGINES = {
    "faba": ("--task", "emotion"),
    "conversations": (),
    "exp-cot": ("--rounds", "0", "--hints", "0", "--gates", "paper"),
}
"""Engine -> options that keep its requests few."""


def measure(record: Record) -> None:
    with tempfile.TemporaryDirectory(prefix="mien-lm-") as name, serving() as address:
        folder = Path(name)
        faces = pictures(record, folder / "faces")
        for engine, options in ENGINES.items():
            annotate(record, address, engine, faces, folder, options)
            print("\n".join(table(record.figures[-3:])[1:]), flush=True)
        asked(record, address, faces)
        judged(record, address, faces, folder)


@contextmanager
def serving() -> Iterator[str]:
    """The address of the model's server: one that runs (``MIEN_LM_ADDRESS``), or a new one."""
    if "MIEN_LM_ADDRESS" in os.environ:
        yield os.environ["MIEN_LM_ADDRESS"]
        return
    with subprocess.Popen(
        [sys.executable, str(SERVER), "--most", str(MOST)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        if not port:
            raise Skipped("no language model: see tools/lm_server.py, and set MIEN_TEST_LM")
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()


def pictures(record: Record, root: Path) -> Path:
    """Labelled photos as the data set ``folder`` reads them."""
    from PIL import Image as Picture

    samples = samples_of("lfw_emotion", record.options.limit or FACES, lambda one: bool(one.labels.emotion))
    for number, (sample, image) in enumerate(zip(samples, iter_pixels(samples), strict=True)):
        place = root / str(sample.labels.emotion) / f"{number:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(image).save(place)
    return root


def count(address: str) -> int:
    with urlopen(f"{address}/models", timeout=600) as reply:
        return int(json.load(reply)["count"])


def command(address: str, engine: str, faces: Path, out: Path, options: tuple[str, ...]) -> list[str]:
    return [
        sys.executable, "-m", "mien", "annotate", engine, "folder", "--root", str(faces), "--out", str(out),
        "--teacher", address, "--model", NAME, "--workers", "1", "--timeout", "600", "--quiet", "--resume", *options,
    ]  # fmt: skip


def annotate(
    record: Record, address: str, engine: str, faces: Path, folder: Path, options: tuple[str, ...]
) -> None:
    """One engine over all faces: killed and calm."""
    parted, calm = folder / f"{engine}-parted", folder / f"{engine}-calm"
    rng = random.Random(record.options.seed)
    asked = [count(address)]
    for _ in range(KILLS):
        wait = rng.randint(2, max(3, (record.options.limit or FACES) // 4))
        process = subprocess.Popen(command(address, engine, faces, parted, options))
        while process.poll() is None and count(address) < asked[-1] + wait:
            time.sleep(0.2)
        process.kill()  # signal 9
        process.wait()
        asked.append(count(address))
    subprocess.run(command(address, engine, faces, parted, options), check=False)
    asked.append(count(address))
    subprocess.run(command(address, engine, faces, calm, options), check=False)
    asked.append(count(address))
    same = sum((parted / name).read_bytes() == (calm / name).read_bytes() for name in FILES)
    counts = json.loads((calm / "statistics.json").read_text("utf-8"))
    rejected = [json.loads(line) for line in (calm / "rejected.jsonl").read_text("utf-8").splitlines()]
    reasons = Counter(str(row["reason"]) for row in rejected).most_common(6)
    requests, items = asked[-1] - asked[-2], int(counts["items"])
    killed = sum(two > one for one, two in pairwise(asked[: KILLS + 1]))
    record.add(
        f"{engine}: items kept", 100 * (items - len(rejected)) / items, "%", n=items,
        note=", ".join(f"{number} {reason}" for reason, number in reasons),
    )  # fmt: skip
    record.add(f"{engine}: files equal after {killed} kills", same / len(FILES), bar=1.0, n=len(FILES))
    again = asked[-2] - asked[0] - requests
    record.add(f"{engine}: requests repeated by them", again, bar=KILLS, at_most=True, n=requests)


def asked(record: Record, address: str, faces: Path) -> None:
    """A question by ``mien ask --teacher``, and a judge who marks chains of thought."""
    photos = sorted(faces.rglob("*.png"))[:10]
    question = "Describe the facial expression in two sentences. Which movements of the face show it?"
    done = told = 0
    for photo in photos:
        options = ["--teacher", address, "--served-as", NAME]
        out = subprocess.run(
            [sys.executable, "-m", "mien", "ask", str(photo), question, *options],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        done += out.returncode == 0 and bool(out.stdout.strip())
        told += bool(read_claims(out.stdout) or read_emotion(out.stdout).emotion)
    record.add("ask: questions answered", done, bar=len(photos), n=len(photos))
    record.add("ask: answers that say anything of a face", told, n=len(photos))


def judged(record: Record, address: str, faces: Path, folder: Path) -> None:
    """Chains of thought by the pocket model, marked by the language model."""
    rows, root = folder / "rules", folder / "expllm"
    command = [
        sys.executable,
        "-m",
        "mien",
        "annotate",
        "exp-cot",
        "folder",
        "--root",
        str(faces),
        "--out",
        str(rows),
    ]
    subprocess.run([*command, "--limit", "12", "--quiet"], check=False)
    made = [json.loads(line) for line in (rows / "items.jsonl").read_text("utf-8").splitlines()]
    lists = root / "data_list" / "test"
    lists.mkdir(parents=True)
    (lists / "raf-db-gt_emo-des.txt").write_text(f"{root / 'rows.json'},{faces}\n", "utf-8")
    (root / "rows.json").write_text(json.dumps(made), "utf-8")
    out = folder / "judged"
    command = [
        sys.executable, "-m", "mien", "eval", "pocket", "--suite", "exp-cot", "--root", str(root), "--out", str(out),
        "--judge", address, "--judge-model", NAME, "--workers", "1", "--timeout", "600", "--quiet",
    ]  # fmt: skip
    subprocess.run(command, check=False)
    told = json.loads((out / "result.json").read_text("utf-8"))["suites"]["exp-cot"]["readings"]["official"]
    share = 1.0 - told["unmarked"] / len(made)
    record.add("judge: chains of thought that it marked in a readable form", 100 * share, "%", n=len(made))


if __name__ == "__main__":
    run("language_model", parser(__doc__.splitlines()[0]), measure)
