"""Who speaks, who is silent, and both at once: the statistics of a dialogue in two channels (Moshi paper, Table 9).

    python -m moshi_ref.evaluation.turn_taking talk.wav other.wav     of stereo files, and of all of them together

No word is understood here. From each channel's voice activity follow stretches of four kinds, as in dGSLM (Nguyen et
al. 2022):

    IPU       inter-pausal unit: one speaks, and is silent for 0.2 s or more before and after
    pause     nobody speaks, between two IPUs of the same speaker
    gap       nobody speaks, between two IPUs of different speakers
    overlap   both speak

They are reported as seconds in a minute of dialogue, IPUs of both speakers added. So a minute is, but for the silence
before the first IPU and after the last, IPU - overlap + pause + gap. The rows of the paper's table add up to 58 to 60 s
in this way, which is how we know that they are counted so.

The four numbers do not say who speaks: they stay the same if the channels are exchanged. Nor do they know why. An echo
in a channel is speech like any other.

Shapes: T samples, L steps of 10 ms.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torchaudio
from torch import Tensor

from ..audio import read_channels, writing
from ..corpus.diarization import FRAME, runs, speech_activity
from ..corpus.voices import SAMPLE_RATE

STEP = FRAME / SAMPLE_RATE  # seconds
SILENCE = 0.2  # seconds: what is shorter does not end an IPU
CONTRAST = 10.0  # dB between the loudest and the softest of a channel: with less, it is a hum and not a voice

# Seconds in a minute, from Table 9: 10 s of Fisher conversations continued by Moshi, and by dGSLM.
PAPER = {
    "dGSLM": (41.4, 13.8, 10.7, 6.1),
    "dGSLM, cascaded": (54.8, 0.0, 5.3, 0.0),
    "people, for dGSLM": (53.5, 5.5, 4.4, 3.6),
    "Moshi, temperature 0.8": (35.1, 13.2, 12.5, 1.2),
    "Moshi, temperature 0.9": (44.7, 9.1, 7.5, 2.2),
    "Moshi, temperature 1.0": (50.8, 7.0, 4.5, 4.1),
    "people, for Moshi": (51.1, 6.4, 4.2, 3.3),
}  # (IPU, pause, gap, overlap)


@dataclass(frozen=True)
class Stretch:
    """From start to end, in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True)
class Turns:
    """All stretches of a dialogue, each kind in the order of time."""

    seconds: float  # of the dialogue
    ipus: tuple[tuple[Stretch, ...], tuple[Stretch, ...]]  # of each channel
    pauses: tuple[Stretch, ...]
    gaps: tuple[Stretch, ...]
    overlaps: tuple[Stretch, ...]


@dataclass(frozen=True)
class TurnStatistics:
    """Seconds of a dialogue, or of several, and of each kind in it."""

    seconds: float
    ipu: float
    pause: float
    gap: float
    overlap: float

    def __add__(self, other: "TurnStatistics") -> "TurnStatistics":
        return TurnStatistics(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values(), strict=True)))

    def per_minute(self) -> tuple[float, float, float, float]:
        """(IPU, pause, gap, overlap) in seconds per minute of dialogue, the columns of Table 9."""
        return tuple(60 * value / self.seconds for value in (self.ipu, self.pause, self.gap, self.overlap))


def voice_activity(wav: Tensor) -> Tensor:
    """Two channels (2, T) at 24 kHz -> (2, L) bool: the IPUs of each.

    Each channel is judged by its own loudness, so that two microphones need not be equally loud. Raises ValueError for
    another shape, for samples that are not finite, and for less than one step.
    """
    if wav.dim() != 2 or wav.shape[0] != 2 or wav.shape[1] < FRAME or not wav.isfinite().all():
        raise ValueError(
            f"expected finite sound of shape (2, T), T at least {FRAME}, got shape {tuple(wav.shape)}; each speaker "
            "must be on a channel of its own"
        )
    return torch.stack([_channel_activity(channel) for channel in wav])


