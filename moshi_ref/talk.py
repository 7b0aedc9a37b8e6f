"""A conversation with a sound file in the user's place, frame by frame, as if it came from a microphone."""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor

from .audio import check_folder, sound_format, writing
from .inner_monologue import tokens_to_words
from .moshi import MoshiStream, Reply
from .tokenizer import PAD, TextTokenizer


@dataclass(frozen=True)
class Moment:
    """One frame of a conversation."""

    user: Tensor  # (1, 1, 1920): what was heard
    reply: Reply
    seconds: float  # how long Moshi took for it


def converse(stream: MoshiStream, wav: Tensor, after: float) -> Iterator[Moment]:
    """Play a sound (T,) to Moshi in frames, then `after` seconds of silence."""
    if not 0 <= after < float("inf"):
        raise ValueError(f"expected 0 or more seconds of silence after the sound, got {after}")
    config = stream.mimi.config
    silence = round(after * config.sample_rate)
    padded = F.pad(wav, (0, silence + -(len(wav) + silence) % config.frame_size))
    for frame in padded.view(-1, 1, 1, config.frame_size):
        began = time.perf_counter()
        reply = stream.step(frame.to(stream.initial.device))
        yield Moment(frame, reply, time.perf_counter() - began)


@dataclass
class Transcript:
    """What Moshi said, and how fast it was."""

    tokenizer: TextTokenizer
    frame_seconds: float
    tokens: list[int] = field(default_factory=list)  # one a frame
    seconds: list[float] = field(default_factory=list)  # computing time of each frame
    memory: list[int] = field(default_factory=list)  # MiB of this process after each whole minute

    @property
    def minute(self) -> int:
        """Frames in a minute."""
        return round(60 / self.frame_seconds)

    def add(self, moment: Moment) -> None:
        self.tokens.append(int(moment.reply.text[0]))
        self.seconds.append(moment.seconds)
        if len(self.tokens) % self.minute == 0:
            self.memory.append(round(psutil.Process().memory_info().rss / 2**20))

    def as_json(self) -> dict:
        """text; words with start times in seconds; frames; milliseconds a frame; real-time factor; and for each
        whole minute the same milliseconds and the memory, which should not grow."""
        words = tokens_to_words(self.tokens, self.tokenizer, 1 / self.frame_seconds)
        p95 = sorted(self.seconds)[int(0.95 * (len(self.seconds) - 1))]
        ends = range(self.minute, len(self.seconds) + 1, self.minute)
        medians = [statistics.median(self.seconds[end - self.minute : end]) for end in ends]
        return {
            "text": " ".join(word.text for word in words),
            "words": [{"text": word.text, "start": round(word.start, 2)} for word in words],
            "frames": len(self.tokens),
            "frame_ms": {
                "median": round(1000 * statistics.median(self.seconds), 2),
                "p95": round(1000 * p95, 2),
            },
            "rtf": round(sum(self.seconds) / (len(self.seconds) * self.frame_seconds), 4),
            "minutes": [
                {"median_ms": round(1000 * seconds, 2), "memory_mib": mib}
                for seconds, mib in zip(medians, self.memory, strict=True)
            ],
        }


def talk(stream: MoshiStream, tokenizer: TextTokenizer, wav: Tensor, out: Path | None, transcript: Path | None,
         after: float, say: Callable[[str], None]) -> dict:
    """Hold a conversation with the sound wav (T,). Moshi's words go to `say` as they come; `out` gets a stereo
    file, Moshi on the left and the user on the right; `transcript` gets the result, which is also returned."""
    if transcript is not None:
        check_folder(transcript)
    config = stream.mimi.config
    record = Transcript(tokenizer, config.frame_size / config.sample_rate)
    if out is None:
        for moment in converse(stream, wav, after):
            record.add(moment)
            _say(moment, tokenizer, say)
    else:
        stereo = {"samplerate": config.sample_rate, "channels": 2, "subtype": "PCM_16", "format": sound_format(out)}
        with writing(out) as part, soundfile.SoundFile(part, "w", **stereo) as file:
            for moment in converse(stream, wav, after):
                record.add(moment)
                _say(moment, tokenizer, say)
                both = torch.cat([moment.reply.audio.cpu(), moment.user], dim=1)[0]  # (2, 1920)
                file.write(both.clamp(-1, 1).T.numpy())
    result = record.as_json()
    if transcript is not None:
        with writing(transcript) as part:
            part.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _say(moment: Moment, tokenizer: TextTokenizer, say: Callable[[str], None]) -> None:
    token = int(moment.reply.text[0])
    if token > PAD:
        say(tokenizer.piece(token))
