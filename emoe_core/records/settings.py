"""Everything that a score depends on besides the prompt."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import EMoEError

#: Raised when a change in the maths makes new scores incomparable with old ones.
SCORE_VERSION = 1


#: `Settings.text_encoders` where one CONDITIONING serves all experts.
SHARED = ("shared",)


#: The settings that name the models: they may differ where the models give the same scores (`emoe_core.gating.proof`).
_WHO_ANSWERS = ("experts", "text_encoders", "dtype")


@dataclass(frozen=True)
class Settings:
    """Everything that a score depends on besides the prompt. Two scores are comparable when these are equal.

    Attributes:
        experts: identity digest of each expert, in order.
        text_encoders: identity digest of each expert's text encoder, or ("shared",) for one CONDITIONING for all.
        tap, estimator: where the latent is taken and how it is read.
        sigma: noise level of the step, rounded to 6 significant digits.
        noise_seed: seed of the first noise sample, or None where no noise is added.
        noise_samples: number of noise samples K.
        latent_shape: shape of one latent, channels first.
        latent: "empty" for an empty latent, "given" for an image or an unfinished latent, with the indices of its batch items
            where the noise depends on them.
        dtype: the type the first expert computes in.
        conditioning: what the CONDITIONING carries beside text (areas, sizes, masks, ControlNet, ...).
    """

    experts: tuple[str, ...]
    text_encoders: tuple[str, ...]
    tap: str
    estimator: str
    sigma: float
    noise_seed: int | None
    noise_samples: int
    latent_shape: tuple[int, ...]
    latent: str
    dtype: str
    conditioning: tuple[str, ...] = ()
    mode: str = "ensemble"
    version: int = SCORE_VERSION

    def fingerprint(self) -> str:
        """Short digest of all settings, for files and history."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def question(self) -> tuple[Any, ...]:
        """Every setting except which models answer and in which precision they compute."""
        asked = [getattr(self, one.name) for one in fields(self) if one.name not in _WHO_ANSWERS]
        return (*asked, len(self.experts), self.text_encoders == SHARED)

    def differences(self, other: "Settings", question: bool = False) -> list[str]:
        """One phrase for each setting in which `other` differs from this one.

        Args:
            question: compare only the settings that belong to `question`.
        """
        found = []
        left = _WHO_ANSWERS if question and self.question()[:-2] != other.question()[:-2] else ()
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if mine != theirs and one.name not in left:
                found.append(f"{one.name} is {_brief(theirs)} instead of {_brief(mine)}")
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Settings":
        """Settings from JSON.

        Raises:
            EMoEError: a field is missing or unknown.
            TypeError: a field holds what it cannot.
        """
        known = {one.name for one in fields(cls)}
        if missing := known - data.keys():
            raise EMoEError(
                f"These settings lack {', '.join(sorted(missing))}; the file is damaged or of another version."
            )
        if unknown := data.keys() - known:
            raise EMoEError(
                f"These settings have the unknown field {', '.join(sorted(unknown))}; update the node pack."
            )
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        if wrong := [key for key, kind in _KINDS.items() if not kind(values[key])]:
            raise TypeError(f"{', '.join(wrong)} of the settings cannot be that")
        if not math.isfinite(values["sigma"]):
            raise EMoEError("These settings have a noise level that is not a finite number; the file is damaged.")
        return cls(**values)


def _all(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(type(one) is kind for one in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_level(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 1 << 64)


#: What each setting must be.
_KINDS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("experts", "text_encoders", "conditioning"), _all(str)),
    **dict.fromkeys(("tap", "estimator", "latent", "dtype", "mode"), _is_text),
    **dict.fromkeys(("noise_samples", "version"), _is_whole),
    "latent_shape": _all(int),
    "noise_seed": lambda value: value is None or _is_whole(value),
    "sigma": _is_level,
}


def _brief(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_brief(item) for item in value) + ")"
    return value[:8] if isinstance(value, str) and len(value) == 64 else str(value)