def _channel_activity(channel: Tensor) -> Tensor:
    """(T,) -> (L,) bool. Loudness that hardly changes is the room, whatever its level."""
    power = channel[: len(channel) // FRAME * FRAME].view(-1, FRAME).square().mean(-1)  # (L,)
    decibel = 10 * torch.log10(power.clamp(min=1e-10))
    if decibel.max() - decibel.quantile(0.05) < CONTRAST:
        return torch.zeros_like(power, dtype=torch.bool)
    return speech_activity(channel, pause=round(SILENCE / STEP))


def find_turns(active: Tensor, step: float = STEP) -> Turns:
    """What both are doing, from the activity (2, L) of both channels; `step` in seconds.

    Silences of one channel that are shorter than SILENCE are filled first. A silence of both is a pause if somebody who
    spoke last also speaks next, and else a gap; silence before the first IPU and after the last is neither. Raises
    ValueError for another shape or type.
    """
    if active.dim() != 2 or active.shape[0] != 2 or active.shape[1] == 0 or active.dtype != torch.bool:
        raise ValueError(f"expected activity (2, L) of type bool, L > 0, got {tuple(active.shape)} of {active.dtype}")
    shortest = math.ceil(SILENCE / step - 1e-6)  # steps of a silence that ends an IPU
    ipus = [_join(runs(channel), shortest) for channel in active.cpu()]
    speaking = torch.zeros(active.shape, dtype=torch.bool)
    for channel, own in zip(speaking, ipus, strict=True):
        for first, last in own:
            channel[first:last] = True
    pauses, gaps = [], []
    for first, last in runs(~speaking.any(0)):
        if first > 0 and last < active.shape[1]:
            same = (speaking[:, first - 1] & speaking[:, last]).any()
            (pauses if same else gaps).append((first, last))
    overlaps = runs(speaking.all(0))
    kinds = (tuple(Stretch(a * step, b * step) for a, b in kind) for kind in (*ipus, pauses, gaps, overlaps))
    moshi, user, *others = kinds
    return Turns(active.shape[1] * step, (moshi, user), *others)


def _join(stretches: Sequence[tuple[int, int]], shortest: int) -> list[tuple[int, int]]:
    """The same stretches, those that are less than `shortest` steps apart made one."""
    joined: list[tuple[int, int]] = []
    for first, last in stretches:
        if joined and first - joined[-1][1] < shortest:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def statistics(turns: Turns) -> TurnStatistics:
    """How long each kind is in all."""
    kinds = ([*turns.ipus[0], *turns.ipus[1]], turns.pauses, turns.gaps, turns.overlaps)
    return TurnStatistics(turns.seconds, *(sum(stretch.seconds for stretch in kind) for kind in kinds))


def turn_statistics(wav: Tensor) -> TurnStatistics:
    """Of two channels (2, T) at 24 kHz. Raises what `voice_activity` raises."""
    return statistics(find_turns(voice_activity(wav)))


# --- The command ----------------------------------------------------------------------------------


def read_two_channels(path: Path) -> Tensor:
    """The sound (2, T) at 24 kHz of a stereo file of any rate: a telephone is good enough to hear who speaks.

    Raises FileNotFoundError or ValueError for what cannot be read, and ValueError for other numbers of channels.
    """
    wav, rate = read_channels(path)
    if wav.shape[0] != 2:
        raise ValueError(f"{path} should have 2 channels, one for each speaker, got {wav.shape[0]}; see "
                         "`moshi_ref.corpus.conversations.from_mono`")  # fmt: skip
    return torchaudio.functional.resample(wav, rate, SAMPLE_RATE)


def table(rows: dict[str, TurnStatistics]) -> str:
    """Seconds in a minute of each kind, a line for each of the rows, and the paper's below."""
    told = {f"{name} ({row.seconds:.0f} s)": row.per_minute() for name, row in rows.items()}
    told |= {f"paper: {name}": values for name, values in PAPER.items()}
    width = max(map(len, told))
    lines = [f"{'seconds in a minute':{width}}      IPU    pause      gap  overlap"]
    lines += [f"{name:{width}}" + "".join(f"{value:9.1f}" for value in values) for name, values in told.items()]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table. Returns 0, or 2 if a file cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m moshi_ref.evaluation.turn_taking",
                                     description="Turn-taking statistics (Table 9) of stereo sound files.")  # fmt: skip
    parser.add_argument("files", nargs="+", type=Path, help="sounds with one speaker on each channel")
    parser.add_argument("--json", type=Path, help="file to write the results to")
    args = parser.parse_args(arguments)
    try:
        rows = {str(path): turn_statistics(read_two_channels(path)) for path in args.files}
        if len(rows) > 1:
            rows["all"] = sum(rows.values(), TurnStatistics(0, 0, 0, 0, 0))
        if args.json is not None:
            results = {name: asdict(row) | {"per_minute": row.per_minute()} for name, row in rows.items()}
            with writing(args.json) as part:
                part.write_text(json.dumps(results, indent=1) + "\n")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
