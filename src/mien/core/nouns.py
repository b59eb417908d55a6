"""The nouns that carry everything through the house: Face, Labels, Sample, Dialogue, Answer and kin.

Arrays are numpy; units stand under each field. All are frozen: a later step makes a new one with
`dataclasses.replace`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from mien.core.aus import HIDES, LEVEL_LETTERS, Region, au_level, au_probability, check_cut_off
from mien.core.errors import BadInput
from mien.core.shown import Shown

__all__ = [
    "LANDMARKS",
    "Answer",
    "AuReading",
    "Claim",
    "CropTransform",
    "Dialogue",
    "Evidence",
    "Explanation",
    "Face",
    "FaceFacts",
    "FaceResult",
    "FloatArray",
    "FrameResult",
    "Image",
    "Labels",
    "Pose",
    "Quality",
    "Region",
    "Sample",
    "Turn",
    "Verification",
]

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
LANDMARKS = 478
"""Points of MediaPipe's attention mesh: 468 of the face, 10 of the irises."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Head pose in degrees, from the subject facing the camera: 0, 0, 0."""

    pitch: float
    """Positive: the head is raised (chin up)."""
    yaw: float
    """Positive: the head is turned to the subject's left (image right)."""
    roll: float
    """Positive: the head is tilted to the subject's left (clockwise as seen in the image)."""


