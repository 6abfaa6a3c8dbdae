"""What a client puts where a connection or a choice belongs: ComfyUI passes any JSON on, and nodes would fail on it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from comfy_api.latest import io

from ..emoe_core.audit.result import AuditResult
from ..emoe_core.errors import EMoEError
from ..emoe_core.experts.sets import ExpertSet
from ..emoe_core.records.calibration import Calibration
from ..emoe_core.records.report import Report


def _object(value: Any) -> bool:
    return value is not None and not isinstance(value, (str, int, float, list, tuple, dict))


def _latent(value: Any) -> bool:
    return isinstance(value, dict) and _object(value.get("samples"))


def _conditioning(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(one, (list, tuple)) and len(one) == 2 and _object(one[0]) and isinstance(one[1], dict)
        for one in value
    )


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


#: Whether a value can be of a type of input.
KINDS: dict[str, Callable[[Any], bool]] = {
    "EMOE_EXPERTS": _is(ExpertSet),
    "EMOE_REPORT": _is(Report),
    "EMOE_CALIBRATION": _is(Calibration),
    "EMOE_AUDIT": _is(AuditResult),
    "MODEL": _object,
    "CLIP": _object,
    "CLIP_VISION": _object,
    "VAE": _object,
    "LATENT": _latent,
    "CONDITIONING": _conditioning,
    "IMAGE": _is(torch.Tensor),
    "COMBO": _is(str),  # which, the node itself looks at
}


def checked(node: type[io.ComfyNode]) -> type[io.ComfyNode]:
    """The node, whose `execute` refuses in one sentence what cannot be of an input's type."""
    run: Any = node.__dict__["execute"].__func__
    described = functools.cache(node.define_schema)  # names and types stay, whatever files there are

    @functools.wraps(run)
    def execute(cls: Any, *args: Any, **values: Any) -> Any:
        schema: Any = described()
        for one in schema.inputs:
            value, fits = values.get(one.id), KINDS.get(one.get_io_type())
            if fits is None or (value is None and (one.optional or one.id not in values)):
                continue
            given = value if schema.is_input_list and isinstance(value, list) and value else [value]
            if all(map(fits, given)):
                continue
            what = "choose one of the list" if fits is KINDS["COMBO"] else "connect a node that gives one"
            raise EMoEError(f"{schema.display_name}'s {one.id} is no {one.get_io_type()}; {what}.")
        return run(cls, *args, **values)

    made: Any = classmethod(execute)
    node.execute = made  # type: ignore[method-assign]
    return node
