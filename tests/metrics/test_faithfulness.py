"""The audit of claims against measurements."""

import math

import pytest

from mien.core.nouns import AuReading, Claim
from mien.metrics.faithfulness import audit, count_claims, support_rate

AUS = {
    "AU06": AuReading.of(0.6),
    "AU12": AuReading.of(0.2),
    "AU04": AuReading.of(0.0),
    "AU25": AuReading.of(math.nan),
    "AU01": AuReading.of(0.2, cut_off=2),
}


def verdict(au, present=True, level=None):
    (claim,) = audit([Claim(au, present, level, 3, 9)], AUS)
    assert (claim.start, claim.end, claim.level) == (3, 9, level)
    return claim.verdict


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (("AU06",), "supported"),
        (("AU06", False), "contradicted"),
        (("AU04",), "contradicted"),
        (("AU04", False), "supported"),
        (("AU06", True, (3, 3)), "supported"),
        (("AU06", True, (1, 2)), "supported"),
        (("AU06", True, (4, 5)), "supported"),
        (("AU06", True, (1, 1)), "contradicted"),
        (("AU06", True, (5, 5)), "contradicted"),
        (("AU12", True, (1, 2)), "supported"),
        (("AU12", True, (3, 4)), "contradicted"),
        (("AU04", True, (1, 1)), "contradicted"),
        (("AU25",), "unmeasured"),
        (("AU25", False), "unmeasured"),
        (("AU43",), "unmeasured"),
        (("AU01",), "contradicted"),
        (("AU01", False), "supported"),
    ],
)
def test_verdicts(claim, expected):
    assert verdict(*claim) == expected


def test_counts_and_rate():
    texts = [
        audit([Claim("AU06", True, None, 0, 1), Claim("AU25", True, None, 2, 3)], AUS),
        audit([Claim("AU04", True, None, 0, 1), Claim("AU12", True, None, 2, 3)], AUS),
        audit([], AUS),
    ]
    counts = count_claims(claim for claims in texts for claim in claims)
    assert (counts.supported, counts.contradicted, counts.unmeasured, counts.total) == (2, 1, 1, 4)
    rate = support_rate(texts)
    assert rate.value == pytest.approx(2 / 3)
    assert rate.n == 3
    assert rate.parts == {
        "contradicted": 0.25,
        "unmeasured": 0.25,
        "claims per explanation": pytest.approx(4 / 3),
    }
    assert support_rate(texts[::-1]) == rate


def test_without_claims_the_rate_is_undefined():
    rate = support_rate([])
    assert math.isnan(rate.value)
    assert rate.n == 0
    assert math.isnan(rate.parts["claims per explanation"])
