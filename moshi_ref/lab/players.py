"""Sounds on the page: a compressed player that travels inside the notebook."""

import base64
import html
import io
from dataclasses import dataclass

import soundfile
import torch
from torch import Tensor

LARGEST = 128 * 1024  # bytes of one player's sound


@dataclass(frozen=True)
class Player:
    """An MP3 and its label, shown as an HTML audio element with the sound inside."""

    sound: bytes
    label: str
    seconds: float

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.sound).decode()
        return (
            f'<div style="margin:4px 0"><div>{html.escape(self.label)} ({self.seconds:.1f} s)</div>'
            f'<audio controls preload="metadata" src="data:audio/mpeg;base64,{data}"></audio></div>'
        )

    def __repr__(self) -> str:
        return f"Player({self.label}, {self.seconds:.1f} s, {len(self.sound) / 1024:.0f} KiB)"


@dataclass(frozen=True)
class Players:
    """Several players under each other, to compare."""

    players: tuple[Player, ...]

    def _repr_html_(self) -> str:
        return "".join(player._repr_html_() for player in self.players)


def player(wav: Tensor, rate: int, label: str = "") -> Player:
    """A player for a sound (T,) or, in stereo, (2, T).

    Raises ValueError if the sound is empty, not finite, clipped, or too long to be carried in a notebook.
    """
    wav = torch.atleast_2d(wav.detach().cpu().float())
    if wav.dim() != 2 or wav.shape[0] > 2 or wav.shape[1] == 0:
        raise ValueError(f"expected a sound (T,) or (2, T) with samples, got {tuple(wav.shape)}")
    if not torch.isfinite(wav).all():
        raise ValueError("the sound has samples that are NaN or infinite")
    if wav.abs().max() > 1:
        raise ValueError(f"samples must lie in -1 to 1, got {wav.abs().max():.2f}; make the sound quieter")
    written = io.BytesIO()
    soundfile.write(written, wav.T.numpy(), rate, format="MP3", subtype="MPEG_LAYER_III",
                    bitrate_mode="VARIABLE", compression_level=0.8)  # fmt: skip
    sound, seconds = written.getvalue(), wav.shape[1] / rate
    if len(sound) > LARGEST:
        raise ValueError(
            f"{seconds:.1f} s take {len(sound) // 1024} KiB, more than {LARGEST // 1024} KiB; "
            "play a shorter piece"
        )
    return Player(sound, label, seconds)


def compare(*players: Player) -> Players:
    """Players under each other."""
    return Players(players)
