"""Does a stream drift away from the whole sequence, the longer it goes on?

    python -m moshi_ref.evaluation.drift                 # the released size, random weights, 10 s, 60 s, 10 minutes
    pip install --no-deps moshi einops                   # the official package beside it, if it is installed

The same sound goes through Mimi at once and frame by frame. Printed are the largest difference of the latents
before the quantizer, in standard deviations of the latents, and that of the sounds that the decoder makes of one
and the same latent; sounds lie between -1 and 1. Ten minutes at once at the released size need some 16 GB of
memory, and a quarter of an hour.
"""

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..checkpoints import load_mimi, save
from ..kyutai_configs import mimi_to_kyutai
from ..mimi import Mimi, MimiConfig


@torch.inference_mode()
def drift(mimi: Mimi, wav: Tensor) -> dict[str, float]:
    """The largest differences between whole and streamed, for a sound (1, 1, F * 1920)."""
    state = mimi.initial_state(1)
    latent = mimi.encode_latent(wav)  # (1, D, F)
    encoded = 0.0
    for frame, x in enumerate(progress(wav.split(mimi.config.frame_size, -1), "encoding")):
        encoded = max(encoded, (mimi.encode_latent(x, state) - latent[..., frame : frame + 1]).abs().max().item())
    whole = mimi.decode_latent(latent)
    decoded = 0.0
    pieces = whole.split(mimi.config.frame_size, -1)
    for frame, piece in enumerate(progress(pieces, "decoding")):
        x = mimi.decode_latent(latent[..., frame : frame + 1], state)
        decoded = max(decoded, (x - piece).abs().max().item())
    return {"latent": encoded / latent.std().item(), "sound": decoded}


@torch.inference_mode()
def official_drift(mimi: Mimi, wav: Tensor) -> dict[str, float]:
    """The same for the official package with the same weights; it goes from codes to sound, so latents are left out."""
    from moshi.models import loaders

    with tempfile.TemporaryDirectory() as folder:
        save(mimi, folder, kyutai=True)
        theirs = loaders.get_mimi(Path(folder) / "model.safetensors", mimi_to_kyutai(mimi.config), num_codebooks=8)
    codes = theirs.encode(wav)
    whole, decoded = theirs.decode(codes), 0.0
    with theirs.streaming(1):
        for frame, piece in enumerate(progress(whole.split(mimi.config.frame_size, -1), "official")):
            x = theirs.decode(codes[..., frame : frame + 1])
            decoded = max(decoded, (x - piece).abs().max().item())
    return {"sound": decoded}


def progress(pieces: Sequence[Tensor], title: str) -> Iterable[Tensor]:
    return tqdm(pieces, title, leave=False, disable=None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.drift", description=__doc__.split("\n")[0])
    parser.add_argument("--mimi", type=Path, help="folder of a codec; default: the released size with random weights")
    parser.add_argument("--seconds", type=int, nargs="+", default=[10, 60, 600])
    args = parser.parse_args()
    if min(args.seconds) < 1:
        parser.error(f"expected at least 1 second, got {min(args.seconds)}")
    torch.manual_seed(0)
    try:
        mimi = Mimi(MimiConfig.kyutai()).eval() if args.mimi is None else load_mimi(args.mimi)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    for seconds in args.seconds:
        frames = round(seconds * mimi.config.frame_rate)
        wav = 0.1 * torch.randn(1, 1, frames * mimi.config.frame_size)
        row = {"seconds": seconds, "moshi_ref": drift(mimi, wav)}
        if importlib.util.find_spec("moshi") is not None:
            row["official"] = official_drift(mimi, wav)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
