"""World T: captions and photographs of stamps, on a few that are made here."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
COUNTS = {"main": 12, "under_sampled": 3, "held_out": 3, "held_out_group": 2}
THINGS = [f"animals/kind{number}/beast{number:02}" for number in range(20)]
FESTIVE = [f"seasonal/winter/feast{number}" for number in range(4)]


@pytest.fixture(scope="module", autouse=True)
def root() -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    yield
    sys.path[:] = before


def module(name: str) -> Any:
    return importlib.import_module(f"tools.{name}")


def stamp(folder: Path, name: str, caption: str, missing: str = "", copied: str = "") -> None:
    """Writes a stamp with captions in all languages but `missing`; that in `copied` was not translated."""
    stamps = module("worlds.stamps")
    path = folder / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [caption]
    for lang in stamps.LANGUAGES[1:]:
        if lang != missing:
            code = stamps.WRITTEN.get(lang, lang)
            lines.append(f"{code}.utf8={caption if lang == copied else f'{lang} {caption}'} ")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    Image.new("RGBA", (8, 4), (200, 0, 0, 255)).save(path.with_suffix(".png"))


@pytest.fixture
def stamps(tmp_path: Path) -> Any:
    for name in (*THINGS, *FESTIVE):
        stamp(tmp_path, name, f"A {name.rpartition('/')[2]}.")
    return module("worlds.stamps").Stamps(tmp_path)


def test_captions_are_read_by_language() -> None:
    text = "An owl. \n\nfr.utf8=Un hibou. \nzh_CN.utf8=猫头鹰。\nzh_TW.utf8=貓頭鷹\nca@valencia.utf8=Un mussol.\n"
    text += "de.utf8=\nfi=Pöllö."
    assert module("worlds.stamps").captions(text) == {"en": "An owl.", "fr": "Un hibou.", "zh": "猫头鹰。"}
    assert module("worlds.stamps").captions("") == {}


def test_only_photographs_with_a_caption_of_their_own_in_every_language_are_taken(stamps: Any) -> None:
    stamp(stamps.folder, "animals/aa_later", "A beast00.")  # its caption is that of two pictures: the first is taken
    stamp(stamps.folder, "animals/no_polish", "A bear.", missing="pl")
    stamp(stamps.folder, "animals/not_translated", "A bat.", copied="id")
    stamp(stamps.folder, "animals/cartoon/drawn", "A cat.")
    stamp(stamps.folder, "symbols/letter", "The letter A.")
    stamp(stamps.folder, "town/long", f"A {'very ' * 12}long house.")
    stamp(stamps.folder, "town/vector", "A mill.")
    (stamps.folder / "town/vector.png").unlink()
    every = {one.emoji: one for one in stamps.every()}
    assert set(every) == {"animals/aa_later", *THINGS[1:], *FESTIVE}
    assert every[THINGS[3]].category == "animals" and every[THINGS[3]].names["zh"] == "zh A beast03."
    assert len(stamps.texts()) == 14 * len(every) and stamps.keywords("en") == {}


def test_groups_are_drawn_by_the_seed_and_one_category_is_never_shown(stamps: Any) -> None:
    one, again, other = (stamps.concepts(COUNTS, seed) for seed in (7, 7, 8))
    assert one == again and [c.emoji for c in one] != [c.emoji for c in other]
    assert len({c.emoji for c in one}) == len(one)
    groups = [c.group for c in one]
    assert {group: groups.count(group) for group in COUNTS} == COUNTS
    assert all((c.category == "seasonal") == (c.group == "held_out_group") for c in one)
    with pytest.raises(SystemExit, match="only 20 stamps to choose from, 101 are needed"):
        stamps.concepts(COUNTS | {"main": 95}, 7)


def test_a_picture_is_on_white_and_as_large_as_the_margin_allows(tmp_path: Path) -> None:
    drawn = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    drawn.paste((200, 0, 0, 255), (10, 20, 30, 30))
    drawn.save(tmp_path / "red.png")
    picture = module("worlds.stamps").picture(tmp_path / "red.png")
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8
    assert (picture[0] == 255).all() and (picture[:, 0] == 255).all()
    assert (picture[64, 64] == (200, 0, 0)).all()
    there = np.argwhere((picture < 250).any(axis=2))
    assert (there.max(axis=0) - there.min(axis=0) + 1).tolist() == [62, 124]
    assert picture[there[:, 0], there[:, 1], 0].min() >= 199  # no black of the transparent pixels comes in


def test_a_place_of_world_t_keeps_its_files_apart(stamps: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its languages, its latents and its tokenizer are not those of the emoji."""
    design, pipeline = module("worlds.design"), module("worlds.pipeline")
    monkeypatch.setattr(design, "COUNTS", COUNTS)
    monkeypatch.setattr(design, "CALIBRATION", 6)
    world, split = design.MORE["T"], design.Split(0)
    place = pipeline.Place(stamps, tmp_path / "worlds", world, split)
    assert "sw" not in place.rates and place.rates["id"] == split.rates["sw"]
    assert list(place.rates.values()) == list(split.rates.values())
    assert set(place.corpus.language) <= set(place.rates)
    assert place.latents_file.parent == place.folder and place.balanced.name == "balanced_stamps"
    emoji = pipeline.Place(stamps, tmp_path / "worlds", design.WORLDS["C"], split)
    assert emoji.latents_file.parent == emoji.shared and emoji.balanced.name == "balanced"
    assert place.pictures.shape == (20, 3, design.SIZE, design.SIZE) and place.pictures.max() == 1.0
    assert place.text is None

    place.write_truth()
    truth = json.loads((place.folder / "ground_truth.json").read_text("utf-8"))
    assert list(truth["languages"]) == list(module("worlds.stamps").LANGUAGES)
    assert [code for code, one in truth["languages"].items() if not one["share"]] == ["tr", "vi", "hu", "ru", "zh"]
    prompts = place.prompts()
    assert len(prompts["seasonal"]) == 2 and "faces" not in prompts and "keywords" not in prompts
    for text in (*prompts["nonsense"], *prompts["word_salad"]):
        assert text.startswith("A ") and text.endswith(".")
    known = {text.removeprefix("A ").removesuffix(".") for text in (*prompts["calibration"], *prompts["fresh"])}
    assert all(set(text[2:-1].split()) <= known for text in prompts["word_salad"])


