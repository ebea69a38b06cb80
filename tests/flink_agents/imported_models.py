"""A model that an agent's module imports."""

from __future__ import annotations

from pydantic import BaseModel


class Imported(BaseModel):
    text: str
