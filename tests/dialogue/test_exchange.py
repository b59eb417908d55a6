"""What is written is read back the same in every format, streamed, and faults name file and line."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.core.aus import AU_SETS
from mien.core.errors import BadConfig, BadData, BadInput, OutputFailed
from mien.core.nouns import Dialogue, Labels, Turn
from mien.dialogue.files.exchange import RECORDS, Item
from mien.dialogue.files.exchange_files import read_items, write_items
from mien.dialogue.files.faba_eval import FabaItem, read_faba, write_faba

texts = st.text(max_size=40) | st.sampled_from(
    (
        "<image>\nWhat?",
        "<image><image> a <image>",
        "[LM PAD] What?",
        "<image><prior>\nWhat?",
        "a\r\nb\u2028c",
        "]\n[{}",
        "",
    )
)


@st.composite
def items(draw):
    spoken = draw(st.lists(texts, min_size=1, max_size=5))
    turns = [Turn(("user", "assistant")[place % 2], text) for place, text in enumerate(spoken)]
    if draw(st.booleans()):
        turns.insert(0, Turn("system", draw(texts)))
    key = draw(st.none() | st.text(max_size=8))
    media = draw(st.lists(st.text(min_size=1, max_size=12), max_size=3))
    return Item(Dialogue(draw(st.text(min_size=1, max_size=8)), tuple(turns), key), tuple(media))


SUFFIXES = [
    ("llava", ".json"),
    ("llava", ".jsonl"),
    ("sharegpt", ".json"),
    ("openai", ".jsonl"),
    ("parquet", ".parquet"),
]
PLAIN = Item(
    Dialogue("emotion", (Turn("user", "<image>\nWhich emotion?"), Turn("assistant", "fear")), "1"),
    ("faces/1.jpg",),
)


@pytest.mark.parametrize(("format", "suffix"), SUFFIXES)
@given(st.lists(items(), max_size=5))
@settings(deadline=None, max_examples=60)
def test_round_trip_is_lossless(tmp_path_factory, format, suffix, written):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.getbasetemp() / f"{format}{suffix}"
    assert write_items(iter(written), path, format) == len(written)
    assert list(read_items(path, format)) == written


def test_llava_records_are_as_published(tmp_path):
    path = tmp_path / "a.json"
    write_items([PLAIN], path, "llava")
    assert json.loads(path.read_text("utf-8")) == [
        {
            "id": "1",
            "task": "emotion",
            "image": "faces/1.jpg",
            "conversations": [
                {"from": "human", "value": "<image>\nWhich emotion?"},
                {"from": "gpt", "value": "fear"},
            ],
        }
    ]


def test_openai_messages_show_the_picture_where_its_placeholder_stood(tmp_path):
    path = tmp_path / "a.jsonl"
    write_items([PLAIN], path)
    (record,) = map(json.loads, path.read_text("utf-8").splitlines())
    assert record["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "faces/1.jpg"}},
                {"type": "text", "text": "\nWhich emotion?"},
            ],
        },
        {"role": "assistant", "content": "fear"},
    ]
    assert record["metadata"] == {"id": "1", "task": "emotion"}


def test_a_video_of_many_frames_keeps_its_one_path_aside(tmp_path):
    path = tmp_path / "a.jsonl"
    turns = (Turn("user", "<image><image><image>\nWhich emotion?"), Turn("assistant", "joy"))
    clip = Item(Dialogue("emotion", turns, "c"), ("clip.mp4",))
    write_items([clip], path)
    record = json.loads(path.read_text("utf-8"))
    assert record["metadata"]["media"] == ["clip.mp4"]
    assert list(read_items(path)) == [clip]


def test_files_of_other_tools_are_read(tmp_path):
    """No task, a number as id, no picture, other names of the roles; indented, or all on one line."""
    record = {
        "id": 7,
        "conversations": [{"from": "user", "value": "Hello?"}, {"from": "assistant", "value": "Yes."}],
        "model": "x",
    }
    turns = (Turn("user", "Hello?"), Turn("assistant", "Yes."))
    wanted = Item(Dialogue("conversation", turns, "7"))
    for number, text in enumerate((json.dumps([record] * 3, indent=4), json.dumps([record] * 3))):
        path = tmp_path / f"{number}.json"
        path.write_text("\ufeff" + text, "utf-8")
        assert list(read_items(path, "llava")) == list(read_items(path, "sharegpt")) == [wanted] * 3


def test_large_arrays_are_read_in_pieces(tmp_path):
    """Items longer than what is read at once, and cuts inside of numbers, escapes and brackets."""
    path = tmp_path / "long.json"
    long = [
        Item(Dialogue("t", (Turn("user", chr(65 + place) * size), Turn("assistant", '\\"]}')), str(place)))
        for place, size in enumerate((3_000_000, 10, 1_048_500, 1_048_560, 5))
    ]
    write_items(long, path, "llava")
    assert list(read_items(path, "llava")) == long


def test_reading_and_writing_are_lazy(tmp_path):
    path = tmp_path / "many.jsonl"
    asked = 0

    def stream():
        nonlocal asked
        while asked < 4000:
            asked += 1
            yield PLAIN

    assert write_items(stream(), path, "llava") == asked == 4000
    with path.open("a", encoding="utf-8") as file:
        file.write("broken\n")
    read = read_items(path, "llava")
    assert next(read) == PLAIN
    with pytest.raises(BadData, match="line 4001"):
        list(read)


GOOD = '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}'
FAULTS = {
    "not json at all": "line 1: no JSON",
    "{}": "line 1: no JSON",
    "": "line 1: no JSON",
    f"[\n{GOOD},\n{GOOD}\n": "line 4: no JSON",
    f"[\n{GOOD},\n{GOOD[:-4]}\n]": "line [34]: no JSON",
    f"[\n{GOOD},\n5\n]": "line 3: a int",
    f"[\n{GOOD},\n\n{{}}]": "line 4: no llava item: conversations is None",
    '[{"conversations": "x"}]': "conversations is 'x'",
    '[{"conversations": []}]': r"conversations is \[\]",
    GOOD.replace("human", "alien").join("[]"): "from is 'alien'",
    GOOD.replace('"a"', "1").join("[]"): "value is 1",
    GOOD.replace("human", "gpt").join("[]"): "with turns assistant, assistant",
    GOOD.replace("gpt", "system").join("[]"): "with turns user, system",
    GOOD.replace("{", '{"image": 5, ', 1).join("[]"): "image is 5",
    GOOD.replace("{", '{"id": [], ', 1).join("[]"): r"id is \[\]",
    GOOD.replace("{", '{"task": 3, ', 1).join("[]"): "task is 3",
}


@pytest.mark.parametrize("content", FAULTS)
def test_faults_name_file_and_line_in_three_sentences(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_text(content, "utf-8")
    with pytest.raises(BadData, match=FAULTS[content]) as caught:
        list(read_items(path, "llava"))
    said = str(caught.value)
    assert str(path) in said
    assert re.fullmatch(r"Got .+\. Expected .+\. .+\.", said, re.DOTALL)


def test_faults_of_lines_tables_and_bytes(tmp_path):
    lines = tmp_path / "a.jsonl"
    lines.write_text('\n{"messages": [{"role": "user", "content": [{"type": "audio"}]}]}\n', "utf-8")
    with pytest.raises(BadData, match="line 2: no openai item: content part"):
        list(read_items(lines))
    lines.write_text('{"messages": [{"role": "robot", "content": "x"}]}\n', "utf-8")
    with pytest.raises(BadData, match="line 1: no openai item: role is 'robot'"):
        list(read_items(lines))
    lines.write_text("[]\n", "utf-8")
    with pytest.raises(BadData, match="line 1: a list"):
        list(read_items(lines))
    bytes_ = tmp_path / "a.json"
    bytes_.write_bytes(b'[{"id": "\xff"}]')
    with pytest.raises(BadData, match="byte 0xff"):
        list(read_items(bytes_, "llava"))
    with pytest.raises(BadData, match="cannot be read"):
        list(read_items(tmp_path / "none.json", "llava"))


def test_a_foreign_table_names_its_row(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(BadData, match="row 1: no readable Parquet"):
        list(read_items(path))
    parquet.write_table(pyarrow.table({"id": ["1"], "text": ["x"]}), path)
    with pytest.raises(BadData, match="row 1: no parquet item: turns is None"):
        list(read_items(path))


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.jsonl"
    write_items([PLAIN], path)
    before = path.read_bytes()
    silent = Item(Dialogue("emotion", (), "2"))
    with pytest.raises(BadInput, match="turns none"):
        write_items([PLAIN, silent], path)
    with pytest.raises(OutputFailed, match="Unicode"):
        write_items([Item(Dialogue("\ud800", PLAIN.dialogue.turns))], path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]
    with pytest.raises(OutputFailed, match="no_folder"):
        write_items([PLAIN], tmp_path / "no_folder" / "a.jsonl")


def test_the_format_has_to_be_clear(tmp_path):
    with pytest.raises(BadConfig, match="Name the format"):
        write_items([PLAIN], tmp_path / "a.json")
    with pytest.raises(BadConfig, match="llava, sharegpt, openai, parquet"):
        list(read_items(tmp_path / "a.json", "alpaca"))
    assert {form.name for form in RECORDS.values()} == set(RECORDS)


paths = st.text(min_size=1, max_size=12)
FABA_WORDS = ("happiness", "sadness", "surprise", "anger", "neutral", "disgust", "fear")


@given(
    st.lists(
        st.builds(
            FabaItem,
            paths,
            st.builds(
                Labels, emotion=st.sampled_from(FABA_WORDS), description=st.none() | st.text(max_size=20)
            ),
            st.none() | paths,
        ),
        max_size=4,
    )
)
@settings(deadline=None, max_examples=40)
def test_faba_emotion_items_round_trip(tmp_path_factory, written):
    path = tmp_path_factory.getbasetemp() / "faba_emotion.json"
    assert write_faba(written, path, "emotion") == len(written)
    assert list(read_faba(path, "emotion")) == written


@given(
    st.lists(st.sets(st.sampled_from(AU_SETS["faba20"]), min_size=1), max_size=4),
    st.none() | st.text(max_size=20),
)
@settings(deadline=None, max_examples=40)
def test_faba_au_items_round_trip(tmp_path_factory, present, description):
    path = tmp_path_factory.getbasetemp() / "faba_au.json"
    written = [
        FabaItem(
            "a.jpg",
            Labels(au_presence={key: key in one for key in AU_SETS["faba20"]}, description=description),
        )
        for one in present
    ]
    write_faba(written, path, "au")
    assert list(read_faba(path, "au")) == written


def test_faba_files_are_as_published(tmp_path):
    path = tmp_path / "eval.json"
    units = {key: key in ("AU01", "AU04", "AU07") for key in AU_SETS["faba20"]}
    write_faba([FabaItem("a.jpg", Labels(au_presence=units, description="AU1 …"), "a.npy")], path, "au")
    assert json.loads(path.read_text("utf-8")) == [
        {"image": "a.jpg", "label": "1, 4, 7", "gpt4": "AU1 …", "landmark": "a.npy"}
    ]
    path.write_text(
        '[{"image": "a.jpg", "label": 1}, {"image": "b.jpg", "label": "Fear", "gpt4": "x"}]', "utf-8"
    )
    assert [item.labels.emotion for item in read_faba(path, "emotion")] == ["sadness", "fear"]


def test_faba_refuses_what_its_file_cannot_tell(tmp_path):
    path = tmp_path / "eval.json"
    with pytest.raises(BadInput, match="contempt"):
        write_faba([FabaItem("a.jpg", Labels(emotion="contempt"))], path, "emotion")
    for coded in (None, {"AU06": False}, {"AU45": True}):
        with pytest.raises(BadInput, match="FABA's index"):
            write_faba([FabaItem("a.jpg", Labels(au_presence=coded))], path, "au")
    with pytest.raises(BadConfig, match="pain"):
        write_faba([], path, "pain")
    for label in ('"Joy"', "7", "null", '"-1"'):
        path.write_text(f'[\n{{"image": "a.jpg", "label": {label}}}]', "utf-8")
        with pytest.raises(BadData, match="line 2"):
            list(read_faba(path, "emotion"))
    path.write_text('[{"image": "a.jpg", "label": "one"}]', "utf-8")
    with pytest.raises(BadData, match="AU numbers"):
        list(read_faba(path, "au"))
