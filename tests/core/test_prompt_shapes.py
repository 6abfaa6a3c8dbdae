"""Prompt files as other people's data sets have them, and text that is not as it should be."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from emoe_core.errors import EMoEError
from emoe_core.prompts import load_prompts, read_prompts

# The shapes are those of the public sets; the captions are our own.
XM3600 = {
    "image/key": "0001",
    "image/locale": "sw",
    "en": {"caption": ["a boat", "a red boat"], "caption/tokenized": ["a boat", "a red boat"]},
    "fi": {"caption": ["vene"], "caption/tokenized": ["vene"]},
    "sw": {"caption": ["", 7]},
}


def test_xm3600_gives_a_row_a_caption_and_pairs_them_by_image(tmp_path: Path) -> None:
    path = tmp_path / "captions.jsonl"
    path.write_text(json.dumps(XM3600) + "\n" + json.dumps({**XM3600, "image/key": "0002"}), encoding="utf-8")
    rows, bad = load_prompts(path)
    assert [(row.row, row.line, row.prompt) for row in rows[:3]] == [
        (1, 1, "a boat"),
        (2, 1, "a red boat"),
        (3, 1, "vene"),
    ]
    assert rows[0].columns == {"id": "0001", "language": "en", "image_locale": "sw"}
    assert [row.columns["id"] for row in rows] == ["0001", "0001#2", "0001", "0002", "0002#2", "0002"]
    assert [(b.row, b.line, b.reason) for b in bad[:2]] == [
        (4, 1, "sw: the prompt is empty"),
        (5, 1, "sw: 'sw' is not text"),
    ]


@pytest.mark.parametrize("indent", [None, 1])
def test_coco_captions(tmp_path: Path, indent: int | None) -> None:
    images = [{"id": i, "file_name": f"{i}.jpg", "captions": []} for i in range(3)]
    annotations = [{"image_id": i // 2, "id": i, "caption": f"ein Boot {i}"} for i in range(5)]
    content = {"info": {"year": 2014}, "images": images, "annotations": [*annotations, {"id": 9}, "bare"], "x": None}
    path = tmp_path / "captions_val.json"
    path.write_text(json.dumps(content, indent=indent), encoding="utf-8-sig")
    rows, bad = load_prompts(path)
    assert [row.prompt for row in rows] == [*(f"ein Boot {i}" for i in range(5)), "bare"]
    assert rows[3].columns == {"image_id": "1", "id": "3"} and "no prompt" in bad[0].reason
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    assert indent is None or '"image_id": 1' in lines[rows[2].line] or lines[rows[2].line - 1].strip() == "{"


def test_a_json_list_of_texts_or_objects(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('["a", {"prompt": "b", "language": "en"}, 5, " "]', encoding="utf-8")
    rows, bad = load_prompts(path)
    assert [row.prompt for row in rows] == ["a", "b"] and rows[1].columns == {"language": "en"}
    assert len(bad) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"annotations": [{"caption": "a"}', "line 1"),
        (b'{"annotations": [\n{"caption": "a"},\n{"caption" "b"}]}', "line 3"),
        (b'{"images": []}', "has no list of prompts"),
        (b"nonsense", "a list or an object must come first"),
        (b"", "holds no prompt"),
        (b'["a",\n"\xe4"]', "Line 2 .* it looks like Windows-1252"),
    ],
)
def test_a_broken_json_document_is_one_sentence_with_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(EMoEError, match=said):
        load_prompts(path)


def test_a_large_document_is_never_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    with path.open("w", encoding="utf-8") as file:
        file.write('{"images": [0')
        for i in range(20_000):
            file.write(f', {{"id": {i}, "name": "{"x" * 200}"}}')
        file.write('], "annotations": [{"caption": "first"}')
        for i in range(20_000):
            file.write(f', {{"image_id": {i}, "caption": "a caption of usual length, number {i}"}}')
        file.write("]}")
    tracemalloc.start()
    count = sum(1 for _ in read_prompts(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_001 and path.stat().st_size > 6_000_000 and peak < 1_500_000


def test_a_tsv_of_captions_and_urls_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "cc3m.tsv"
    path.write_text("a dog\thttp://x.test/1.jpg\na cat\thttps://x.test/2.jpg\n", encoding="utf-8")
    rows, bad = load_prompts(path)
    assert [(row.line, row.prompt, row.columns["url"]) for row in rows] == [
        (1, "a dog", "http://x.test/1.jpg"),
        (2, "a cat", "https://x.test/2.jpg"),
    ]
    assert not bad


@pytest.mark.parametrize(
    ("encoding", "text", "name"),
    [
        ("shift_jis", "夕焼けの海と小さな船", "Shift_JIS"),
        ("euc_jp", "夕焼けの海と小さな船です", "EUC-JP"),
        ("euc_kr", "바다 위의 작은 배", "EUC-KR"),
        ("cp1251", "маленькая лодка на море", "Windows-1251"),
        ("cp1252", "un été à la mer, déjà vu", "Windows-1252"),
    ],
)
def test_another_encoding_is_named_with_its_line(tmp_path: Path, encoding: str, text: str, name: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"prompt,language\nfine,en\n" + text.encode(encoding).replace(b",", b" ") + b",xx\nfine too,en\n")
    rows, bad = load_prompts(path)
    assert [row.prompt for row in rows] == ["fine", "fine too"]
    assert bad[0].line == 3 and f"it looks like {name}" in bad[0].reason and "UTF-8" in bad[0].reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_wide_encodings_are_refused_as_a_whole(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("a horse in the rain\n".encode(encoding))
    with pytest.raises(EMoEError, match=f"is {encoding.upper()[:6]} .line 1.; save it as UTF-8"):
        load_prompts(path)


def test_odd_letters_are_kept_and_control_characters_are_said(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    odd = [
        "שלום עולם",
        "مرحبا \u200fبالعالم",
        "👩‍🚀🏳️‍🌈 \U0001f9d1\U0001f3fd",
        "a\x07b\x1b[0m",
        "x" * 50_000,
        "\x01\x02",
    ]
    path.write_text("\n".join(odd), encoding="utf-8")
    rows, bad = load_prompts(path)
    assert [row.prompt for row in rows] == [*odd[:3], "a b [0m", odd[4]]
    assert [row.note for row in rows] == ["", "", "", "2 control characters became spaces", ""]
    assert [(b.line, b.reason) for b in bad] == [(6, "the prompt is empty")]
    lone = tmp_path / "p.jsonl"
    lone.write_text('{"prompt": "half \\ud83d"}\n{"prompt": "whole"}\n', encoding="utf-8")
    rows, bad = load_prompts(lone)
    assert [row.prompt for row in rows] == ["whole"] and "surrogate" in bad[0].reason


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"Caption": ["a", None, "b\0", "猫"], "language": ["en", "en", "en", "ja"], "n": [1, 2, 3, None]})
    parquet.write_table(table, tmp_path / "p.parquet")
    rows, bad = load_prompts(tmp_path / "p.parquet")
    assert [(row.row, row.prompt, row.columns) for row in rows] == [
        (1, "a", {"language": "en", "n": "1"}),
        (4, "猫", {"language": "ja"}),
    ]
    assert [b.line for b in bad] == [2, 3]
    (tmp_path / "q.parquet").write_text("nothing of the kind")
    with pytest.raises(EMoEError, match="not a readable .parquet"):
        load_prompts(tmp_path / "q.parquet")