def test_the_frame_of_captions_is_what_most_of_them_have() -> None:
    stamps, frame = module("worlds.stamps"), module("train_demo.truth").Frame
    found = stamps.frame(["A red kangaroo.", "An owl.", "A frog!", "A toad."])
    assert found == frame("A ", ".")
    assert found.put("qzx") == "A qzx." and found.take("A red kangaroo.") == "red kangaroo"
    assert frame().put("owl") == frame().take("owl") == "owl"


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    packages = module("packages")
    package = packages.Debian("stamps", "1.0", hashlib.sha256(b"right").hexdigest())
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "stamps_1.0_all.deb").write_bytes(b"wrong")
    with pytest.raises(SystemExit, match="stamps 1.0: its digest differs"):
        packages.unpacked(package, tmp_path)
    (tmp_path / "raw" / "stamps").mkdir(parents=True)
    assert packages.unpacked(package, tmp_path) == tmp_path / "raw" / "stamps" / "usr" / "share"


def test_the_autoencoder_keeps_white_better_than_noise() -> None:
    kept = importlib.import_module("photographs").kept_by_autoencoder
    noise = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert kept(SimpleNamespace(pictures=torch.ones(2, 3, 64, 64))) > 25 > 15 > kept(SimpleNamespace(pictures=noise))


def test_the_group_held_out_as_a_whole_is_among_the_unknown_prompts() -> None:
    pools = importlib.import_module("known_truth.pools")
    truth = {"languages": {"en": {"share": 1.0}, "tr": {"share": 0.0}}}
    groups = {"fresh": ["A frog."], "seasonal": ["A wreath."], "tr": ["Bir kurba\u011fa."], "word_salad": []}
    lists, unknown = pools._lists(groups, truth, 40)
    assert unknown == ("seasonal", "tr") and set(lists) == {"fresh", "seasonal", "tr"}
