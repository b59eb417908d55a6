"""Names for the 478 points: contours for drawing, and the 68 points of the dlib / iBUG mark-up.

Left and right are the subject's. Contours follow MediaPipe's face mesh connections (Apache-2.0); the full
surface mesh is `mien.face.pose.MeanFace.edges`.
"""

from __future__ import annotations

__all__ = [
    "CONTOURS",
    "DLIB68",
    "FACE_OVAL",
    "LEFT_BROW",
    "LEFT_EYE",
    "LEFT_IRIS",
    "LIPS_INNER",
    "LIPS_OUTER",
    "MESH106",
    "NOSE_RIDGE",
    "RIGHT_BROW",
    "RIGHT_EYE",
    "RIGHT_IRIS",
]


def _points(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split())


FACE_OVAL = _points(
    "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 132 93 "
    "234 127 162 21 54 103 67 109"
)
"""Closed outline, clockwise as seen, from the middle of the forehead."""
LEFT_EYE = _points("263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466")
"""Closed, from the outer corner along the lower lid."""
RIGHT_EYE = _points("33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246")
"""Closed, from the outer corner along the lower lid."""
LEFT_BROW = _points("300 293 334 296 336 285 295 282 283 276")
"""Closed: the upper edge from the outer end, back along the lower edge."""
RIGHT_BROW = _points("70 63 105 66 107 55 65 52 53 46")
"""Closed: the upper edge from the outer end, back along the lower edge."""
LEFT_IRIS = _points("474 475 476 477")
"""Closed rim; the centre is point 473."""
RIGHT_IRIS = _points("469 470 471 472")
"""Closed rim; the centre is point 468."""
LIPS_OUTER = _points("61 146 91 181 84 17 314 405 321 375 291 409 270 269 267 0 37 39 40 185")
"""Closed, from the right corner along the lower lip."""
LIPS_INNER = _points("78 95 88 178 87 14 317 402 318 324 308 415 310 311 312 13 82 81 80 191")
"""Closed, from the right corner along the lower lip."""
NOSE_RIDGE = _points("168 6 197 195 5 4 1 19 94 2")
"""Open, from the root down to the lip."""

CONTOURS: tuple[tuple[tuple[int, ...], bool], ...] = (
    (FACE_OVAL, True),
    (LEFT_EYE, True),
    (RIGHT_EYE, True),
    (LEFT_BROW, True),
    (RIGHT_BROW, True),
    (LEFT_IRIS, True),
    (RIGHT_IRIS, True),
    (LIPS_OUTER, True),
    (LIPS_INNER, True),
    (NOSE_RIDGE, False),
)
"""Every contour with True when it is closed, for drawing."""

DLIB68 = _points(
    "127 234 93 132 58 172 150 176 152 400 379 397 288 361 323 454 356 "  # jaw, right ear to left ear
    "70 63 105 66 107 336 296 334 293 300 "  # brows, image left to right
    "168 6 195 4 98 97 2 326 327 "  # nose ridge, nostrils
    "33 160 158 133 153 144 362 385 387 263 373 380 "  # eyes, clockwise as seen from each left corner
    "61 39 37 0 267 269 291 405 314 17 84 181 "  # outer lips, clockwise as seen
    "78 82 13 312 308 317 14 87"  # inner lips, clockwise as seen
)
"""Index of the mesh point at each of the 68 iBUG points; the jaw points are spaced evenly along the outline."""

MESH106: tuple[int, ...] = (
    *FACE_OVAL, *LEFT_BROW[::2], *RIGHT_BROW[::2], *LEFT_EYE[::2], *RIGHT_EYE[::2], *NOSE_RIDGE, *LIPS_OUTER,
    *LIPS_INNER[::2], 468, 473, 98, 327,
)  # fmt: skip
"""106 points of the mesh that outline what InsightFace's 106 outline; the order is our own."""