@dataclass(frozen=True, slots=True, eq=False)
class CropTransform:
    """Similarity transform from image pixels to the canonical crop."""

    matrix: npt.NDArray[np.float64]
    """(2, 3): ``crop_xy = matrix @ (x, y, 1)``."""
    size: int
    """Side of the square crop in px."""

    def place(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(N, 2) x and y in px of the picture -> (N, 2) in px of the crop."""
        placed: npt.NDArray[np.float64] = np.asarray(points) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return placed


@dataclass(frozen=True, slots=True)
class Quality:
    """What limits the reading of one face; NaN where it was not measured."""

    eyes: float = math.nan
    """Size: px between the centres of the eyes, as the picture shows them."""
    blur: float = math.nan
    """0 sharp … 1 nothing but blur."""
    light: float = math.nan
    """Mean brightness of the face, 0 black … 1 white."""
    turned: float = math.nan
    """Degrees by which the head is turned or nods away from the camera (pitch and yaw together), >= 0."""
    in_plane: float = math.nan
    """Degrees by which the face is turned in the plane of the picture, -180..180, clockwise as seen."""
    hidden: tuple[Region, ...] = ()
    """Regions that something covers (mask, sunglasses, hand, hair): their AUs are not measured and not spoken of."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """Each limit that was passed -> its reason in words: ``small``, ``blurred``, ``dark``, ``bright``, ``turned``,
    ``turned_in_plane``, ``hidden_mouth``, ``hidden_eyes``, ``hidden_brow`` …"""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one image or frame."""

    box: FloatArray
    """(4,) left, top, right, bottom in px of the upright image."""
    score: float
    """Detector score 0..1 (1.0 for a given crop)."""
    landmarks: FloatArray | None = None
    """(478, 3) float32 in px; z in px with MediaPipe's sign (smaller is nearer); None when not found."""
    presence: float = math.nan
    """The mesh's own belief 0..1 that a face is there; NaN when the mesh did not run."""
    pose: Pose | None = None
    crop: CropTransform | None = None
    frame: int = 0
    """Frame index in the video, 0 for a photo."""
    time: float = 0.0
    """Presentation time in seconds, 0.0 for a photo."""
    track: int | None = None
    """Stable id over the frames of one video; None for photos."""
    quality: Quality | None = None
    """What limits a reading of it; None when it was not judged."""

    def __post_init__(self) -> None:
        if self.landmarks is not None and self.landmarks.shape != (LANDMARKS, 3):
            raise BadInput(
                got=f"landmarks of shape {self.landmarks.shape}",
                expected=f"({LANDMARKS}, 3): x, y, z in px",
                fix="Pass MediaPipe's 478 refined landmarks",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a model may look at for one face: pixels, landmarks, or both."""

    face: Face
    crop: Image | None = None
    """(S, S, 3) uint8 RGB canonical crop; None in landmarks-only mode."""


@dataclass(frozen=True, slots=True)
class AuReading:
    """One measurement of one Action Unit: four views that never contradict each other.

    The calibrated intensity is the measurement; level and presence follow from it by fixed rules, and
    probability crosses one half exactly where presence turns (`mien.core.aus`). Build it with `AuReading.of`.
    """

    probability: float
    """0..1, calibrated belief that the AU is present; > 0.5 exactly when `presence`."""
    intensity: float
    """0..1: 0 absent, 1 the strongest that the scale knows; NaN when unmeasured."""
    level: int
    """FACS level 0..5: 0 absent, 1 = A trace … 5 = E maximum."""
    presence: bool
    """``level >= cut_off``."""
    cut_off: int = 1
    """The level from which the AU counts as present. A protocol chooses it: DISFA 2, AU-LLaVA 3, FABA 1."""
    sharpness: float = 10.0
    """Slope of the probability at the cut-off, from the calibration of this AU."""
    left: float = math.nan
    """Intensity 0..1 on the person's own left side; NaN where sides were not measured."""
    right: float = math.nan
    """The same on the right."""

    @classmethod
    def of(
        cls, intensity: float, sharpness: float = 10.0, cut_off: int = 1, *,
        left: float = math.nan, right: float = math.nan,
    ) -> AuReading:  # fmt: skip
        """Derive all views from one calibrated intensity.

        Args:
            intensity: any real number or NaN; clipped to 0..1. NaN (unmeasured) gives NaN views, level 0, absent.
            sharpness: slope of the logistic at the cut-off.
            cut_off: level 1..5 from which the AU counts as present.
            left: intensity of the person's left side, clipped likewise; NaN when sides are not told apart.
            right: of the right side.
        """
        if math.isnan(intensity):
            return cls(math.nan, math.nan, 0, False, cut_off, sharpness)
        value, left, right = (
            math.nan if math.isnan(one) else min(max(float(one), 0.0), 1.0)
            for one in (intensity, left, right)
        )
        level = au_level(value)
        belief = au_probability(value, sharpness, cut_off)
        return cls(belief, value, level, level >= cut_off, cut_off, sharpness, left, right)

    def at(self, cut_off: int) -> AuReading:
        """The same measurement seen from another cut-off: presence and probability move, the rest stays."""
        check_cut_off(cut_off)
        if cut_off == self.cut_off:
            return self
        return AuReading.of(self.intensity, self.sharpness, cut_off, left=self.left, right=self.right)

    @property
    def measured(self) -> bool:
        """False when the AU could not be measured (no landmarks, a hidden region, a face turned away)."""
        return not math.isnan(self.intensity)

    @property
    def letter(self) -> str:
        """FACS intensity letter, empty when absent."""
        return LEVEL_LETTERS[self.level]


@dataclass(frozen=True, slots=True)
class FaceFacts:
    """What can be said of a face beside its expression (ExpLLM's face tasks); every field may be missing."""

    box: tuple[float, float, float, float] | None = None
    """Left, top, width, height."""
    points: tuple[tuple[float, float], ...] | None = None
    """Five (x, y): left eye, right eye, nose, left and right corner of the mouth; left is the picture's left."""
    pose: tuple[float, float, float] | None = None
    """Yaw, pitch, roll in degrees with 300W-LP's signs: turned to the subject's right, chin up, clockwise as seen."""
    demographics: tuple[int, int, int] | None = None
    """Codes of age group 0..8, gender 0..1 and race 0..4 as ExpLLM's question lists them: a data set's labels."""
    attributes: tuple[bool, ...] | None = None
    """CelebA's 40, in its order."""
    unit: Literal["px", "share"] = "px"
    """Of box and points: px of the picture, or shares 0..1 of the square that a model sees."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known about a sample; every field may be missing."""

    emotion: str | None = None
    """One of `mien.core.emotions.EMOTIONS`, or a dataset's own extra word (MAFW's ``"anxiety"``)."""
    votes: Mapping[str, float] | None = None
    """Rater votes by emotion word, as counted."""
    au_presence: Mapping[str, bool] | None = None
    """AU key -> coded as present."""
    au_level: Mapping[str, int] | None = None
    """AU key -> FACS level 0..5."""
    au_intensity: Mapping[str, float] | None = None
    """AU key (or FEAFA name) -> 0..1."""
    valence: float | None = None
    """-1..1."""
    arousal: float | None = None
    """-1..1."""
    smile: bool | None = None
    description: str | None = None
    question: str | None = None
    """What the data itself asks for its description; may hold evidence placeholders."""
    chain_of_thought: str | None = None
    facts: FaceFacts | None = None
    group: Mapping[str, str] = field(default_factory=dict)
    """Group attributes for audits only: ``age``, ``gender``, ``ethnicity``."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One labelled item of a dataset, pixels not yet read."""

    id: str
    dataset: str
    split: str
    """``train``, ``val``, ``test`` or a fold name."""
    media: str
    """What `mien.face.decode.media` opens: a path, ``archive.zip!member``, ``array.npz!row``, ``clip.mp4!frame`` …"""
    labels: Labels
    subject: str | None = None
    landmarks: FloatArray | None = None
    """(478, 3) when the dataset gives them."""
    cropped: bool = False
    """True when the picture is a face crop already (FER+, RAF-DB aligned, …)."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom in px of the face that is meant, where the picture may hold several."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a dialogue."""

    role: Literal["system", "user", "assistant"]
    text: str
    """May hold evidence placeholders such as ``<image>`` and ``<landmark>``."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Where data and models meet: what is asked and answered about one sample."""

    task: str
    """``emotion``, ``au-binary``, ``au-level``, ``au-intensity``, ``explanation``, ``conversation`` …"""
    turns: tuple[Turn, ...]
    sample_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer(Shown):
    """What a model said, and what a grammar read in it. An unparsed answer is counted, never guessed."""

    text: str
    status: Literal["answered", "declined", "unparsed"]
    """``declined``: the question asks for what cannot be told from a face's look; the text says so."""
    reason: str | None = None
    """Why nothing was read or answered, when unparsed or declined."""
    labels: Labels | None = None
    scores: Mapping[str, float] | None = None
    """Likelihood per label, when the read-out gives them; they sum to 1."""
    times: tuple[float, ...] = ()
    """Seconds of the video frames that it is about, in order; empty for a picture."""
    EARLIER: ClassVar[dict[str, dict[str, str]]] = {"status": {"parsed": "answered"}}
    """Words of earlier versions by field, read as today's (`mien.core.codec`)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable statement of an explanation about one AU."""

    au: str
    """AU key."""
    present: bool
    """False for a denial (``"the brows are not raised"``)."""
    level: tuple[int, int] | None
    """Claimed FACS level range, both ends included; None when no degree is named."""
    start: int
    """Character span of the statement in the text."""
    end: int
    verdict: Literal["supported", "contradicted", "unmeasured"] = "unmeasured"
    side: Literal["left", "right"] | None = None
    """The person's own side when one is named."""
    uncertain: bool = False
    """A hedge (``"may"``, ``"possibly"``): the statement is not counted as affirmed or denied."""


@dataclass(frozen=True, slots=True)
class Verification(Shown):
    """A text held against the measurement of one face: the audit, the metric and the reward share its arithmetic."""

    claims: tuple[Claim, ...]
    """All statements of the text, with their verdicts."""
    present: tuple[str, ...]
    """Keys of the AUs that were measured present."""
    faults: tuple[str, ...] = ()
    """What the text lacks of the form that was asked for, a sentence each."""
    DERIVED: ClassVar = ("precision", "recall", "supported", "contradicted", "unmeasured", "format")

    @property
    def supported(self) -> int:
        """Statements that the measurement bears out."""
        return self._count("supported")

    @property
    def contradicted(self) -> int:
        """Statements that the measurement contradicts."""
        return self._count("contradicted")

    @property
    def unmeasured(self) -> int:
        """Statements about AUs without a reading."""
        return self._count("unmeasured")

    @property
    def format(self) -> bool:
        """True when the form is as asked for."""
        return not self.faults

    @property
    def precision(self) -> float:
        """Share of the measured AUs that the text affirms which are present, 0..1; NaN when it affirms none."""
        said = {one.au for one in self._firm() if one.present and one.verdict != "unmeasured"}
        return len(said & set(self.present)) / len(said) if said else math.nan

    @property
    def recall(self) -> float:
        """Share of the present AUs that the text affirms, 0..1; NaN when none is present."""
        said = {one.au for one in self._firm() if one.present}
        return len(said & set(self.present)) / len(set(self.present)) if self.present else math.nan

    def _firm(self) -> list[Claim]:
        return [one for one in self.claims if not one.uncertain]

    def _count(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self._firm())


@dataclass(frozen=True, slots=True)
class Explanation(Shown):
    """A generated chain of thought in ExpLLM's three parts, with its audit."""

    observations: str
    interpretation: str
    conclusion: str
    claims: tuple[Claim, ...] = ()
    """Spans refer to `text`."""
    withheld: tuple[str, ...] = ()
    """Sentences taken out: contradicted by the measurement, or about what is hidden; they are not part of `text`."""
    DERIVED: ClassVar = ("text",)

    @property
    def text(self) -> str:
        """The three parts under their headings (ExpLLM §III), plain text."""
        return (
            f"Key Observations: {self.observations}\n\n"
            f"Overall Emotional Interpretation: {self.interpretation}\n\n"
            f"Conclusion: {self.conclusion}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class FaceResult(Shown):
    """Everything the analyzer says about one face."""

    face: Face
    emotions: Mapping[str, float]
    """Eight calibrated probabilities in `EMOTIONS` order, sum 1."""
    aus: Mapping[str, AuReading]
    """AU key -> reading."""
    explanation: Explanation | None = None
    DERIVED: ClassVar = ("emotion",)

    @property
    def emotion(self) -> str:
        """The most probable apparent emotion; empty when none was measured (NaN)."""
        if not self.emotions or any(math.isnan(value) for value in self.emotions.values()):
            return ""
        return max(self.emotions, key=lambda name: self.emotions[name])

    @property
    def hidden(self) -> tuple[Region, ...]:
        """Regions of the face that something covers."""
        return self.face.quality.hidden if self.face.quality is not None else ()

    @property
    def hidden_aus(self) -> frozenset[str]:
        """Keys of the AUs that cannot be seen for it."""
        return frozenset(key for region in self.hidden for key in HIDES[region])

    def without_hidden(self) -> FaceResult:
        """The same with every AU of a hidden region unmeasured: what is not seen gets no number and no word."""
        hidden = self.hidden_aus & self.aus.keys()
        if not any(self.aus[key].measured for key in hidden):
            return self
        blank = {
            key: AuReading.of(math.nan, self.aus[key].sharpness, self.aus[key].cut_off) for key in hidden
        }
        return replace(self, aus={key: blank.get(key, reading) for key, reading in self.aus.items()})

    @property
    def box(self) -> FloatArray:
        """(4,) left, top, right, bottom in px."""
        return self.face.box

    @property
    def score(self) -> float:
        """Detector score 0..1."""
        return self.face.score

    @property
    def landmarks(self) -> FloatArray | None:
        """(478, 3) px, or None."""
        return self.face.landmarks

    @property
    def pose(self) -> Pose | None:
        """Head pose in degrees, or None."""
        return self.face.pose

    @property
    def track(self) -> int | None:
        """Track id in a video."""
        return self.face.track


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult(Shown):
    """One photo or one frame of a video, with all its faces."""

    source: str
    """The path as given, or ``array:0`` for the first array."""
    frame: int
    time: float
    """Seconds; 0.0 for photos."""
    faces: tuple[FaceResult, ...]
    width: int = 0
    """Upright image size in px; 0 when the picture could not be read."""
    height: int = 0
    video: bool = False
    error: str | None = None
    """The three-sentence error when this item could not be analysed."""
