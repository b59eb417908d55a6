"""FER+'s votes -> labels, by the modes of its authors' training script (microsoft/FERPlus).

A single vote counts as noise and is dropped in all modes. ``clean`` (mien's default) keeps the others; ``majority``
keeps the leader if it has more than half of the votes; ``probability`` and ``crossentropy`` keep the leaders, at most
three, until three quarters of the votes are covered (they differ in the loss only). ``unknown`` and ``NF`` are kept out
of the distribution; a face where one of them leads, or that the mode discards, has no label. The emotion is the sole
leader of what is left; ties have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.core.nouns import Labels

__all__ = ["MODES", "VOTE_NAMES", "vote_labels"]

VOTE_NAMES = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
MODES = ("clean", "majority", "probability", "crossentropy", "emotions")
_NO_EMOTION = ("unknown", "NF")


def vote_labels(counts: Sequence[int], mode: str) -> Labels:
    """Labels of ten counts in the order of `VOTE_NAMES`, under one of `MODES`."""
    if mode == "emotions":
        shares = {
            name: float(n) for name, n in zip(VOTE_NAMES, counts, strict=True) if name not in _NO_EMOTION
        }
        leader = max(shares, key=lambda name: shares[name])
        return Labels(emotion=leader, votes=shares) if shares[leader] else Labels()
    kept = {name: float(n if n > 1 else 0) for name, n in zip(VOTE_NAMES, counts, strict=True)}
    if mode != "clean":
        kept = _leaders(kept, mode)
    top = max(kept.values())
    leaders = [name for name, count in kept.items() if count == top]
    emotions = {name: count for name, count in kept.items() if name not in _NO_EMOTION}
    if not any(emotions.values()) or set(_NO_EMOTION) & set(leaders):
        return Labels()
    return Labels(emotion=leaders[0] if len(leaders) == 1 else None, votes=emotions)


def _leaders(votes: Mapping[str, float], mode: str) -> dict[str, float]:
    """The authors' rules (FERPlus ``ferplus.py``): what is left of the votes; all zero when discarded."""
    total, kept = sum(votes.values()), dict.fromkeys(votes, 0.0)
    ranked = sorted((count for count in set(votes.values()) if count > 0), reverse=True)
    if mode == "majority":
        if ranked and ranked[0] > total / 2:
            leader = max(votes, key=lambda name: votes[name])
            kept[leader] = votes[leader]
        return kept
    for count in ranked:
        tied = [name for name in votes if votes[name] == count]
        if set(_NO_EMOTION) & set(tied):
            # Behind an emotion they end the list; in front they leave the face without one.
            kept.update({name: count for name in tied if name not in _NO_EMOTION})
            break
        kept.update(dict.fromkeys(tied, count))
        if sum(kept.values()) >= 0.75 * total or sum(map(bool, kept.values())) >= 3:
            break
    if sum(kept.values()) <= total / 2 or sum(map(bool, kept.values())) > 3:
        return dict.fromkeys(votes, 0.0)
    return kept
