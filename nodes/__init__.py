"""The nodes that ComfyUI sees. Each file is one job: schema, tooltips and one call into `emoe_core`."""

from comfy_api.latest import ComfyExtension, io

from ..emoe_core.hosts.comfyui import review
from .audit import Audit
from .audit_report import AuditReport
from .calibrate import Calibrate, LoadCalibration, SaveCalibration
from .choose import ChooseExperts
from .decisions import DecisionReport
from .diagnostics import ExpertDiagnostics
from .disagreement_map import DisagreementMap
from .encode import EncodeForExperts
from .experts import AddExpert, DemoExperts, ExpertsFromLoras, LoadExperts
from .filter import FilterList, PromptList
from .gate import Gate
from .given import checked
from .judge import JudgeTrial
from .ledger import CalibrationFromLedger
from .look import KnownOrUnknown
from .mixture import BuildMixture, LoadSegMoE
from .route import Route, Stop
from .score import Score, ScoreList
from .trial import KeepForTrial
from .words import WordAttribution

_ALL: list[type[io.ComfyNode]] = [
    DemoExperts,
    AddExpert,
    LoadExperts,
    ExpertsFromLoras,
    BuildMixture,
    LoadSegMoE,
    EncodeForExperts,
    Score,
    DisagreementMap,
    ExpertDiagnostics,
    Gate,
    Route,
    Stop,
    FilterList,
    PromptList,
    Calibrate,
    SaveCalibration,
    LoadCalibration,
    DecisionReport,
    Audit,
    AuditReport,
    CalibrationFromLedger,
    WordAttribution,
    KnownOrUnknown,
    ScoreList,
    KeepForTrial,
    JudgeTrial,
    ChooseExperts,
]
NODES = [checked(node) for node in _ALL]


class EMoEExtension(ComfyExtension):
    """Registers the pack's nodes, and the routes of its tab Review where a server runs."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        review.add_routes()  # not in on_load, which older hosts do not call
        return NODES
