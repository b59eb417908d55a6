"""Render faces with Action Unit truth: training shards, or the example clip.

    python tools/render_faces.py --count 12000 --out renders --size 160 --seed 0 --workers 2
    python tools/render_faces.py --count 27136 --size 144 --out runs/renders --held-back
    python tools/render_faces.py --leak --size 144 --out runs/leak
    python tools/render_faces.py --clip examples/clip.mp4

``--held-back`` draws only the people that training never sees, which is all that `benchmarks/aus.py` reads; ``--leak``
draws the pictures of `benchmarks/leak.py`.

Needs the ICT face (`ict_facekit/ict_light.npz`) below the data folder (--data, MIEN_DATA, or
../shared/data beside the repository).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from renderer.faces import data_folder
from renderer.leak import write_leak_pictures
from renderer.shards import Job, write_shards


def main() -> int:
    """Parse the command line and render."""
    parser = argparse.ArgumentParser(description="Render faces with Action Unit truth.")
    parser.add_argument("--count", type=int, default=12000, help="number of pictures")
    parser.add_argument("--out", type=Path, help="folder for the shards")
    parser.add_argument("--size", type=int, default=160, help="picture side in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-back", action="store_true", help="only people held back from training")
    parser.add_argument("--leak", action="store_true", help="pictures for the leak test")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--data", help="data folder")
    parser.add_argument("--clip", type=Path, help="write the example clip to this mp4 file instead")
    options = parser.parse_args()
    data = data_folder(options.data)
    if options.clip is not None:
        from renderer.clip import render_clip

        size = render_clip(data, options.clip)
        print(f"{options.clip}: {size / 1024:.0f} KiB")
        return 0
    if options.out is None:
        parser.error("give --out (a folder for shards) or --clip (an mp4 file)")
    if options.leak:
        for line in write_leak_pictures(data, options.size, options.out):
            print(line, flush=True)
        return 0
    job = Job(data, options.out, options.count, options.size, options.seed, options.held_back)
    drawn = write_shards(job, options.workers, lambda line: print(line, flush=True))
    print(f"{drawn} pictures drawn; the others were there already")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
