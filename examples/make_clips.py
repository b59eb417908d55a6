"""Twenty practice clips from the example clip: ten "people" at rest and watching a film.

    python examples/make_clips.py clips

All of them are the one drawn face of clip.mp4, each lit a little differently: good for trying the commands, and nothing
to be learnt from the numbers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np

PARTS = {"rest": (0, 12), "film": (8, 48)}
"""Frames of clip.mp4: the calm start, and from there through the smile."""


def main(folder: Path) -> None:
    """Write clips/p01_rest.mp4 … clips/p10_film.mp4."""
    with av.open(str(Path(__file__).with_name("clip.mp4"))) as source:
        frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
    folder.mkdir(parents=True, exist_ok=True)
    for person in range(1, 11):
        for condition, (start, stop) in PARTS.items():
            path = folder / f"p{person:02d}_{condition}.mp4"
            with av.open(str(path), "w") as target:
                stream = target.add_stream("libx264", rate=25)
                stream.height, stream.width = frames[0].shape[:2]
                stream.pix_fmt = "yuv420p"
                for frame in frames[start:stop]:
                    lit = np.clip(frame * (0.8 + 0.04 * person), 0, 255).astype(np.uint8)
                    target.mux(stream.encode(av.VideoFrame.from_ndarray(lit, format="rgb24")))
                target.mux(stream.encode())
    print(f"20 clips in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "clips"))
