"""Base of all sections of the settings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

HIDDEN = "********"
"""Replaces a secret where settings are shown."""


class Section(BaseModel):
    """A section of the settings; immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
