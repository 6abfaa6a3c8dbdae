"""The decision report as a picture: four charts with the chosen threshold marked."""

from PIL import Image

from ..charts import Mark, Series, histogram, line_chart, stack
from ..gating.decision_report import Decisions
from ..stats.evaluation import Floats

SIZE = (720, 440)


def picture(report: Decisions, theme: str = "light", size: tuple[int, int] = SIZE, scale: float = 1.0) -> Image.Image:
    """Scores, risk by coverage, bad and passed by coverage, and seconds saved by quality kept, each of `size` pixels."""
    curve, random, oracle = report.curve, report.random, report.oracle
    there = report.at_threshold()
    passed = 1 - there["blocked"] if there else 0.0
    look = {"size": size, "theme": theme, "scale": scale}
    scores = histogram(
        {"good": report.scores[~report.bad].tolist(), "bad": report.scores[report.bad].tolist()},
        title="Scores of good and of bad prompts",
        x_label="score",
        y_label="share of the good, of the bad",
        marks=[Mark(report.threshold, f"threshold {report.threshold:.4g}")] if report.threshold is not None else [],
        **look,  # type: ignore[arg-type]
    )

    def by_coverage(title: str, y_label: str, band: Floats, of: str, chosen: str) -> Image.Image:
        return line_chart(
            [
                _series("by score", report, band, getattr(curve, f"{of}_at")(report.coverage)),
                Series("random order", random.coverage.tolist(), getattr(random, of).tolist(), dashed=True),
                Series("good ones first", oracle.coverage.tolist(), getattr(oracle, of).tolist(), dashed=True),
            ],
            title=title,
            x_label="share of prompts that passes",
            y_label=y_label,
            marks=[Mark(passed, "chosen", there[chosen])] if there else [],
            percent=(True, True),
            x_range=(0, 1),
            **look,  # type: ignore[arg-type]
        )

    title = f"Bad among the passed: AURC {_area(report, 'aurc')}"
    risk = by_coverage(title, "share of bad among them", report.risk_band, "risk", "bad_among_passed")
    title = f"Bad and passed: AUGRC {_area(report, 'augrc')}"
    label = "share of all prompts that is bad and passes"
    joint = by_coverage(title, label, report.joint_band, "joint", "bad_and_passed")
    money = line_chart(
        [
            Series(name, one.kept.tolist(), report.seconds_saved(1 - one.coverage).tolist(), dashed=name != "by score")
            for name, one in (("by score", curve), ("random order", random), ("good ones first", oracle))
        ],
        title=f"Seconds saved, at {report.choice.seconds_generation:g} s an image and {report.choice.seconds_score:g} s a score",
        x_label="share of the good prompts that is kept",
        y_label="seconds saved per 100 prompts",
        marks=[Mark(there["quality_kept"], "chosen", there["seconds_saved_per_100"])] if there else [],
        percent=(True, False),
        **look,  # type: ignore[arg-type]
    )
    return stack([scores, risk, joint, money], columns=2)


def _series(name: str, report: Decisions, band: Floats, values: Floats) -> Series:
    """A line with its band."""
    return Series(name, report.coverage.tolist(), values.tolist(), band[0].tolist(), band[1].tolist())


def _area(report: Decisions, name: str) -> str:
    area = report.areas[name]
    return f"{area['value']:.3f} ({area['interval'][0]:.3f} to {area['interval'][1]:.3f})"
