"""The bias audit: which groups of prompts the experts know too little about."""

from typing import Any

from comfy_api.latest import io

from ..emoe_core.audit.analysis import Options
from ..emoe_core.errors import EMoEError
from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.gating.policies import ALPHA
from ..emoe_core.hosts.comfyui import auditing
from ..emoe_core.records.calibration import Calibration
from . import inputs, settings
from .api import ADVANCED, named
from .shown import joined
from .types import AuditType, CalibrationType, Experts


class Audit(io.ComfyNode):
    """Scores a file of prompts and compares its groups."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            **named(
                "EMoE_Audit",
                "Uncertainty Audit",
                "bias audit",
                "languages",
                "regions",
                "groups",
                "dataset gaps",
                "fairness",
            ),
            description=(
                "Bias audit: scores a whole file of prompts in groups (languages, regions, topics) and says of which groups "
                "the models were shown too little, with statistics and what data to collect first. No image is made. "
                "An interrupted audit goes on where it stopped."
            ),
            inputs=[
                Experts.Input("experts", tooltip="Two or more experts: the models that are audited."),
                io.Latent.Input("latent_image", tooltip="An empty latent of the size you generate at, batch size 1."),
                io.Combo.Input(
                    "file",
                    options=auditing.choices(),
                    tooltip=(
                        "A prompt file in ComfyUI's input folder (txt, csv, tsv, jsonl, json, parquet) with a column prompt "
                        "and columns for its groups; or a built-in set: 700 things in a hundred languages (concepts), or "
                        "everyday scenes in every country (regions). none: the prompts in the box below."
                    ),
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    default="",
                    tooltip="Without a file: one prompt per line, or a table whose first line is like: prompt,language,id",
                ),
                io.String.Input("name", default="audit", tooltip="Begins the name of the audit's folder."),
                io.String.Input(
                    "groups",
                    default="",
                    tooltip="The columns that are compared, with commas between. Empty: all whose values repeat.",
                ),
                io.String.Input(
                    "id_column",
                    default="",
                    tooltip="The column that is equal for translations of one prompt. Empty: id or the like, if there.",
                    **ADVANCED,
                ),
                inputs.text(
                    "reference",
                    tooltip="Compare with one group of a column, as in language=en; commas between several. Empty: all others.",
                ),
                inputs.text(
                    "weight_column",
                    tooltip="A column with numbers: how much a prompt's market counts in the priorities. Empty: all alike.",
                ),
                inputs.rate(
                    "alpha",
                    ALPHA,
                    tooltip="With a calibration: the audit says what share of each group a Gate with this alpha would block.",
                    **ADVANCED,
                ),
                *settings.all_inputs(),
                CalibrationType.Input(
                    "calibration",
                    optional=True,
                    tooltip="Made with the same experts; its settings are used instead of the ones above. Demo Experts bring "
                    "their own.",
                ),
                inputs.clip(),
                settings.block_index(),
                io.String.Input(
                    "languages",
                    default="",
                    optional=True,
                    tooltip="Of a built-in set: tags or English names with commas between, as in en, fi, Japanese; all. "
                    "Empty: all of concepts, English of regions.",
                ),
                io.String.Input(
                    "part",
                    default="",
                    optional=True,
                    tooltip="Of a built-in set: topics, countries or areas, and how many things, with commas between, as in "
                    "food, animals, 100 or home, Africa, JP. Empty: all.",
                ),
                settings.sampler_name(),
            ],
            outputs=[
                AuditType.Output(display_name="audit", tooltip="The whole result, for Audit Report."),
                io.String.Output(display_name="summary", tooltip="What came out, in sentences."),
                io.String.Output(
                    display_name="folder",
                    tooltip="Where audit.sqlite and the result lie, in ComfyUI's output folder.",
                ),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        experts: ExpertSet,
        latent_image: dict[str, Any],
        file: str,
        prompts: str,
        name: str,
        groups: str,
        id_column: str,
        reference: str,
        weight_column: str,
        alpha: float,
        calibration: Calibration | None = None,
        clip: Any = None,
        languages: str = "",
        part: str = "",
        **widgets: Any,
    ) -> io.NodeOutput:
        how = settings.options("Uncertainty Audit", **widgets, calibration=calibration)
        scorer = auditing.ComfyScorer(experts, latent_image, how, calibration, clip)
        chosen = auditing.Prompts(file, prompts, languages, part)
        options = Options(auditing.names(reference), alpha=alpha, weight_column=weight_column.strip())
        result, folder = auditing.audit(scorer, chosen, name, groups, id_column, options)
        summary = joined(result.lines())
        return io.NodeOutput(result, summary, str(folder), ui={"text": [summary]})

    @classmethod
    def fingerprint_inputs(cls, file: str | None, **others: Any) -> str:
        """Audits a replaced file anew. None: another node gives the name, and has not run yet."""
        return "" if file is None else auditing.Prompts(file).state()

    @classmethod
    def validate_inputs(cls, file: str | None = None, languages: str | None = "", part: str | None = "") -> bool | str:
        """Refuses a missing file, language or part when the graph is queued.

        A value from another node is None until that node has run, and is checked then. That the graph has none, ComfyUI says
        itself.
        """
        if file is None:
            return True
        try:
            auditing.Prompts(file, "", languages or "", part or "").check()
        except EMoEError as error:
            return str(error)
        return True
