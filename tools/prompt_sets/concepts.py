"""The set `concepts`: things that can be drawn, under the same name in about a hundred languages.

The names are those of emoji in Unicode CLDR. CLDR keeps them unique within a language, so no two concepts are the same
prompt. The choices:

* Emoji of things, beings and scenes (`TOPICS`), not of symbols, flags, hands, clocks or yellow faces. For people, the forms
  for women and men: the form for both is a gloss in many languages ("cuisinier (tous genres)").
* Not `SKIPPED`: variants that differ only in the drawing (a mailbox with its flag up), places that exist once, and names
  that describe the emoji instead of a thing.
* A language needs CLDR's coverage level `modern`, nearly all names, and names of its own: at most the share `COPIES` equals
  the English ones. (This excludes Filipino: every third name is the English word.)
* A concept needs a plain name in every remaining language. A gloss behind a name is cut; a name with other marks is
  not plain, because ComfyUI reads brackets and colons as weights and no user writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

COPIES = 0.2
COMPLETE = 0.985

#: Emojibase's subgroups by topic.
TOPICS = {
    "people": "person person-role person-activity person-sport",
    "body": "body-parts",
    "animals": "animal-mammal animal-bird animal-amphibian animal-reptile animal-marine animal-bug",
    "plants": "plant-flower plant-other",
    "food": "food-fruit food-vegetable food-prepared food-asian food-sweet drink",
    "landscape": "place-geographic sky-weather",
    "places": "place-building place-religious place-other",
    "transport": "transport-ground transport-water transport-air hotel",
    "celebrations": "event award-medal",
    "sport": "sport",
    "games": "game arts-crafts",
    "music": "musical-instrument music sound",
    "clothing": "clothing",
    "household": "household dishware",
    "technology": "phone computer light-video time",
    "office": "book-paper money mail writing office",
    "tools": "tool lock",
    "science": "science medical",
}
_ROLES = (
    "health worker|student|teacher|judge|farmer|cook|mechanic|factory worker|office worker|scientist|technologist|singer"
    "|artist|pilot|astronaut|firefighter|police officer|detective|guard|construction worker|in tuxedo|running|dancing"
    "|climbing|golfing|surfing|rowing boat|swimming|lifting weights|biking|mountain biking|playing water polo"
    "|playing handball|juggling|walking|getting haircut|getting massage|cartwheeling|feeding baby"
    "|wearing turban|with headscarf|with white cane|in manual wheelchair|in motorized wheelchair"
)
_PEOPLE = re.compile(
    rf"(?:man|woman) (?:{_ROLES})|(?:old )?(?:man|woman)|baby|child|boy|girl|ninja|prince|princess|horse racing"
)
SKIPPED = re.compile(
    # one of several drawings of a thing
    r"(dog|cat|monkey|tiger|horse|cow|pig|mouse|rabbit|wind|moon|dragon) face|front-facing|sun with face|oncoming|incoming"
    r"|(first|last) quarter|(waxing|waning|new moon|crescent moon)|sun behind|cloud with|umbrella (with|on)|closed umbrella"
    r"|snowman without|glowing star|(green|blue|orange) book|notebook with|open file|mailbox|envelope with|with arrow"
    r"|banknote|with wings|increasing|decreasing|calendar|round pushpin|linked|tilted right|with flash|musical notes"
    r"|speaker|(level|control) |with slash|trackball|optical|dvd|low battery|receiver|locked with|hammer and"
    r"|clinking beer|wilted|leaf fluttering|empty nest|lady beetle|two-hump|broken chain|card index dividers|spiral"
    r"|high-speed|light rail|tram car|railway car|trolleybus|small airplane|departure|arrival|motor boat|suit|medal"
    r"|running shirt|woman’s|man’s|clutch|handbag|roll of paper|person in|tropical drink|shallow pan|bowl with|fork and knife$"
    r"|hourglass not|o’clock|thirty|horizontal traffic|police car light|cityscape at|at dusk|derelict|houses|raised flag"
    # places that exist once
    r"|fuji|tokyo|statue of|kaaba|map of|moai"
    # no thing, or not clear from the name
    r"|^seat$|^ice$|high voltage|spade|heart suit|joker|mahjong|flower playing|outbox|inbox|tray|bookmark tabs|page |ballot"
    r"|card file|viewing|hook$|link$|dna|^x-ray|bubbles|pouring|water wave|sparkles|nazar|hamsa|hair pick|goal net"
    r"|bullseye|^biting|eyes$|pager|sauropod|microbe|mechanical|hearing aid|performing|reminder|pig nose|paw prints"
    r"|^foggy|^construction$",
    re.IGNORECASE,
)
_MARKS = re.compile(r"[()（）\[\]{}【】<>|:：;؛\"\\…]")
_GLOSS = re.compile(r"\s+[(（][^()（）]+[)）]$")

Names = Mapping[str, Mapping[str, str]]


def build(
    emoji: Sequence[dict[str, Any]], subgroups: Mapping[str, str], names: Names, modern: set[str]
) -> dict[str, Any]:
    """The set's concepts and its names by language.

    Args:
        emoji: emojibase's entries, in order.
        subgroups: emojibase's subgroups by number.
        names: language -> emoji -> CLDR's name for it.
        modern: languages of CLDR's coverage level `modern`.
    """
    pool = _pool(emoji, subgroups, names["en"])
    languages = [language for language in sorted(names) if language in modern and _is_own(language, names, pool)]
    plain = {language: _plain(names[language], pool) for language in languages}
    kept = [entry for entry in pool if all(entry["emoji"] in plain[language] for language in languages)]
    concepts = [{**entry, "id": _id(entry["name"])} for entry in kept]
    for concept in concepts:
        del concept["name"]
    table = {language: [plain[language][entry["emoji"]] for entry in kept] for language in languages}
    return {"concepts": concepts, "names": table}


def _pool(
    emoji: Sequence[dict[str, Any]], subgroups: Mapping[str, str], english: Mapping[str, str]
) -> list[dict[str, str]]:
    """Emoji that may become concepts, each with its topic and English name, by topic."""
    topic_of = {subgroup: topic for topic, listed in TOPICS.items() for subgroup in listed.split()}
    pool: dict[str, list[dict[str, str]]] = {topic: [] for topic in TOPICS}
    for entry in emoji:
        topic = topic_of.get(subgroups.get(str(entry.get("subgroup")), ""))
        symbol = entry["emoji"].replace("\ufe0f", "").replace("\ufe0e", "")
        name = english.get(symbol, "")
        if topic is None or not name or (topic == "people" and not _PEOPLE.fullmatch(name)):
            continue
        if topic == "people" or not SKIPPED.search(name):
            pool[topic].append({"emoji": symbol, "topic": topic, "name": name})
    return [entry for entries in pool.values() for entry in entries]


def _is_own(language: str, names: Names, pool: Sequence[dict[str, str]]) -> bool:
    """Whether a language has nearly all names, and names of its own."""
    there = [entry for entry in pool if entry["emoji"] in names[language]]
    copies = sum(names[language][entry["emoji"]].casefold() == entry["name"].casefold() for entry in there)
    return len(there) >= COMPLETE * len(pool) and (language == "en" or copies <= COPIES * len(pool))


def _plain(names: Mapping[str, str], pool: Sequence[dict[str, str]]) -> dict[str, str]:
    """The names that can be prompts: without marks, and each only once."""
    found: dict[str, str] = {}
    for entry in pool:
        name = _GLOSS.sub("", names.get(entry["emoji"], "")).strip()
        if name and not _MARKS.search(name) and name.casefold() not in {text.casefold() for text in found.values()}:
            found[entry["emoji"]] = name
    return found


def _id(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.replace("ñ", "n").lower()).strip("-")
