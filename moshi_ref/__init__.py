"""Moshi, the full-duplex speech-text model (Kyutai, arXiv 2410.00037), as readable PyTorch.

Read the files in this order: transformer, tokenizer, helium, seanet, rvq, mimi, delays,
inner_monologue, rq_transformer, moshi. The notebooks explain them step by step.
"""

from .checkpoints import load_helium, load_mimi, load_moshi, load_tokenizer, mimi_of, save
from .helium import Helium, HeliumConfig
from .inner_monologue import Word
from .mimi import Mimi, MimiConfig
from .moshi import Moshi, MoshiConfig, MoshiStream, Reply
from .rq_transformer import RQTransformer, RQTransformerConfig, Sampling
from .rvq import SplitResidualVectorQuantizer
from .tokenizer import TextTokenizer

__all__ = [
    "Helium", "HeliumConfig", "Mimi", "MimiConfig", "Moshi", "MoshiConfig", "MoshiStream", "RQTransformer",
    "RQTransformerConfig", "Reply", "Sampling", "SplitResidualVectorQuantizer", "TextTokenizer", "Word",
    "load_helium", "load_mimi", "load_moshi", "load_tokenizer", "mimi_of", "save",
]  # fmt: skip
