"""Which of several calibrations a report may be compared with."""

from ..errors import SettingsMismatch
from ..records.calibration import Calibration
from ..records.report import Report


def fitting(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration | None:
    """The calibration that a report's score may be compared with: made under its settings, or proved for its models."""
    for calibration in calibrations:
        if calibration.settings == report.settings:
            return calibration
    for calibration in calibrations:
        proof = report.proof_of(calibration)
        if proof is not None and proof.holds and calibration.settings.question() == report.settings.question():
            return calibration
    return None


def matching(report: Report, calibrations: tuple[Calibration, ...]) -> Calibration:
    """Like `fitting`, for callers that need one.

    Raises:
        SettingsMismatch: there is no calibration, or the nearest one does not hold; the message says why.
    """
    if not calibrations:
        raise SettingsMismatch(
            "This report has no calibration for its experts, so a false-block rate cannot be kept: connect a calibration "
            "made with the same experts and settings, or set the Gate's policy to raw_threshold."
        )
    found = fitting(report, calibrations)
    if found is not None:
        return found
    asked = [one for one in calibrations if one.settings.question() == report.settings.question()]
    nearest = min(asked or calibrations, key=lambda c: len(c.settings.differences(report.settings)))
    listed = "; ".join(nearest.settings.differences(report.settings, question=True))
    proof = report.proof_of(nearest)
    if not asked:
        raise SettingsMismatch(
            f"The score was made under other settings than the calibration '{nearest.name}': {listed}. Connect the "
            "calibration to Uncertainty Score, which then uses its settings, or connect a calibration made with these."
        )
    if proof is None:
        raise SettingsMismatch(
            f"The calibration '{nearest.name}' names other models than the score: {listed}. Connect it to Uncertainty Score's "
            "input calibration too: some of its prompts are scored again there, which tells whether it still holds."
        )
    raise SettingsMismatch(
        f"{proof.line()} Load the models that it was made with, or make it again with Calibrate Gate."
    )
