"""Does an explanation say what was measured? Verdicts on its claims, and the shares of each.

Conventions
    * unmeasured: the AU has no reading, or its reading is NaN.
    * supported: presence agrees and, when the claim names degrees, the measured level lies within the named
      range widened by one level on either side (adjacent FACS levels are within rater agreement).
    * contradicted: everything else.
    * A denial is judged by presence alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from mien.core.nouns import AuReading, Claim
from mien.metrics.result import Result

__all__ = ["TOLERANCE", "ClaimCounts", "audit", "count_claims", "support_rate"]

TOLERANCE = 1
"""Levels by which a measured level may miss the named range."""


@dataclass(frozen=True, slots=True)
class ClaimCounts:
    """Claims by verdict."""

    supported: int
    contradicted: int
    unmeasured: int

    @property
    def total(self) -> int:
        """All claims."""
        return self.supported + self.contradicted + self.unmeasured


def _supports(claim: Claim, reading: AuReading) -> bool:
    if reading.presence != claim.present:
        return False
    if not claim.present or claim.level is None:
        return True
    low, high = claim.level
    return low - TOLERANCE <= reading.level <= high + TOLERANCE


def audit(claims: Iterable[Claim], aus: Mapping[str, AuReading]) -> tuple[Claim, ...]:
    """The claims with their verdicts against the readings; order and spans unchanged."""
    judged = []
    for claim in claims:
        reading = aus.get(claim.au)
        if reading is None or not reading.measured:
            judged.append(replace(claim, verdict="unmeasured"))
        else:
            judged.append(
                replace(claim, verdict="supported" if _supports(claim, reading) else "contradicted")
            )
    return tuple(judged)


def count_claims(claims: Iterable[Claim]) -> ClaimCounts:
    """How many claims have each verdict."""
    verdicts = [claim.verdict for claim in claims]
    return ClaimCounts(*(verdicts.count(name) for name in ("supported", "contradicted", "unmeasured")))


def support_rate(explanations: Collection[Iterable[Claim]]) -> Result:
    """Share of supported claims among all checkable ones (supported or contradicted), pooled over explanations.

    ``n`` is the number of checkable claims; ``parts`` gives ``contradicted`` and ``unmeasured`` as shares of all
    claims and ``claims per explanation``. Undefined (NaN) without a checkable claim.
    """
    counts = count_claims(claim for claims in explanations for claim in claims)
    checkable = counts.supported + counts.contradicted
    parts = {
        "contradicted": counts.contradicted / counts.total if counts.total else math.nan,
        "unmeasured": counts.unmeasured / counts.total if counts.total else math.nan,
        "claims per explanation": counts.total / len(explanations) if explanations else math.nan,
    }
    return Result(
        "supported claims", counts.supported / checkable if checkable else math.nan, checkable, parts
    )
