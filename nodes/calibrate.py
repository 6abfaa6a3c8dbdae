"""Calibrations: reference scores that give the Gate its unit."""

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.gating.reference_prompts import BAD_BELOW
from ..emoe_core.hosts.comfyui import calibrating, input_files
from ..emoe_core.io.files import state_of
from ..emoe_core.prompts import BadRow
from ..emoe_core.records.calibration import Calibration
from . import inputs, settings
from .api import ADVANCED, named
from .shown import refused, text_ui
from .types import CalibrationType, Experts

_SHOWN = 5
_BUILT_IN = "The built-in prompts ({}) are ones that models should know; nobody has looked at what yours draw of them."


class Calibrate(io.ComfyNode):
    """Scores reference prompts."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_Calibrate",
                "Calibrate Gate",
                "calibration",
                "conformal",
                "reference prompts",
                "threshold",
                "quality",
            ),
            description=(
                "Scores prompts that you know your models draw well. A Confidence Gate with this "
                "calibration then blocks at most the "
                "share alpha of prompts like them. Connect it to Uncertainty Score, which then uses the same settings. "
                "An interrupted run goes on "
                "where it stopped."
            ),
            inputs=[
                Experts.Input("experts", tooltip="The same experts that Uncertainty Score gets."),
                io.Latent.Input(
                    "latent_image", tooltip="An empty latent of the size that Uncertainty Score gets, batch size 1."
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    tooltip=(
                        "Reference prompts that your models draw well, one per line. At least 19 for alpha 0.05, 99 for "
                        "0.01. A leading ! marks one that comes out wrong, # starts a comment. May be empty with a prompt_file."
                    ),
                ),
                io.String.Input("name", default="my calibration", tooltip="What to call it in messages and as a file."),
                *settings.all_inputs(),
                inputs.clip(),
                io.String.Input(
                    "prompt_file",
                    default="",
                    optional=True,
                    tooltip=(
                        "A file of more prompts in ComfyUI's input folder: .txt, .csv, .tsv, .jsonl or "
                        ".parquet. Its column bad or quality marks what comes out wrong; other columns, such as language, "
                        "become groups."
                    ),
                ),
                io.Float.Input(
                    "bad_below",
                    default=BAD_BELOW,
                    min=-1e12,
                    max=1e12,
                    step=0.01,
                    round=0.000001,
                    optional=True,
                    tooltip="Where the file's column quality holds numbers: prompts below this one are bad.",
                    **ADVANCED,
                ),
                settings.block_index(),
                settings.sampler_name(),
                io.Combo.Input(
                    "built_in",
                    options=[calibrating.NO_SET, *calibrating.BUILT_IN],
                    default=calibrating.NO_SET,
                    optional=True,
                    tooltip=(
                        "A first calibration without prompts of your own. everyday: 160 plain English things and scenes that a "
                        "model of photographs should know."
                    ),
                ),
                io.Boolean.Input(
                    "staged",
                    default=False,
                    optional=True,
                    tooltip=(
                        "Score in two stages: half of the experts first, the others only where that leaves doubt. It takes at "
                        "most half of the network calls. Needs four experts, two noise samples and 60 prompts. Every third "
                        "prompt serves only to learn when there is doubt."
                    ),
                ),
            ],
            outputs=[
                CalibrationType.Output(
                    display_name="calibration", tooltip="For Uncertainty Score and Save Calibration."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        latent_image: dict[str, Any],
        prompts: str,
        name: str,
        clip: Any = None,
        prompt_file: str = "",
        bad_below: float = BAD_BELOW,
        built_in: str = calibrating.NO_SET,
        staged: bool = False,
        **widgets: Any,
    ) -> io.NodeOutput:
        references = calibrating.reference_prompts(prompts, prompt_file, bad_below, built_in)
        said = "" if built_in == calibrating.NO_SET else _BUILT_IN.format(built_in)
        made = calibrating.calibrate(
            experts,
            references,
            latent_image,
            name.strip(),
            clip,
            settings.options("Calibrate Gate", **widgets),
            said,
            staged,
        )
        return io.NodeOutput(made, ui=text_ui(made.line(), *filter(None, [said]), *_left_out(references.skipped)))

    @classmethod
    def fingerprint_inputs(cls, prompt_file: str | None = "", **_: Any) -> str:
        """Reads a changed prompt file again."""
        return input_files.state_if_named(prompt_file, calibrating.PROMPT_FILE)


def _left_out(rows: Sequence[BadRow]) -> list[str]:
    """The rows that could not be read, for the node."""
    shown = [f"left out, {row}" for row in rows[:_SHOWN]]
    return [*shown, f"and {len(rows) - _SHOWN} more"] if len(rows) > _SHOWN else shown


class SaveCalibration(io.ComfyNode):
    """Stores a calibration for other graphs and other days."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_SaveCalibration", "Save Calibration", "keep calibration"),
            description="Keeps a calibration as a JSON file in ComfyUI's user directory, where Load Calibration finds it.",
            inputs=[
                CalibrationType.Input("calibration", tooltip="From Calibrate Gate."),
                io.String.Input("name", default="", tooltip="Name of the file. Empty: the calibration's own name."),
                io.Boolean.Input(
                    "overwrite", default=False, tooltip="Replace another calibration of this name instead of an error."
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, calibration: Calibration, name: str, overwrite: bool) -> io.NodeOutput:
        path = calibrating.save(calibration, name, overwrite)
        return io.NodeOutput(ui=text_ui(f"{calibration.line()} Kept as '{path.stem}'."))


class LoadCalibration(io.ComfyNode):
    """Loads a stored calibration."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named("EMoE_LoadCalibration", "Load Calibration", "calibration file"),
            description="Loads a calibration that Save Calibration kept. Connect it to Uncertainty Score, which then uses its "
            "settings. Confidence Gate refuses it for other experts.",
            inputs=[
                io.Combo.Input("name", options=calibrating.names(), tooltip="One of the kept calibrations."),
            ],
            outputs=[
                CalibrationType.Output(display_name="calibration", tooltip="For Uncertainty Score or Confidence Gate.")
            ],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(calibrating.load(name))

    @classmethod
    def validate_inputs(cls, name: str | None = None) -> bool | str:
        """Refuses a missing calibration when the graph is queued. None: another node gives the name and has not run, or the
        graph has none, which ComfyUI says itself.
        """
        said = refused(name, calibrating.names(), "There is no calibration named", "")
        return f"{said} Calibrate Gate and Save Calibration make one." if said else True

    @classmethod
    def fingerprint_inputs(cls, name: str | None) -> str:
        """Loads a replaced calibration again."""
        return "" if name is None else state_of(calibrating.path_of, name)
