"""Mimi with a part left out: what is each of them there for? (Moshi paper, section 5.2, Table 3)

    python -m moshi_ref train mimi --variant no-split --seed 1

Every variant hears the same crops in the same order, for fewer steps than Mimi itself. Only the first stage of the
training is run, in which everything learns. Another seed means other weights at the start and other crops of the same
utterances.
"""

from dataclasses import replace
from pathlib import Path

from ..mimi import Mimi, MimiConfig
from .loop import train
from .recipes import Profile, heard, keep, new_codec

ALL = MimiConfig.tiny()
ONE_STACK = replace(ALL, split=False)
NO_TRANSFORMERS = replace(ALL, transformer=replace(ALL.transformer, layers=0))

# The architecture, and what is different in the recipe.
VARIANTS: dict[str, tuple[MimiConfig, dict]] = {
    "all": (ALL, {}),
    "no-split": (ONE_STACK, {}),
    "no-distillation": (ALL, {"distillation": 0.0}),
    "no-split-no-distillation": (ONE_STACK, {"distillation": 0.0}),
    "no-transformers": (NO_TRANSFORMERS, {}),
    "no-skipping": (ALL, {"skipped": 0.0}),  # of the quantizer, for half of the sequences
    "no-waveform": (ALL, {"wave": 0.0}),
    "adversarial-only": (ALL, {"mel": 0.0, "envelope": 0.0, "wave": 0.0, "adversarial": 1.0, "features": 4.0}),
}


def train_variant(name: str, profile: Profile, folder: Path, seed: int, human: Path | None) -> Mimi:
    """Train one of `VARIANTS` into `folder`; see `training.recipes.train_mimi`."""
    config, changes = VARIANTS[name]
    task = new_codec(config, heard(profile, 0, human), replace(profile.mimi, **changes), seed)
    train(task, folder, profile.variant_steps, seed)
    return keep(task, folder)
