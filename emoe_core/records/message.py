"""What a person must be told, as a code with its values. The words are made only where they are shown, as in

Message.of(Code.FEW, group="language=fi", count=3).line("ja")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from itertools import zip_longest
from typing import Any

from ..errors import plain

LANGUAGES = ("en", "ja")
_COMMA = {"en": ", ", "ja": "、"}
_STRAIGHT = str.maketrans("“”", "''")


@unique
class Code(str, Enum):
    """Everything that can be said: the code that is stored, and its words in English and Japanese.

    `Message.line` fills in the names in the words, and puts commas between the parts of a list. Codes that begin with
    `part_` are no sentences: they are values of other messages.
    """

    en: str
    ja: str

    def __new__(cls, code: str, en: str, ja: str) -> Code:
        made = str.__new__(cls, code)
        made._value_, made.en, made.ja = code, en, ja
        return made

    #: An English sentence from a result that was stored without codes, or by another version of the pack.
    SENTENCE = "sentence", "{text}", "{text}"

    CONTROL = (
        "control",
        "{count} prompts held control characters, which became spaces.",
        "{count}件のプロンプトに制御文字があり、空白に置き換えました。",
    )
    BAD_ROWS = (
        "bad_rows",
        "{count} rows of the prompt file could not be read and are left out.",
        "プロンプトファイルの{count}行は読めず、除きました。",
    )
    NO_GROUP = (
        "no_group",
        "{count} prompts have nothing in the column “{column}” and belong to no group of it.",
        "{count}件のプロンプトは列「{column}」が空で、どのグループにも入っていません。",
    )
    REPEATED = (
        "repeated",
        "{count} prompts have an id that their group of “{column}” has already; prompts of one id count as one there, with "
        "their mean.",
        "{count}件のプロンプトは、列「{column}」の同じグループ内でidが重複しています。同じidのプロンプトは、平均を取って"
        "1件と数えます。",
    )
    EMPTY = (
        "empty",
        "The group “{group}” is empty: none of its prompts was scored.",
        "グループ「{group}」は空です。スコアされたプロンプトがありません。",
    )
    FEW = (
        "few",
        "The group “{group}” has {count} prompts: too few to compare.",
        "グループ「{group}」は{count}件しかなく、比較できません。",
    )
    UNFINISHED = (
        "unfinished",
        "{count} prompts were not scored yet: the figures are of the first part of the file only.",
        "{count}件のプロンプトはまだスコアされていません。数値はファイルの前半だけのものです。",
    )

    PREDICTIONS = (
        "predictions",
        "The experts predict different things ({experts}); part of the score is that difference.",
        "エキスパートごとに予測するものが違います({experts})。スコアの一部はその違いによるものです。",
    )
    PRECISION = (
        "precision",
        "The experts are stored in different precision ({experts}); part of the score is rounding.",
        "エキスパートごとに重みの精度が違います({experts})。スコアの一部は丸めによるものです。",
    )
    KINSHIP = (
        "kinship",
        "Whether {experts} descend from one base model is unknown, since weights are packed in a form that cannot be read; "
        "unless they do, their hidden latents at “{tap}” are not comparable and the preset “layout” (tap noise_pred) is the "
        "one to choose.",
        "{experts}が同じベースモデルの子孫かどうかは、重みが読めない形式で格納されているため分かりません。子孫でなければ、"
        "「{tap}」のlatentは比べられません。その場合はプリセット「layout」(タップ noise_pred)を選んでください。",
    )
    COPIES = (
        "copies",
        "These experts are the same model and cannot disagree: {pairs}; replace one of each pair.",
        "次のエキスパートは同じモデルなので、意見が割れません:{pairs}。どちらか一方を取り替えてください。",
    )
    GUIDANCE = (
        "guidance",
        "Patches on {experts} act on guidance, which has no part in a score: they were left out.",
        "{experts}には、ガイダンスに働くパッチがあります。スコアにはガイダンスが関わらないため、外して測りました。",
    )
    ALONE = (
        "alone",
        "Patches on {experts} may mix what goes through the network together, so each prompt and noise sample had a call of "
        "its own.",
        "{experts}には、一度に流したものを互いに混ぜるかもしれないパッチがあるため、プロンプトとノイズごとに別々に測りました。",
    )
    NOISE_MASK = (
        "noise_mask",
        "The latent has a noise mask, which has no part in the score: the whole picture was scored.",
        "latentにノイズマスクがありますが、スコアには使われません。画像全体を測りました。",
    )
    TOO_LONG = (
        "too_long",
        "The prompt has {tokens} tokens and the text encoder reads {room}: what is beyond does not count.",
        "プロンプトは{tokens}トークンあり、テキストエンコーダーが読むのは{room}トークンまでです。その先は反映されません。",
    )
    PROVED = (
        "proved",
        "The calibration “{name}” was made by other digests, and was proved on {count} of its prompts: largest difference "
        "{largest:.2g}.",
        "キャリブレーション「{name}」は識別値の違うモデルで作られたものですが、そのプロンプト{count}件を採点し直し、有効と"
        "確かめました(最大の差 {largest:.2g})。",
    )

    NO_PICTURE = (
        "no_picture",
        "The picture could not be kept in the temp folder ({reason}); the result stands.",
        "画像をtempフォルダーに保存できませんでした({reason})。結果は有効です。",
    )
    CALIBRATION = (
        "calibration",
        "Calibration “{name}”: {parts}, scores {low:.4g} to {high:.4g}, smallest alpha {alpha:g}.",
        "キャリブレーション「{name}」:{parts}、スコアは{low:.4g}~{high:.4g}、αは{alpha:g}以上。",
    )
    SERVER = "server", "The workflow's own, on the server.", "ワークフロー自身のもの(サーバー上)。"

    EXPERT = "part_expert", "“{name}”", "「{name}」"
    EXPERT_IS = "part_expert_is", "“{name}” {what}", "「{name}」は{what}"
    PAIR = "part_pair", "“{one}” and “{other}”", "「{one}」と「{other}」"
    PROMPTS = "part_prompts", "{count} prompts", "プロンプト{count}件"
    PROMPTS_BAD = "part_prompts_bad", "{count} prompts ({bad} of them bad)", "プロンプト{count}件(うち悪い例{bad}件)"
    GROUPS = "part_groups", "{count} groups by {column}", "{column}別に{count}グループ"


_CODES = {code.value: code for code in Code}


@dataclass(frozen=True)
class Message:
    """One thing to say. `values` holds texts, numbers, messages and lists of them, by the names in the code's words."""

    code: Code
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, code: Code, **values: Any) -> Message:
        return cls(code, values)

    @classmethod
    def load(cls, text: str, kept: Any = None) -> Message:
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

        words: str = getattr(self.code, language)
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
        return Message(_CODES[value["code"]], {name: _loaded(one) for name, one in value["values"].items()})
    return value
