"""Which frames of a video a model reads."""

from __future__ import annotations

from mien.core.errors import BadInput

__all__ = ["frame_indices"]


def frame_indices(frames: int, rate: float, limit: int | None = None) -> list[int]:
    """Frames that are read of a video: about one per second, as LLaMA-VID does it.

    Args:
        frames: how many the video has.
        rate: its frames per second. Below 0.5 the released code fails; here every frame is taken.
        limit: at most so many, spread evenly; None for all, which a long video's prompt may not hold.

    Raises:
        BadInput: no frames, or no positive rate.
    """
    if frames < 1 or not rate > 0.0:
        raise BadInput(
            got=f"{frames} frames at {rate} per second", expected="both above 0", fix="Check the video"
        )
    chosen = list(range(0, frames, max(1, round(rate))))
    if limit is not None and len(chosen) > limit:
        chosen = [chosen[place * len(chosen) // limit] for place in range(limit)]
    return chosen
