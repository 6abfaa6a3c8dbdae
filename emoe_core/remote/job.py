"""A row of prompts on its way to a server."""

import uuid
from dataclasses import dataclass

from ..prompts import PromptRow


@dataclass
class Job:
    """A row on its way. `prompt_id` is the latest attempt's, and empty while the row waits for a server."""

    row: PromptRow
    key: str
    attempts: int = 0
    server: str = ""
    prompt_id: str = ""
    token: str = ""  # the id we asked for: an older server chooses another, and the token finds the prompt

    def begin(self, server: str) -> None:
        """A new attempt on a server."""
        self.attempts, self.server = self.attempts + 1, server
        self.prompt_id = self.token = str(uuid.uuid4())

    def clear(self) -> None:
        self.server = self.prompt_id = self.token = ""
