"""A choice's file: what was asked, and the products of what the experts answered, block by block.

JSON lines. The first says which experts, settings and prompts; each of the others holds a block of prompts. A line is on disk
when its block is done, so that a run that was cut short goes on with the next block. Numbers are little-endian float64 in
base64; only the upper triangle of distances is kept.
"""

import base64
import binascii
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EMoEError
from ..io.json_text import parse
from ..io.results_file import ResultsFile
from ..records.settings import SHARED, Settings
from ..scoring.presets import MIDDLE, PRESETS
from ..stats.evaluation import Floats
from .kin import Redundant
from .products import FEATURES, LAYOUT, PROMPT, SHIFT, Products, joined

CHOICE_SCHEMA = 1
ENDING = ".choice.jsonl"
_DAMAGED = "is damaged; delete it and measure again"
#: How the parts of the first line are called when another run's differ.
_PARTS = {
    "experts": "experts",
    "levels": "settings",
    "prompts": "prompts",
    "samples": "settings",
    "preset": "settings",
    "beside": "inputs (clip or latent_image)",
}


@dataclass(frozen=True)
class Candidate:
    """An expert that may be chosen.

    Attributes:
        file, identity, text_encoder, dtype: as `experts.sets.Expert` has them; text_encoder "shared" where all share one.
        size: bytes of its weights in memory.
    """

    name: str
    file: str
    identity: str
    text_encoder: str
    dtype: str
    size: int


@dataclass(frozen=True)
class Level:
    """A noise level and a size at which everything was measured.

    Attributes:
        step, steps: the step that was scored, and how many the schedule has.
        size: width and height of the picture in pixels.
        middle: the tap in the middle of the network, "" where the experts cannot be compared there.
        settings: everything that a score of all experts by the preset layout depends on there.
    """

    step: int
    steps: int
    size: tuple[int, int]
    middle: str
    settings: Settings

    def name(self) -> str:
        """How a table calls it."""
        return f"step {self.step} of {self.steps}, {self.size[0]}x{self.size[1]}"

    @property
    def features(self) -> tuple[str, ...]:
        """What is measured there."""
        return (LAYOUT, SHIFT, PROMPT) if self.middle else (LAYOUT, SHIFT)


@dataclass(frozen=True)
class Asked:
    """A prompt.

    Attributes:
        kind: what is known of it, as in `trial.look`.
        pair: equal for a known prompt and its unknown twins.
        groups: its groups by column, such as a market or a topic.
        bad: whether its pictures were marked bad; None where nobody said.
    """

    kind: str
    pair: str
    text: str
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)
    bad: bool | None = None


@dataclass(frozen=True)
class Spent:
    """What the calls of one expert at one level took, in seconds; a unit is one prompt on one noise sample.

    Attributes:
        first, first_seconds: units of each block's first call, which may wait for the model to be loaded, and its seconds.
    """

    units: int = 0
    seconds: float = 0.0
    first: int = 0
    first_seconds: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.units + other.units,
            self.seconds + other.seconds,
            self.first + other.first,
            self.first_seconds + other.first_seconds,
        )

    @property
    def a_unit(self) -> float:
        """Seconds per unit. Loading is left out where a block had several calls."""
        if self.units > self.first:
            return (self.seconds - self.first_seconds) / (self.units - self.first)
        return self.seconds / max(1, self.units)


@dataclass(frozen=True, eq=False)
class Block:
    """What is known of some prompts.

    Attributes:
        products: by level, and there by feature.
        spent: by level, and there by expert.
        share: what a pass to the middle of the network takes of a whole one; None where it was not measured.
    """

    products: tuple[Mapping[str, Products], ...]
    spent: tuple[tuple[Spent, ...], ...]
    share: float | None = None


