"""Talking to Moshi live: a headset, or a sound in its place, at the pace of a clock.

    found = live(stream, InPlace(wav, RATE, SIZE), seconds=6)     # a sound file as if it were a user
    found = live(stream, Headset(RATE, SIZE), seconds=20)         # a microphone and a loudspeaker

A device gives a frame when 80 ms of sound have been heard, and takes one to be played. Between the two Moshi may
compute; what comes later than the next frame leaves a hole in what is heard. So nothing is drawn meanwhile: a picture
takes longer than a frame.

`Headset` needs `pip install sounddevice` and speaks with the sound card of the machine on which Python runs. Use
headphones: Moshi does not subtract its own voice from what the microphone hears.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets
import torch
import torch.nn.functional as F
from IPython.display import clear_output
from torch import Tensor

from ..moshi import MoshiStream
from ..tokenizer import PAD
from .conversation import Conversation, hold, join
from .widgets import Panel


class InPlace:
    """A sound (T,) in the user's place, then silence. Frames are full when a clock says so, and what is said to it is
    played to nobody."""

    def __init__(self, wav: Tensor, rate: int, size: int):
        padded = F.pad(wav, (0, -len(wav) % size))
        self.frames, self.seconds, self.silence = list(padded.split(size)), size / rate, torch.zeros(size)
        self.began, self.read_so_far = time.perf_counter(), 0

    def read(self) -> Tensor:
        """The next frame (size,), as soon as it is full."""
        self.read_so_far += 1
        time.sleep(max(0.0, self.began + self.read_so_far * self.seconds - time.perf_counter()))
        return self.frames.pop(0) if self.frames else self.silence

    def write(self, wav: Tensor) -> None:
        """Take a frame (size,) to be played."""


class Headset:
    """Microphone and loudspeaker of this machine. Raises OSError where there is none that can be used, and says what is
    missing."""

    def __init__(self, rate: int, size: int):
        try:
            import sounddevice

            self.stream = sounddevice.Stream(samplerate=rate, blocksize=size, channels=1, dtype="float32")
            self.stream.start()
        except ImportError as error:
            raise OSError("no sounddevice here; install it with pip, or upload a recording") from error
        except Exception as error:  # PortAudio is missing, or there is no device, or another program has it
            raise OSError(f"no microphone and loudspeaker here ({error}); upload a recording instead") from error
        self.size = size

    def read(self) -> Tensor:
        """The next frame (size,), as soon as it is full."""
        samples, _ = self.stream.read(self.size)  # (size, 1), and whether some were lost
        return torch.from_numpy(samples.copy())[:, 0]

    def write(self, wav: Tensor) -> None:
        """Take a frame (size,) to be played."""
        self.stream.write(wav[:, None].numpy())

    def close(self) -> None:
        """Let other programs have the devices."""
        self.stream.close()


def lateness(seconds: Sequence[float], frame: float) -> list[float]:
    """From the computing time of each frame, how long after its frame was full each reply is ready (seconds): a frame
    waits until the one before it is done."""
    late, found = 0.0, []
    for taken in seconds:
        late = max(0.0, late - frame) + taken
        found.append(late)
    return found


@dataclass(frozen=True)
class Held:
    """A live conversation."""

    conversation: Conversation
    late: tuple[float, ...]  # seconds from the moment when each frame was handed over until its reply was ready


def live(stream: MoshiStream, device: InPlace | Headset, seconds: float,
         say: Callable[[str], None] = lambda piece: None, piece: Callable[[int], str] = str) -> Held:  # fmt: skip
    """Talk for so many seconds. Each text token that Moshi writes goes to `say`, as `piece` spells it."""
    config, parts, late = stream.mimi.config, [], []
    for _ in range(max(1, round(seconds * config.frame_rate))):
        frame = device.read()
        began = time.perf_counter()
        parts.append(hold(stream, frame))
        device.write(parts[-1].moshi[0])
        late.append(time.perf_counter() - began)
        token = int(parts[-1].columns[0, 0, 0])
        if token > PAD:
            say(piece(token))
    return Held(join(*parts), tuple(late))


def talk_panel(talk: Callable[[Headset, float], None], rate: int, size: int) -> Panel:
    """A button that opens the headset, calls talk(headset, seconds), which displays the rest, and closes it again.
    Nothing is heard before the button is pressed."""
    seconds = ipywidgets.IntSlider(value=15, min=5, max=60, description="seconds")
    button = ipywidgets.Button(description="Talk", button_style="primary")
    output = ipywidgets.Output()

    def clicked(_):
        button.disabled = True
        with output:
            clear_output()
            try:
                headset = Headset(rate, size)
            except OSError as error:
                print(error)
            else:
                try:
                    talk(headset, seconds.value)
                finally:
                    headset.close()
        button.disabled = False

    button.on_click(clicked)
    note = "Here is a button to talk by microphone when the notebook runs with a kernel."
    return Panel((seconds, button), output, note)
