"""What a person must be told, as a code with its values. The words are made only where they are shown, as in

Message.of(Code.FEW, group="language=fi", count=3).line("ja")
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ..errors import plain

LANGUAGES = ("en", "ja")
_COMMA = {"en": ", ", "ja": "\u3001"}
#: By code and language.
_WORDS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("messages.json").read_text(encoding="utf-8"))
_STRAIGHT = str.maketrans("“”", "''")


@unique
class Code(str, Enum):
    """Everything that can be said: the code that is stored, whose words are in messages.json.

    `Message.line` fills in the names in the words, and puts commas between the parts of a list. Codes that begin with
    `part_` are no sentences: they are values of other messages.
    """

    #: An English sentence from a result that was stored without codes, or by another version of the pack.
    SENTENCE = "sentence"
    CONTROL = "control"
    BAD_ROWS = "bad_rows"
    NO_GROUP = "no_group"
    REPEATED = "repeated"
    EMPTY = "empty"
    FEW = "few"
    UNFINISHED = "unfinished"
    PREDICTIONS = "predictions"
    PRECISION = "precision"
    KINSHIP = "kinship"
    COPIES = "copies"
    GUIDANCE = "guidance"
    ALONE = "alone"
    NOISE_MASK = "noise_mask"
    TOO_LONG = "too_long"
    PROVED = "proved"
    NO_PICTURE = "no_picture"
    CALIBRATION = "calibration"
    APART = "apart"
    APART_PAIRED = "apart_paired"
    RATED = "rated"
    MATCHED = "matched"
    STYLE = "style"
    ROUNDING = "rounding"
    ROUNDED = "rounded"
    TAKE = "take"
    CHANCE = "chance"
    EASY = "easy"
    EVERY = "every"
    ADDS = "adds"
    STOPPED = "stopped"
    COPY_OF = "copy_of"
    MERGE_OF = "merge_of"
    EFFECTIVE = "effective"
    ADVISED = "advised"
    STYLES = "styles"
    NONE_CHEAPER = "none_cheaper"
    MORE_PROMPTS = "more_prompts"
    FEWER = "fewer"
    STAGED = "staged"
    SCORELESS = "scoreless"
    MEASURED = "measured"
    FIGURES = "figures"
    NEAR_COPIES = "near_copies"
    ROUNDED_COPY = "rounded_copy"
    ONE_MODEL = "one_model"
    MERGED = "merged"
    MERGED_BLOCKS = "merged_blocks"
    EXACT_SUM = "exact_sum"
    UNSURE_MERGE = "unsure_merge"
    GUIDANCE_INPUT = "guidance_input"
    DEAF = "deaf"
    STANDS_ALONE = "stands_alone"
    STRONG = "strong"
    WEAK = "weak"
    WORDING = "wording"
    WORDING_UNKNOWN = "wording_unknown"
    SPLIT = "split"
    SERVER = "server"
    EXPERT = "part_expert"
    EXPERT_IS = "part_expert_is"
    PAIR = "part_pair"
    SHARE = "part_share"
    PROMPTS = "part_prompts"
    PROMPTS_BAD = "part_prompts_bad"
    GROUPS = "part_groups"

    def words(self, language: str) -> str:
        """What it says, with the values' names in braces."""
        return _WORDS[self.value][language]


@dataclass(frozen=True)
class Message:
    """One thing to say. `values` holds texts, numbers, messages and lists of them, by the names in the code's words."""

    code: Code
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, code: Code, **values: Any) -> "Message":
        return cls(code, values)

    @classmethod
    def load(cls, text: str, kept: Any = None) -> "Message":
        """The message that `as_dict` gave; the plain `text` where that is missing or this version does not know it."""
        try:
            found: Message = _loaded(kept)
            found.line()
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls.of(Code.SENTENCE, text=text)
        return found

    def __str__(self) -> str:
        return self.line()

    def line(self, language: str = "en", shown: Callable[[str], str] | None = None) -> str:
        """The words.

        Args:
            shown: how a page shows a user's text. Without it the quotes are a terminal's.
        """

        def said(value: Any) -> Any:
            if isinstance(value, Message):
                return value.line(language, shown)
            if isinstance(value, (list, tuple)):
                return _COMMA[language].join(str(said(one)) for one in value)
            return shown(value) if shown is not None and isinstance(value, str) else value

        words = self.code.words(language)
        if shown is None:
            words = words.translate(_STRAIGHT)
        words = words.format_map({name: said(value) for name, value in self.values.items()})
        return plain(words) if shown is None else words

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def dump_all(messages: Iterable[Message]) -> dict[str, Any]:
    """Messages for JSON: the codes, and the English sentences for readers without codes."""
    messages = list(messages)
    return {"warnings": [str(one) for one in messages], "messages": [one.as_dict() for one in messages]}


def load_all(kept: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages that `dump_all` gave; an older pack's JSON has no codes, so its sentences."""
    found = zip_longest(kept.get("warnings", ()), kept.get("messages") or ())
    return tuple(Message.load(text, one) for text, one in found if text is not None)


def dump_one(key: str, message: Message | None) -> dict[str, Any]:
    """Like `dump_all`, for one message that may be missing."""
    return {key: str(message or ""), f"{key}_message": message and message.as_dict()}


def load_one(key: str, kept: Mapping[str, Any]) -> Message | None:
    """The message that `dump_one` gave, with or without the code."""
    return Message.load(kept[key], kept.get(f"{key}_message")) if kept.get(key) else None


def _loaded(value: Any) -> Any:
    if isinstance(value, list):
        return [_loaded(one) for one in value]
    if isinstance(value, dict):
        return Message(Code(value["code"]), {name: _loaded(one) for name, one in value["values"].items()})
    return value
