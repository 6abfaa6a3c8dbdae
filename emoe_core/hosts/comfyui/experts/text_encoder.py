"""A text encoder that is read from its checkpoint on first use."""

from pathlib import Path
from typing import Any

import comfy.sd
import folder_paths

from ....errors import EMoEError
from ....io.log import timed
from . import identity


class LazyClip:
    """Acts as the CLIP of a checkpoint, and loads it when one of its attributes is first used.

    If a graph encodes its prompt elsewhere, this text encoder is never read.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._clip: Any = None
        self._identity: str | None = None

    def identity(self) -> str:
        """Like `identity.clip_identity` of the loaded CLIP."""
        if self._identity is None:  # cached, since every prompt asks for it; nodes that patch a CLIP patch a clone
            self._identity = identity.clip_identity(self._loaded(), f"the text encoder of expert '{self._name}'")
        return self._identity

    def get_models(self) -> list[Any]:
        """The text encoder's ModelPatcher, if it was read. ComfyUI's request for it does not count as a use."""
        return [] if self._clip is None else [self._clip.patcher]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # copying and pickling look for methods that a CLIP does not have
            raise AttributeError(name)
        return getattr(self._loaded(), name)

    def _loaded(self) -> Any:
        if self._clip is None:
            try:
                with timed("loaded the text encoder of '%s'", self._name):
                    self._clip = comfy.sd.load_checkpoint_guess_config(
                        str(self._path),
                        output_vae=False,
                        output_clip=True,
                        embedding_directory=folder_paths.get_folder_paths("embeddings"),
                        output_model=False,
                    )[1]
            except (RuntimeError, ValueError, KeyError, OSError) as error:
                raise EMoEError(
                    f"The text encoder of expert '{self._name}' cannot be read from '{self._path.name}', since the file is "
                    "gone or damaged; run Load Experts again."
                ) from error
        return self._clip
