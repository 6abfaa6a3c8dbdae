"""From a report to a trial's readings: what every preset says of the prompt, and the numbers of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import EMoEError
from ..records.settings import Settings
from ..remote.results import number
from ..remote.server import mapping
from ..scoring.presets import CUSTOM, MIDDLE, PRESETS, resolve_tap
from .store import Reading

RESPONSE = "response"
#: Estimators that use one model alone.
_ALONE = (RESPONSE, "guidance")


def readings(report: Mapping[str, Any]) -> dict[Reading, float]:
    """The scores in a report, as `Report.as_dict` gives it.

    There is one reading for each preset that was measured, one for the score itself where it is no preset's, and
    "response", the number of one model that every report has.

    Raises:
        EMoEError: the report has several batch items, or is no report.
    """
    try:
        items = report["items"]
        if len(items) > 1:
            raise EMoEError(
                f"The score is of a batch of {len(items)}, and a trial needs one picture per prompt: set the latent's "
                "batch_size to 1."
            )
        settings, item = Settings.from_dict(report["settings"]), mapping(items[0])
        measured = {tap: mapping(found) for tap, found in mapping(item["all"]).items()}
        named = {
            name: (_tap(preset.tap, settings.tap, tuple(measured)), preset.estimator)
            for name, preset in PRESETS.items()
        }
        own = (settings.tap, settings.estimator)
        if own not in named.values() and settings.estimator not in _ALONE:
            named[CUSTOM] = own
        found = {
            Reading(name, replace(settings, tap=tap, estimator=estimator)): _score(measured[tap][estimator])
            for name, (tap, estimator) in named.items()
            if estimator in measured.get(tap, ())
        }
        return {**found, Reading(RESPONSE, None): _finite(item["response"])}
    except EMoEError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EMoEError(
            "The server's report of the score is not one of this node pack; update the node pack there."
        ) from error


def _tap(wanted: str, own: str, measured: Sequence[str]) -> str:
    """The tap of a preset, "" where it was not measured.

    The score's own block may be any one that a user chose. A block beside it was measured for the presets, and so is the
    middle one.
    """
    beside = [tap for tap in measured if tap != own]
    for taps in (beside, measured) if wanted == MIDDLE else (measured,):
        try:
            return resolve_tap(wanted, taps)
        except EMoEError:
            continue
    return ""


def _score(estimate: Any) -> float:
    return _finite(mapping(estimate)["score"])


def _finite(value: Any) -> float:
    found = number(value)
    if found is None:
        raise ValueError
    return found