@dataclass(frozen=True)
class About:
    """What a choice is made of.

    Attributes:
        samples: the number of noise samples.
        preset: the one that was asked for.
        redundant: what the candidates' weights say, see `kin.by_weights`.
        beside: a digest of what else the answers depend on, "" for nothing: one text encoder for all, an image in the latent.
    """

    experts: tuple[Candidate, ...]
    levels: tuple[Level, ...]
    prompts: tuple[Asked, ...]
    samples: int
    preset: str
    redundant: tuple[Redundant, ...] = ()
    beside: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"emoe_choice": CHOICE_SCHEMA, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "About":
        """From JSON; a ValueError, KeyError or TypeError where it is no such thing."""
        levels = tuple(
            Level(
                int(one["step"]),
                int(one["steps"]),
                (int(one["size"][0]), int(one["size"][1])),
                str(one["middle"]),
                Settings.from_dict(one["settings"]),
            )
            for one in body["levels"]
        )
        experts = tuple(Candidate(**one) for one in body["experts"])
        prompts = tuple(Asked(**one) for one in body["prompts"])
        preset, samples = body["preset"], body["samples"]
        if not (experts and levels and prompts) or type(samples) is not int or samples < 1:
            raise ValueError
        beside = body.get("beside", "")
        if not isinstance(beside, str) or not all(
            [*map(_is_candidate, experts), *map(_is_asked, prompts), *map(_is_level, levels)]
        ):
            raise ValueError
        if alone(preset) or FEATURES[PRESETS[preset].estimator] not in levels[0].features:
            raise ValueError
        kin = tuple(Redundant(one["expert"], tuple(one["of"]), one["weight"], one["left"]) for one in body["redundant"])
        if any(not 0 <= number < len(experts) for one in kin for number in (one.expert, *one.of)):
            raise ValueError
        if not all(one.of and _is_figure(one.weight) and _is_figure(one.left) for one in kin):
            raise ValueError
        return cls(experts, levels, prompts, samples, preset, kin, beside)

    def settings(self, level: int, preset: str, experts: Sequence[int], samples: int) -> Settings:
        """Everything that the score of some experts depends on, as a calibration keeps it."""
        here = self.levels[level]
        chosen = [self.experts[number] for number in experts]
        tap = PRESETS[preset].tap
        shared = here.settings.text_encoders == SHARED
        return replace(
            here.settings,
            experts=tuple(one.identity for one in chosen),
            text_encoders=SHARED if shared else tuple(one.text_encoder for one in chosen),
            tap=here.middle if tap in (MIDDLE, "mid_out") else tap,
            estimator=PRESETS[preset].estimator,
            noise_samples=samples,
            dtype=chosen[0].dtype,
        )


@dataclass(frozen=True, eq=False)
class Record:
    """A choice's file as it was read.

    Attributes:
        done: how many prompts were measured; they are the first ones.
    """

    about: About
    done: int
    products: Mapping[tuple[int, str], Products]
    spent: tuple[tuple[Spent, ...], ...]
    share: float | None

    @property
    def prompts(self) -> tuple[Asked, ...]:
        """Those that were measured."""
        return self.about.prompts[: self.done]

    def presets(self, level: int) -> list[str]:
        """The presets that can be read at a level."""
        return [name for name, one in PRESETS.items() if (level, FEATURES[one.estimator]) in self.products]

    def scores(self, level: int, preset: str, experts: Sequence[int], samples: int | None = None) -> Floats:
        """What these experts score for each prompt, [prompts]."""
        name = PRESETS[preset].estimator
        return self.products[level, FEATURES[name]].of(experts, samples).scores(name)

    def scores_in_halves(self, level: int, preset: str, experts: Sequence[int]) -> Floats:
        """The same in two stages, where both are always needed, on all noise samples."""
        name = PRESETS[preset].estimator
        return self.products[level, FEATURES[name]].of(experts).scores_in_halves(name)

    def seconds(self, level: int, preset: str, experts: Sequence[int], samples: int) -> float:
        """What a prompt's score takes: the calls of these experts, without loading and without the empty prompt's."""
        asked = experts[:1] if alone(preset) else experts
        share = (self.share or 1.0) if FEATURES[PRESETS[preset].estimator] == PROMPT else 1.0
        return share * samples * sum(self.spent[level][number].a_unit for number in asked)


def alone(preset: str) -> bool:
    """Whether a preset asks one expert only."""
    return PRESETS[preset].estimator == "guidance"


class Kept:
    """A choice's file, open to be gone on with."""

    def __init__(self, path: Path, about: About) -> None:
        """
        Raises:
            EMoEError: it is there with other experts, settings or prompts, is damaged, or cannot be written.
        """
        self.done = 0
        self._first: dict[str, Any] | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = ResultsFile(path, self._take, "choice", "give another name", path.name)
        try:
            if self._first is None:
                self._file.append(about.as_dict())
            else:
                _check_same(self._first, about.as_dict(), path.name)
        except BaseException:
            self.close()  # and so unlocked: the next run may have another name or more room
            raise

    def _take(self, line: bytes) -> bool:
        try:
            body = parse(line)
            if self._first is None:
                self._first = body if body["emoe_choice"] == CHOICE_SCHEMA else None
                return self._first is not None
            self.done = int(body["until"])
            return "products" in body
        except (ValueError, KeyError, TypeError):
            return False

    def add(self, block: Block) -> None:
        """Keeps the next prompts; they are on disk when this returns."""
        count = next(iter(block.products[0].values())).prompts
        products = [
            {
                name: {"square": _packed(one.square), "apart": _packed(_triangle(one.apart))}
                for name, one in here.items()
            }
            for here in block.products
        ]
        spent = [[asdict(one) for one in here] for here in block.spent]
        self.done += count
        self._file.append({"until": self.done, "products": products, "spent": spent, "share": block.share})

    def close(self) -> None:
        """Closes and unlocks the file."""
        self._file.close()


def _check_same(begun: Mapping[str, Any], asked: Mapping[str, Any], file: str) -> None:
    for part, name in _PARTS.items():
        if _lasting(begun.get(part, "")) != _lasting(asked[part]):
            raise EMoEError(
                f"The choice '{file.removesuffix(ENDING)}' was begun with other {name}; give another name, or delete the file "
                f"'{file}'."
            )


