"""The report: complete in itself, safe, the same bytes after a resume, bounded, and true to its results."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image as PilImage

from mien.analyze import report as report_module
from mien.analyze.report import ReportBuilder
from mien.analyze.report_cards import card_from, say_level
from mien.analyze.report_charts import MAX_BUCKETS, Bar, Track, bar_chart, clock, timeline
from mien.core.emotions import EMOTIONS
from mien.core.errors import OutputFailed
from mien.core.nouns import AuReading, Claim, Explanation, Face, FaceResult, FrameResult, Pose

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and the text that is shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self.feed(html)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.shown.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.shown))

    def classes(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


def an_explanation(withheld: tuple[str, ...] = ()) -> Explanation:
    observations = "The lip corners are pulled up and the cheeks are raised. The jaw juts forward."
    interpretation, conclusion = (
        "A broad smile, with brows that are lowered.",
        "The face looks happy & <b>open</b>.",
    )
    text = Explanation(observations, interpretation, conclusion).text

    def claim(words: str, au: str, verdict) -> Claim:
        start = text.index(words)
        return Claim(au, True, None, start, start + len(words), verdict)

    claims = (
        claim("The lip corners are pulled up", "AU12", "supported"),
        claim("the cheeks are raised", "AU06", "supported"),
        claim("The jaw juts forward", "AU29", "unmeasured"),
        claim("brows that are lowered", "AU04", "contradicted"),
    )
    return Explanation(observations, interpretation, conclusion, claims, withheld)


def a_face(
    box=(60, 40, 160, 160),
    emotion="happiness",
    share=0.86,
    track=None,
    explanation=None,
    smile=0.83,
    aus=None,
):
    left, top, right, bottom = box
    points = np.zeros((478, 3), np.float32)
    angle = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    points[:, 0] = (left + right) / 2 + 0.45 * (right - left) * np.cos(angle)
    points[:, 1] = (top + bottom) / 2 + 0.45 * (bottom - top) * np.sin(angle)
    face = Face(np.array(box, np.float32), 0.91, points, 0.99, Pose(3.0, -8.0, 1.0), track=track)
    shares = {name: share if name == emotion else (1 - share) / 7 for name in EMOTIONS}
    values = {"AU04": 0.02, "AU06": 0.55, "AU12": smile, "AU25": 0.31, "AU43": math.nan}
    aus = aus or {k: AuReading.of(v) for k, v in values.items()}
    return FaceResult(face, shares, aus, explanation)


def photo(name="smile.jpg", *faces):
    return FrameResult(name, 0, 0.0, faces or (a_face(explanation=an_explanation()),), 320, 240)


def clip(count=60, source="clip.mp4", gap=range(20, 30)):
    """Neutral at first, then a smile; no face in the frames of ``gap``."""
    for i in range(count):
        emotion, smile = ("neutral", 0.03) if i < count // 2 else ("happiness", 0.8)
        face = a_face((60 + i % 7, 40, 160 + i % 7, 160), emotion, 0.5 + 0.005 * (i % 30), 1, smile=smile)
        yield FrameResult(source, i, i / 25, () if i in gap else (face,), 320, 240, True)


def picture(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (240, 320, 3), dtype=np.uint8)


def everything() -> list[tuple[FrameResult, np.ndarray | None]]:
    group = photo("group.jpg", a_face(), a_face((200, 60, 280, 160), "anger", 0.5))
    broken = FrameResult("bad.jpg", 0, 0.0, (), error="Got b'text'. Expected a picture. Check it.")
    items = [photo(), group, FrameResult("empty.jpg", 0, 0.0, (), 320, 240), broken, *clip()]
    return [(item, None if item.error else picture(i)) for i, item in enumerate(items)]


def built(items, redact=False, **settings) -> ReportBuilder:
    builder = ReportBuilder("Two photos and a clip", {"name": "rules"}, redact, **settings)
    for result, image in items:
        builder.add(result, image)
    return builder


def test_is_one_well_formed_file_that_loads_nothing():
    html = built(everything()).html(
        {"command": ["mien", "analyze", "a b.jpg"], "home": "https://example.org"}
    )
    page = Page(html)
    for tag, attrs in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name in ("src", "href", "srcset", "action", "data"):
            value = attrs.get(name) or ""
            assert value.startswith(("data:image/jpeg;base64,", "#")) or not value
    assert html.count("https://") == 1 and "https://example.org" in page.text
    assert "@import" not in html and "url(" not in html
    policies = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    assert policies and policies[0].startswith("default-src 'none'")
    assert "mien analyze 'a b.jpg'" in page.text


def test_says_what_was_found():
    page = Page(built(everything()).html({}))
    for words in (
        "Two photos and a clip", "3photos", "3faces in photos", "60video frames", "10frames without a face",
        "1not analysed", "happiness 86 %", "AU12", "lip corner puller", "Not measured: AU43", "0:02.4 long",
        "a face in 83 %", "Got b'text'. Expected a picture.", "apparent expression", "2024/1689",
    ):  # fmt: skip
        assert words in page.text, words
    targets = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert targets and targets <= {f"#{name}" for name in ids}
    assert len(ids) == len(set(ids))


def test_user_text_is_harmless():
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>.jpg"
    builder = ReportBuilder(evil, {"name": evil, "kind": evil})
    builder.add(photo(evil), picture())
    for result in clip(30, evil):
        builder.add(result, picture())
    html = builder.html({evil: evil}, [(evil, evil)])
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert html.count("<script") == 1 and "<img src=x" not in html
    assert "The face looks happy & <b>open</b>." in page.text


def test_claims_are_marked_with_their_verdict_and_measurement():
    result = photo("a.jpg", a_face(explanation=an_explanation(("The lips pout.",))))
    page = Page(built([(result, picture())]).html({}))
    tips = {attrs["title"]: attrs["class"] for attrs in page.classes("claim") if "title" in attrs}
    assert tips == {
        "AU12 lip corner puller: measured D, severe (0.83), claim supported": "claim supported",
        "AU6 cheek raiser: measured C, pronounced (0.55), claim supported": "claim supported",
        "AU29 AU29: not measured": "claim unmeasured",
        "AU4 brow lowerer: measured absent (0.02), claim contradicted": "claim contradicted",
    }
    assert "Withheld: contradicted by the measurement The lips pout." in page.text
    assert "2 claims supported · 1 claim unmeasured · 1 claim contradicted" in page.text


def test_runs_hold_the_text_of_the_explanation_unchanged():
    explanation = an_explanation()
    card = card_from(photo(), picture())["faces"][0]["explanation"]
    bodies = ["".join(run[0] for run in part["runs"]) for part in card["parts"]]
    assert bodies == [explanation.observations, explanation.interpretation, explanation.conclusion]


def test_overlapping_claims_become_one_with_the_worst_verdict():
    text = Explanation("The lids are tight and raised.", "", "").text
    start = text.index("The lids")
    first = Claim("AU07", True, None, start, start + 18, "supported")
    second = Claim("AU05", True, None, start + 4, start + 29, "contradicted")
    explanation = Explanation("The lids are tight and raised.", "", "", (second, first))
    card = card_from(photo("a.jpg", a_face(explanation=explanation)), None)
    runs = card["faces"][0]["explanation"]["parts"][0]["runs"]
    assert [run[:2] for run in runs] == [["The lids are tight and raised", "contradicted"], [".", None]]
    assert "AU7" in runs[0][2] and "AU5" in runs[0][2]


@pytest.mark.parametrize("redact", [False, True])
def test_a_resumed_report_has_the_same_bytes(redact):
    items = everything()
    whole = built(items, redact).html({"date": "2026-01-01"})
    before = ReportBuilder("Two photos and a clip", {"name": "rules"}, redact)
    cards = [json.dumps(before.add(result, image)) for result, image in items[:33]]
    after = ReportBuilder("Two photos and a clip", {"name": "rules"}, redact)
    for (result, _), card in zip(items, cards, strict=False):
        after.count(result)
        if json.loads(card) is not None:
            after.add_card(json.loads(card))
    for result, image in items[33:]:
        after.add(result, image)
    assert after.html({"date": "2026-01-01"}) == whole
    assert built(items, redact).html({"date": "2026-01-01"}) == whole


def test_the_chart_counts_what_the_cut_off_counts():
    aus = {"AU06": AuReading.of(0.3).at(4), "AU12": AuReading.of(0.8).at(4), "AU25": AuReading.of(0.6).at(4)}
    face = a_face(aus=aus)
    builder = ReportBuilder("t", {})
    builder.add(photo("a.jpg", face), picture())
    page = Page(builder.html({}))
    chart = page.text.split("Most frequent Action Units")[1].split("Faces")[0]
    assert "AU12" in chart and "AU06" not in chart and "AU25" not in chart
    assert "level D or more" in chart


def test_cards_are_plain_json():
    result = photo("a.jpg", a_face(), a_face((200, 60, 280, 160)))
    card = card_from(result, picture())
    assert json.loads(json.dumps(card, allow_nan=False)) == card
    assert card["overview"] and len(card["faces"]) == 2
    assert card["faces"][0]["aus"]["AU43"] == [None, 0, False]
    with PilImage.open(io.BytesIO(base64.b64decode(card["faces"][0]["thumbnail"]))) as thumbnail:
        assert max(thumbnail.size) == 288


def test_redacted_pictures_do_not_depend_on_the_face_pixels():
    """Two faces whose pixels have the same mean give the same pictures."""
    stripes, checks = np.zeros((240, 320, 3), np.uint8), np.zeros((240, 320, 3), np.uint8)
    stripes[::2] = 200
    checks[::2, ::2], checks[1::2, 1::2] = 200, 200
    group = photo("a.jpg", a_face((20, 20, 150, 220)), a_face((160, 20, 300, 220)))
    for where in ([0], [1], [0, 1]):
        one, other = (card_from(group, image, True, where) for image in (stripes, checks))
        plain = card_from(group, checks, False, where)
        for a, b, shown in zip(one["faces"], other["faces"], plain["faces"], strict=True):
            pictures = [
                np.asarray(PilImage.open(io.BytesIO(base64.b64decode(c["thumbnail"]))), float)
                for c in (a, b, shown)
            ]
            middle = [image[100:188, 80:150].mean(axis=2) for image in pictures]
            assert np.abs(middle[0] - middle[1]).mean() < 4
            assert np.abs(middle[0] - middle[2]).mean() > 25


def test_landmarks_only_keeps_no_pixel_but_shows_the_mesh():
    card = card_from(photo(), None)
    assert card["overview"] is None
    thumbnail = np.asarray(PilImage.open(io.BytesIO(base64.b64decode(card["faces"][0]["thumbnail"]))))
    assert (thumbnail.max(axis=2) > 120).mean() > 0.002
    assert np.median(thumbnail.max(axis=2)) < 70


def test_cards_are_bounded_and_the_rest_is_counted():
    builder = ReportBuilder("t", {}, max_cards=5)
    cards = [
        builder.add(photo(f"{i}.jpg", a_face(), a_face((200, 60, 280, 160))), picture()) for i in range(6)
    ]
    page = Page(builder.html({}))
    assert [0 if card is None else len(card["faces"]) for card in cards] == [2, 2, 1, 0, 0, 0]
    assert len(page.classes("card")) == 5
    assert "7 more faces are in the table only." in page.text
    assert "12faces in photos" in page.text


def test_a_crowded_long_video_stays_small():
    builder = ReportBuilder("t", {})
    for i in range(900):
        faces = tuple(a_face(track=track) for track in (1, 2, 100 + i // 20))
        builder.add(FrameResult("long.mp4", i, i / 25, faces, 320, 240, True), None)
    video = builder._videos["long.mp4"]
    assert len(video.tracks) <= report_module._TRACKS_KEPT
    assert all(len(track.buckets) <= MAX_BUCKETS for track in video.tracks.values())
    assert len(video.key_frames) <= (8 + 4) * len(video.tracks)
    html = builder.html({})
    assert len(html) < 1_500_000
    page = Page(html)
    assert len(page.classes("timeline")) == report_module.MAX_TRACKS
    assert "41 more faces were seen more briefly and are in the table only." in page.text


def test_many_videos_and_errors_are_bounded():
    builder = ReportBuilder("t", {})
    for i in range(report_module.MAX_VIDEOS + 3):
        for result in clip(4, f"{i}.mp4", ()):
            builder.add(result, None)
    page = Page(builder.html({}, [(f"{i}.jpg", "Got nothing.") for i in range(230)]))
    assert "3 more videos are in the table only." in page.text
    assert "30 more errors are in errors.jsonl only." in page.text
    assert len(page.classes("timeline")) == report_module.MAX_VIDEOS


def test_key_frames_are_the_clearest_of_each_emotion():
    builder = ReportBuilder("t", {})
    for result in clip(60):
        builder.add(result, picture())
    frames = builder._videos["clip.mp4"].key_frames
    assert {name for _, name in frames if name in EMOTIONS} == {"neutral", "happiness"}
    for (_, name), frame in frames.items():
        if name in EMOTIONS:
            best = max(f.emotions[name] for r in clip(60) for f in r.faces if f.emotion == name)
            assert frame.face["emotions"][name] >= best - 0.02


def test_the_strongest_action_units_are_shown_at_their_apex():
    keys = ("AU01", "AU04", "AU06", "AU12", "AU25", "AU26")
    builder = ReportBuilder("t", {})
    for i in range(60):
        # Each rises and falls at its own time, the later the stronger; the first stays weak.
        strengths = {key: max(0.0, 0.4 + 0.1 * n - abs(i - 10 * n) / 10) for n, key in enumerate(keys)}
        face = a_face(aus={key: AuReading.of(strength) for key, strength in strengths.items()}, track=1)
        builder.add(FrameResult("c.mp4", i, i / 25, (face,), 320, 240, True), picture())
    apexes = {
        name: one for (_, name), one in builder._videos["c.mp4"].key_frames.items() if name not in EMOTIONS
    }
    assert set(apexes) == set(keys[2:])
    for n, key in enumerate(keys):
        assert key not in apexes or abs(apexes[key].time * 25 - 10 * n) <= 1
    page = Page(builder.html({}))
    assert re.search(r"AU26 ?0:0\d", page.text) and any(
        "AU26" in attrs.get("alt", "") for tag, attrs in page.tags if tag == "img"
    )


def test_what_a_pointer_or_an_eye_would_find_stands_in_words_too():
    page = Page(built(everything()).html({}))
    for words in (
        "neutral0:00.0 to 0:00.7", "happiness0:01.2 to 0:02.3",
        "AU12 lip corner puller0:01.2 to 0:02.3, most at", "0.80: D, severe",
        "“The lip corners are pulled up”: supported.",
    ):  # fmt: skip
        assert words in page.text, words
    pictures = [attrs["alt"] for tag, attrs in page.tags if tag == "img"]
    assert "The whole picture with 2 numbered faces" in pictures
    assert any(
        "looks like happiness, 86 %; AU12 lip corner puller D, severe, AU06" in alt for alt in pictures
    )
    charts = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"]
    assert any(label.startswith("Over time: neutral 0:00.0 to 0:00.7; ") for label in charts)
    assert any(label.startswith("Emotions: neutral ") for label in charts)


def test_many_files_have_contents_and_a_search():
    short, long = built(everything()), ReportBuilder("t", {})
    for i in range(4):
        for result in clip(40, f"{i}.mp4", ()):
            long.add(result, None)
        long.add(photo(f"{i}.jpg"), picture())
    assert not Page(short.html({})).classes("find")
    page = Page(long.html({}))
    targets = {attrs["href"][1:] for tag, attrs in page.tags if tag == "a"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert {f"{kind}-{n}" for kind in ("video", "photo") for n in range(1, 5)} <= targets <= set(ids)
    assert len(ids) == len(set(ids)) and "0.mp4 neutral 50 %, happiness 50 %" in page.text
    assert {attrs["data-name"] for attrs in page.classes("file")} == {
        f"{i}.{s}" for i in range(4) for s in ("mp4", "jpg")
    }


def test_an_empty_job_still_makes_a_page():
    page = Page(ReportBuilder("Nothing", {"name": "rules"}).html({}))
    assert "0items analysed" in page.text and "Summary" not in page.text


def test_write_is_all_or_nothing(tmp_path):
    builder = built([(photo(), picture())])
    builder.write(tmp_path / "report.html", {"version": "1"})
    assert (tmp_path / "report.html").read_text("utf-8") == builder.html({"version": "1"})
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputFailed, match="choose another folder"):
        builder.write(tmp_path / "absent" / "report.html", {})


def test_a_track_breaks_where_the_face_is_missing():
    track = Track(("AU12",))
    for i in [*range(10), *range(20, 30)]:
        track.add(i, i / 10, a_face(aus={"AU12": AuReading.of(0.5)}))
    page = Page(str(timeline(track, 0.0, 2.9, 0.1)))
    assert len(page.classes("curve")) == 2
    stripes = [attrs for tag, attrs in page.tags if tag == "rect" and "fill" in attrs]
    assert len(stripes) == 2
    assert sum(float(s["width"]) for s in stripes) == pytest.approx(780 * 20 / 30, abs=1)


def test_a_phone_shows_every_other_time():
    track = Track(("AU12",))
    for i in range(100):
        track.add(i, i / 25, a_face())
    names = [
        attrs.get("class") for tag, attrs in Page(str(timeline(track, 0.0, 4.0, 0.04))).tags if tag == "text"
    ]
    ticks = [one for one in names if one and one.startswith("tick")]
    assert ticks == ["tick", "tick odd"] * (len(ticks) // 2) + ["tick"] * (len(ticks) % 2) and len(ticks) > 4


def test_halving_keeps_counts_means_and_peaks():
    track, n = Track(("AU12", "AU43")), 5 * MAX_BUCKETS + 7
    values = np.random.default_rng(0).random(n)
    for i, value in enumerate(values):
        aus = {"AU12": AuReading.of(round(value, 4)), "AU43": AuReading.of(math.nan)}
        track.add(i, i / 25, a_face(aus=aus))
    buckets = list(track.buckets.values())
    assert len(buckets) <= MAX_BUCKETS and track.stride == 8
    assert sum(bucket.count for bucket in buckets) == track.frames == n
    assert sum(bucket.au_sum[0] for bucket in buckets) == pytest.approx(values.round(4).sum())
    assert max(bucket.au_max[0] for bucket in buckets) == pytest.approx(values.max(), abs=1e-4)
    assert sum(bucket.au_count[1] for bucket in buckets) == 0
    assert track.strongest(5) == (0,)


def test_bars_are_proportional_and_escaped():
    page = Page(str(bar_chart([Bar("a<b", 0.25, "25 %", "#123456"), Bar("c", 1.0, "all", "#123456")], 'x"y')))
    widths = [float(attrs["width"]) for tag, attrs in page.tags if attrs.get("fill") == "#123456"]
    assert widths[0] == pytest.approx(widths[1] / 4, abs=0.1)
    assert "a<b" in page.text


@pytest.mark.parametrize(
    ("seconds", "tenths", "text"),
    [
        (0, False, "0:00"),
        (75.25, False, "1:15"),
        (75.25, True, "1:15.2"),
        (3661, False, "1:01:01"),
        (59.96, True, "0:59.9"),
    ],
)
def test_clock(seconds, tenths, text):
    assert clock(seconds, tenths) == text


def test_levels_in_words():
    assert [say_level(level) for level in (0, 1, 5)] == ["absent", "A, trace", "E, maximum"]


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_browser_shows_it_and_axe_finds_nothing_serious(tmp_path, browser, serious, width, scheme):
    path = tmp_path / "report.html"
    built([*everything(), *((photo(f"{i}.jpg"), picture()) for i in range(6))]).write(path, {})
    page = browser.new_page(bypass_csp=True, color_scheme=scheme, viewport={"width": width, "height": 844})
    page.goto(path.as_uri())
    for part in page.locator("details").all():
        part.evaluate("(one) => { one.open = true; }")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.fill("#find", "3.jpg")
    assert page.locator(".card:visible").count() == 1
    page.fill("#find", "")
    page.click(".filter button[value=happiness]")
    shown = page.locator(".card:visible")
    assert {shown.nth(i).get_attribute("data-emotion") for i in range(shown.count())} == {"happiness"}
    page.close()


@pytest.mark.slow
def test_the_script_runs_under_the_pages_own_policy(tmp_path, browser):
    path = tmp_path / "report.html"
    built(everything()).write(path, {})
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator(".filter").is_visible()
    page.close()
