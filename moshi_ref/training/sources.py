"""What each stage of Moshi's training hears; see `stages.py`."""

import random
from collections.abc import Callable
from pathlib import Path

from ..corpus.dialogues import Dialogue
from ..mimi import Mimi
from ..tokenizer import TextTokenizer
from .recipes import Profile
from .stage_task import Stage


def sources(profile: Profile, seed: int, human: Path | None, mimi: Mimi,
            tokenizer: TextTokenizer) -> Callable[[Stage], Callable[[random.Random], Dialogue]]:
    raise NotImplementedError