def _lasting(part: Any) -> Any:
    """A part of the first line without the memory that experts took, which may differ from run to run."""
    if not isinstance(part, list):
        return part
    return [{**one, "size": None} if isinstance(one, dict) and "identity" in one else one for one in part]


def read(path: Path) -> Record:
    """Reads a choice's file, of any version.

    Raises:
        EMoEError: it is none, is damaged, of a newer version, or has no block yet.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines(keepends=True) if path.is_file() else []
    except OSError as error:
        raise EMoEError(f"The choice '{path.name}' cannot be read ({error.strerror}); check the name.") from error
    return _read([line for line in lines if line.endswith(b"\n")], f"The choice '{path.name}'")


def _read(lines: Sequence[bytes], who: str) -> Record:
    try:
        first = parse(lines[0])
        version = first["emoe_choice"]
    except (IndexError, ValueError, KeyError, TypeError) as error:
        raise EMoEError(f"{who} is no file that Choose Experts wrote; choose another.") from error
    if type(version) is not int or version < 1:
        raise EMoEError(f"{who} {_DAMAGED}.")
    if version > CHOICE_SCHEMA:
        raise EMoEError(f"{who} is of a newer version of the node pack; update the node pack.")
    try:
        about = About.from_dict(first)
        blocks = [_block(parse(line), about) for line in lines[1:]]
        until = [int(parse(line)["until"]) for line in lines[1:]]
        if not blocks:
            raise EMoEError(f"{who} has no prompt yet; let Choose Experts run on.")
        counts = [next(iter(one.products[0].values())).prompts for one in blocks]
        if until != list(itertools.accumulate(counts)) or until[-1] > len(about.prompts):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        if isinstance(error, EMoEError) and str(error).startswith(who):
            raise
        raise EMoEError(f"{who} {_DAMAGED}.") from error
    products = {
        (number, feature): joined([one.products[number][feature] for one in blocks])
        for number, level in enumerate(about.levels)
        for feature in level.features
    }
    spent = tuple(
        tuple(sum((one.spent[level][expert] for one in blocks), Spent()) for expert in range(len(about.experts)))
        for level in range(len(about.levels))
    )
    share = next((one.share for one in blocks if one.share is not None), None)
    return Record(about, until[-1], products, spent, share)


def _block(body: Mapping[str, Any], about: About) -> Block:
    experts = len(about.experts)
    levels = []
    for level, here in zip(about.levels, body["products"], strict=True):
        found = {}
        for feature in level.features:
            square = _unpacked(here[feature]["square"], about.samples, experts)
            above = _unpacked(here[feature]["apart"], about.samples, experts * (experts - 1) // 2)
            if len(square) != len(above):
                raise ValueError
            found[feature] = Products(square, _whole(above, experts))
        levels.append(found)
    if len({one.prompts for found in levels for one in found.values()}) != 1:
        raise ValueError
    spent = tuple(tuple(Spent(**one) for one in here) for here in body["spent"])
    if len(spent) != len(levels) or any(len(here) != experts for here in spent):
        raise ValueError
    share = body["share"]
    figures = [figure for here in spent for one in here for figure in vars(one).values()]
    if not all(map(_is_figure, figures if share is None else [*figures, share])):
        raise ValueError
    return Block(tuple(levels), spent, share)


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12


def _is_candidate(one: Candidate) -> bool:
    texts = (one.name, one.file, one.identity, one.text_encoder, one.dtype)
    return all(isinstance(text, str) for text in texts) and type(one.size) is int and one.size >= 0


def _is_level(one: Level) -> bool:
    return all(0 < side < 1 << 20 for side in one.size)


def _is_asked(one: Asked) -> bool:
    texts = (one.kind, one.pair, one.text, *one.groups, *one.groups.values())
    return all(isinstance(text, str) for text in texts) and one.bad in (None, True, False)


def _triangle(apart: Floats) -> Floats:
    rows, columns = np.triu_indices(apart.shape[-1], 1)
    found: Floats = apart[..., rows, columns]
    return found


def _whole(above: Floats, experts: int) -> Floats:
    apart = np.zeros((*above.shape[:2], experts, experts))
    rows, columns = np.triu_indices(experts, 1)
    apart[..., rows, columns] = above
    apart[..., columns, rows] = above
    return apart


def _packed(values: Floats) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode("ascii")


def _unpacked(text: str, samples: int, width: int) -> Floats:
    """[prompts, samples, width]; a ValueError for a text that cannot be that."""
    try:
        flat = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8")
    except binascii.Error as error:
        raise ValueError from error
    found: Floats = flat.reshape(-1, samples, width).astype(np.float64)
    if not len(found) or not np.isfinite(found).all() or (found < 0).any():
        raise ValueError
    return found
