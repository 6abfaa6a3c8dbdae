"""The documentation is whole: every node has its page, every link leads somewhere, both READMEs say the same things."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emoe_core.gating.decision_report import Choice, decisions
from emoe_core.records.calibration import Calibration
from emoe_core.show.decisions import picture

ROOT = Path(__file__).resolve().parents[2]
HELP = ROOT / "web" / "docs"
READMES = (ROOT / "README.md", ROOT / "README.ja.md")
NODES = (ROOT / "docs" / "nodes.md", ROOT / "docs" / "nodes.ja.md")
DOCUMENTS = [*READMES, *sorted((ROOT / "docs").glob("*.md")), *sorted(HELP.rglob("*.md"))]

#: English and Japanese titles of the README's sections, in order.
SECTIONS = (
    ("What it does", "何をするか"),
    ("Install", "インストール"),
    ("Your first gated picture", "最初の1枚"),
    ("How to read the score", "スコアの読み方"),
    ("With your own checkpoints", "自分のチェックポイントで使う"),
    ("Calibrate", "キャリブレーション"),
    ("Batch queues and HTTP", "バッチとHTTP"),
    ("Bias audit", "偏りの監査"),
    ("Limits", "限界"),
    ("Documentation", "ドキュメント"),
    ("Demo and tests from a clone", "クローンからのデモとテスト"),
    ("Citation", "引用"),
)


def named_calls() -> Iterator[ast.Call]:
    """The `named(...)` of every schema in nodes/, without importing ComfyUI."""
    for path in sorted((ROOT / "nodes").glob("*.py")):
        for call in (one for one in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(one, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id == "named":
                yield call


def node_names() -> dict[str, str]:
    """Every node's `node_id` and `display_name` in nodes/, without importing ComfyUI."""
    found = {}
    for call in named_calls():
        node_id, name = (ast.literal_eval(argument) for argument in call.args[:2])
        assert node_id not in found
        found[node_id] = name
    return found


def node_ids() -> list[str]:
    return list(node_names())


def schemas() -> dict[str, Any]:
    """The golden schemas; the host tier holds them against the real ones."""
    return dict(json.loads((ROOT / "tests" / "host" / "golden_schemas.json").read_text("utf-8")))


def prose(text: str) -> str:
    """A document without its code blocks and comments."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def headings(path: Path, level: int = 2) -> list[str]:
    if path.suffix != ".md":
        return []
    return re.findall(rf"^{'#' * level} (.+)$", prose(path.read_text("utf-8")), flags=re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def section(page: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section '{title}'"
    return found[1]


def local_links(text: str) -> list[str]:
    """Targets of Markdown links, images and HTML images that are no web addresses."""
    text = prose(text)
    found = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)", text) + re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def test_the_nodes_are_found() -> None:
    assert len(node_ids()) >= 8
    assert set(node_ids()) == set(schemas())


@pytest.mark.parametrize("node_id", node_ids())
def test_every_node_has_a_help_page_that_names_every_input_and_output(node_id: str) -> None:
    page = (HELP / f"{node_id}.md").read_text("utf-8")
    assert page.startswith(f"# {node_names()[node_id]}\n")
    schema = schemas()[node_id]
    inputs, outputs = section(page, "Inputs"), section(page, "Outputs")
    missing = [f"input {name}" for name in schema["inputs"] if f"`{name}`" not in inputs]
    missing += [f"output {name}" for _, name, _ in schema["outputs"] if f"`{name}`" not in outputs]
    assert not missing
    assert not re.search("TODO|TBD|FIXME", page)
    warnings = re.search(r"^## (Pitfalls|Good to know)\n", page, flags=re.MULTILINE)
    assert warnings is not None and len(section(page, warnings[1])) > 80


def test_no_help_page_is_left_over() -> None:
    assert {path.stem for path in HELP.glob("*.md")} == set(node_ids())


def test_the_frontend_is_given_no_script() -> None:
    """ComfyUI's frontend loads every .js under web/ at once: documentation must not bring any."""
    assert not list(HELP.rglob("*.js"))


@pytest.mark.parametrize("index", range(len(READMES)), ids=["en", "ja"])
def test_the_sections_are_there_in_order(index: int) -> None:
    assert headings(READMES[index]) == [titles[index] for titles in SECTIONS]


