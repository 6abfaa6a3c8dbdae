"""Experts in the precision of a calibration, because half precision alone moves scores by a tenth of their spread."""

import weakref
from dataclasses import replace

import torch

from ....experts.sets import Expert, ExpertSet
from ....io.log import log

_kept: weakref.WeakKeyDictionary[Expert, dict[str, Expert]] = weakref.WeakKeyDictionary()


def in_precision(experts: ExpertSet, dtype: str) -> ExpertSet:
    """The experts, computing in a type such as "float32"; unchanged if they do already, or if torch has no such type.

    The user's models do not change: clones of them compute in the other type. A mixture stays as it is.
    """
    known = getattr(torch, dtype, None)
    if type(experts) is not ExpertSet or not isinstance(known, torch.dtype):
        return experts
    if all(expert.dtype == dtype for expert in experts.experts):
        return experts
    return ExpertSet(tuple(_computing(expert, dtype, known) for expert in experts.experts), experts.calibrations)


def _computing(expert: Expert, dtype: str, known: torch.dtype) -> Expert:
    if expert.dtype == dtype:
        return expert
    made = _kept.setdefault(expert, {})
    if dtype not in made:
        log.debug("EMoE: '%s' computes in %s on a copy, as its calibration did", expert.name, dtype)
        model = expert.model.clone()
        model.set_model_compute_dtype(known)
        made[dtype] = replace(expert, model=model, dtype=dtype)
    return made[dtype]
