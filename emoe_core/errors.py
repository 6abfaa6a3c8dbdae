"""Errors a user can act on: one clear sentence that says what is wrong, where, and what to do."""

from __future__ import annotations


class EMoEError(ValueError):
    """Bad input. The message is one sentence for a person, not a stack of causes."""


class SettingsMismatch(EMoEError):
    """A score is compared with a calibration that has other settings."""


class PromptBlocked(RuntimeError):
    """The gate blocked the prompt and the graph asked for an error instead of silence."""
