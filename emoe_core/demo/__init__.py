"""The embedded demo experts: their files, the data they were trained on, and prompts to try them with.

Four tiny text-to-emoji latent diffusion models of one lineage, trained at known sampling shares (MODEL_CARD.md). This
module knows only paths and metadata; each host makes its own objects from them.
"""

import csv
import json
from pathlib import Path
from typing import Any, TypeVar

from safetensors import safe_open

from ..errors import EMoEError

FOLDER = Path(__file__).resolve().parent
EXPERTS = 4
SIZE = 128
"""Width and height of the pictures, in pixels."""


def _present(path: Path) -> Path:
    if not path.exists():
        raise EMoEError(
            f"The demo experts are incomplete: {path.name} is missing from {path.parent}; install the node pack again."
        )
    return path


def expert_files() -> list[Path]:
    """The checkpoints of the four experts (U-Net and text encoder), in order."""
    return [_present(FOLDER / "weights" / f"expert_{i}.safetensors") for i in range(1, EXPERTS + 1)]


def lora_files() -> list[Path]:
    """The differences of experts 2, 3 and 4 from expert 1, cut to low rank: LoRAs for expert 1 (`tools/demo_loras.py`)."""
    return [_present(FOLDER / "loras" / f"lora_{i}.safetensors") for i in range(2, EXPERTS + 1)]


def vae_file() -> Path:
    """The picture autoencoder's weights."""
    return _present(FOLDER / "weights" / "vae.safetensors")


def tokenizer_dir() -> Path:
    """The folder of the CLIP-format tokenizer that all experts share."""
    _present(FOLDER / "weights" / "tokenizer" / "vocab.json")
    return FOLDER / "weights" / "tokenizer"


def calibration_files() -> list[Path]:
    """The calibrations made for these experts; there may be none."""
    return sorted((FOLDER / "calibrations").glob("*.json"))


def metadata(path: Path) -> dict[str, str]:
    """The metadata in a weight file: name, seed, steps, licence.

    Raises:
        EMoEError: the file is missing or is not a whole safetensors file.
    """
    try:
        with safe_open(_present(path), framework="pt") as file:
            return dict(file.metadata() or {})
    except EMoEError:
        raise
    except Exception as error:  # the library's own type is not exported under a stable name
        raise EMoEError(f"{path} is damaged ({error}); install the node pack again.") from error


def latent_rgb() -> tuple[list[list[float]], list[float]]:
    """Linear map from the four scaled latent channels to red, green and blue, and its bias, for previews."""
    known = metadata(vae_file())
    factors: list[list[float]] = json.loads(known["latent_rgb_factors"])
    bias: list[float] = json.loads(known["latent_rgb_bias"])
    return factors, bias


def ground_truth() -> dict[str, Any]:
    """The training data: shares of the languages, and every concept with its captions' exact counts."""
    found: dict[str, Any] = _json("ground_truth.json")
    return found


def prompts() -> dict[str, list[str]]:
    """Groups of prompts: `calibration` and `fresh` (well-sampled English, disjoint concepts), and every other group."""
    found: dict[str, list[str]] = _json("prompts.json")
    return found


def _json(name: str) -> Any:
    path = _present(FOLDER / name)
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise EMoEError(f"{path} is damaged ({error}); install the node pack again.") from error


Item = TypeVar("Item")
THINGS = 40
KINDS = {
    "fresh": "well known",
    "under_sampled": "shown seldom",
    "held_out": "never shown",
    "faces": "unseen faces",
}


def write_audit_prompts(path: str | Path, things: int = THINGS, languages: tuple[str, ...] | None = None) -> Path:
    """Writes prompts for an audit: the same things in every language, and English prompts that training showed often to never.

    The table has `prompt`, `language`, `kind`, `id`. A prompt has either a language and an id, or a kind.

    Args:
        things: how many things each language names, and the limit of prompts per kind.
        languages: a selection of the fourteen; None for all.
    """
    truth, groups, path = ground_truth(), prompts(), Path(path)
    known = [concept["names"] for concept in truth["concepts"] if concept["group"] == "main"]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "language", "kind", "id"])
        for names in _spread(known, things):
            for language in languages or tuple(truth["languages"]):
                table.writerow([names[language], language, "", names["en"]])
        for group, kind in KINDS.items():
            for prompt in _spread(groups[group], things):
                table.writerow([prompt, "", kind, ""])
    return path


def _spread(items: list[Item], count: int) -> list[Item]:
    """At most `count` items, evenly spaced through the list."""
    return items if len(items) <= count else [items[i * len(items) // count] for i in range(count)]