@pytest.mark.parametrize("path", NODES, ids=lambda p: p.name)
def test_every_node_is_in_the_table_of_nodes(path: Path) -> None:
    rows = re.findall(r"^\| \[([^\]]+)\]\(\.\./web/docs/(\w+)\.md\)", path.read_text("utf-8"), flags=re.MULTILINE)
    assert {node_id: name for name, node_id in rows} == node_names()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text("utf-8")
    broken = []
    for target in local_links(text):
        file, _, fragment = target.partition("#")
        other = (path.parent / file).resolve() if file else path
        anchors = {anchor(h) for level in (1, 2, 3) for h in headings(other, level)} if other.is_file() else set()
        if not other.exists() or (fragment and fragment not in anchors):
            broken.append(target)
    assert not broken


def test_the_link_check_sees_links() -> None:
    found = local_links('![a](x.png) [b](y.md#z) [c](https://e.org) <img src="w.png">\n```\n[d](no.md)\n```\n')
    assert found == ["x.png", "y.md#z", "w.png"]
    assert len(local_links(READMES[0].read_text("utf-8"))) > 10


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_no_path_of_anybodys_machine(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r"(?<![\w.])/(?:home|root|work|Users|tmp|mnt|opt)/|[A-Z]:\\", text)


@pytest.mark.parametrize("command", ["bash scripts/demo.sh", "bash scripts/test.sh"])
def test_the_two_commands_are_real(command: str) -> None:
    script = ROOT / command.split()[1]
    assert script.is_file()
    for path in READMES:
        assert command in path.read_text("utf-8")


@pytest.mark.parametrize("path", READMES, ids=lambda p: p.name)
def test_the_figures_are_filled_in(path: Path) -> None:
    """The tables of measured figures hold numbers, the same ones in both languages."""
    blocks = [
        re.search(r"<!-- figures:demo -->(.*?)<!-- /figures:demo -->", p.read_text("utf-8"), flags=re.DOTALL)
        for p in READMES
    ]
    assert all(block is not None for block in blocks)
    numbers = [re.findall(r"\d+(?:\.\d+)?", block[1]) for block in blocks if block is not None]
    assert len(numbers[0]) > 20 and numbers[0] == numbers[1]
    assert path.read_text("utf-8").count("figures:demo") == 2


def test_the_figures_by_group_are_filled_in() -> None:
    text = (ROOT / "docs" / "validity.md").read_text("utf-8")
    block = re.search(r"<!-- figures:groups -->(.*?)<!-- /figures:groups -->", text, flags=re.DOTALL)
    assert block is not None and text.count("figures:groups") == 2
    rows = re.findall(r"^\| (?!---|group )", block[1], flags=re.MULTILINE)
    assert len(rows) == 21 and len(re.findall(r"\d+(?:\.\d+)?", block[1])) > 100


def example(path: Path) -> str:
    found = re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_python_example_needs_nothing_but_python() -> None:
    """That it works is shown on a live server, in the server tier."""
    tree = ast.parse(example(READMES[0]))
    imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert imported and imported <= {"json", "time", "urllib"}
    english, japanese = (re.sub(r"\s*#.*", "", example(path)) for path in READMES)
    assert english == japanese


def test_pictures_of_the_help_pages_are_there() -> None:
    """A help page shows pictures that lie beside it: the host serves nothing else under the page's address."""
    pages = {path: re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text("utf-8")) for path in HELP.glob("*.md")}
    assert sum(bool(pictures) for pictures in pages.values()) == len(node_ids())
    for page, pictures in pages.items():
        for name in pictures:
            assert (page.parent / name).read_bytes().startswith(b"\xff\xd8\xff"), f"{page.name} shows {name}"


def test_the_guides_picture_is_of_the_shipped_calibration() -> None:
    """As its command draws it, but for the shapes of letters, which another Pillow may set otherwise."""
    guide = (ROOT / "docs" / "gate.md").read_text("utf-8")
    choice = Choice("bad_among_passed", 0.1, seconds_generation=2, seconds_score=0.2)
    assert "--policy bad_among_passed --alpha 0.1" in guide and "--seconds-generation 2 --seconds-score 0.2" in guide
    shipped = Calibration.load(ROOT / "emoe_core" / "demo" / "labelled.json")
    drawn = np.asarray(picture(decisions(shipped, choice)), dtype=float)
    with Image.open(ROOT / "docs" / "images" / "decision_report.png") as image:
        assert np.abs(np.asarray(image.convert("RGB"), dtype=float) - drawn).mean() < 1.0
