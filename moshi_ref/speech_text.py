"""Speech to text and text to speech, by one model, through *when* its text comes (Moshi paper, section 5.7).

    recognition   sound   a  b  c  d  e ...     text behind the sound: by then the word has been heard, so it can be
                  text             A  B ...     written down. Sound is given, text is drawn.
    synthesis     text    A  B  C  D ...        text ahead of the sound: the word is known when it has to be spoken.
                  sound         a  b ...        Text is given, sound is drawn.

Model, streams and losses are Moshi's; training has shifted the text by a constant and left the user out, whose streams
hold nothing. Recognition hears in the streams in which Moshi otherwise speaks. Kyutai's delayed streams (arXiv
2509.08753) went on from there: their recogniser predicts no audio at all, so that it needs no Depth Transformer and all
audio streams are only heard (`MoshiConfig.kyutai_stt_1b`), and their voice is told whom to sound like.

Both work frame by frame: `Listener` writes while somebody speaks, `speak` speaks as soon as it has some words.

Shapes: B batch, K streams, Q codebooks of a speaker, T samples.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .inner_monologue import FREE, Script, tokens_to_words
from .mimi import Mimi
from .moshi import Moshi, MoshiStream, push
from .rq_transformer import ZERO, Sampling
from .tokenizer import PAD, TextTokenizer

BEHIND = 0.5  # seconds by which the text of a recogniser comes after the sound
AHEAD = 0.96  # seconds by which the text of a voice comes before the sound
TAIL = 1.0  # seconds in which the last word is written, or spoken
SAMPLING = Sampling(0.4, 250)  # of a voice: at the 0.6 of large models, a small one loses its words


class Listener:
    """Writes down what it hears, in a batch of sounds, frame by frame, always the likeliest token.

    Of the two Transformers only the Temporal one runs: the codes are given, so there is nothing for the other to draw.
    Raises ValueError if the codec does not fit, or if the model is no Moshi with as many streams for the user as for
    itself.
    """

    def __init__(self, moshi: Moshi, mimi: Mimi, batch_size: int = 1):
        self.moshi, self.mimi = moshi.eval(), mimi.eval()
        config, codec, device = moshi.config.model, mimi.config, next(moshi.parameters()).device
        self.codebooks = config.predicted
        if config.audio_streams != 2 * self.codebooks:
            raise ValueError(
                f"expected a Moshi that predicts half of its audio streams, got {self.codebooks} of "
                f"{config.audio_streams}; use a model that `train asr` has made"
            )
        if codec.entries != config.entries or codec.codebooks < self.codebooks:
            raise ValueError(
                f"this Moshi needs a codec with {self.codebooks} codebooks of {config.entries} entries, got "
                f"{codec.codebooks} of {codec.entries}; use the Mimi that it was trained with"
            )
        self.initial = torch.tensor(config.initial_tokens, device=device)  # (K,)
        self.delays = torch.tensor(moshi.config.delays, device=device)  # (K,)
        self.frames = 0  # heard so far
        self.window = self.delays.new_zeros(batch_size, self.codebooks, max(moshi.config.delays) + 1)  # newest last
        with torch.inference_mode():
            self.state, self.ear = moshi.model.initial_state(batch_size), mimi.initial_state(batch_size)
            self.written = self._write(self.initial.expand(batch_size, -1))

    @torch.inference_mode()
    def step(self, frame: Tensor) -> Tensor:
        """The next 80 ms (B, 1, 1920) -> the text token (B,) of the frame after them; see `hear`."""
        return self.hear(self.mimi.encode(frame, self.ear, self.codebooks)[..., 0])

    @torch.inference_mode()
    def hear(self, codes: Tensor) -> Tensor:
        """The next frame as codes (B, Q) -> the text token (B,) of the frame after it. That of the first frame, before
        anything was heard, is what `written` holds at the beginning."""
        push(self.window, codes)
        last = self.window.shape[-1] - 1
        index = (last - self.delays[1 : 1 + self.codebooks]).view(1, -1, 1).expand(len(codes), -1, 1)
        user = codes.new_full(codes.shape, ZERO)
        column = torch.cat([self.written[:, None], self.window.gather(2, index)[..., 0], user], dim=1)  # (B, K)
        column = torch.where(self.frames < self.delays, self.initial, column)  # where the delayed stream has not begun
        self.frames += 1
        self.written = self._write(column)
        return self.written

    def _write(self, column: Tensor) -> Tensor:
        """The likeliest text token (B,) after a column (B, K)."""
        z = self.moshi.model.context(column[..., None], self.state, self.moshi.condition(None, len(column)))
        return self.moshi.model.text_head(z)[:, 0].argmax(-1)


def transcribe(listener: Listener, tokenizer: TextTokenizer, wav: Tensor,
               say: Callable[[str], None] = lambda piece: None) -> dict:
    """What is said in a sound (T,), by a new listener: {"text", "words": [{"text", "start"}], "seconds", "rtf"}, times
    in seconds. Pieces of words go to `say` as they come.

    Raises ValueError for a listener that has heard something, or that listens to several sounds.
    """
    if listener.frames or len(listener.written) != 1:
        raise ValueError("expected a new listener with a batch size of 1; make one for each sound")
    config, began = listener.mimi.config, time.perf_counter()
    silence = round((BEHIND + TAIL) * config.sample_rate)
    padded = F.pad(wav, (0, silence + -(len(wav) + silence) % config.frame_size))
    tokens = [int(listener.written)]
    for frame in padded.view(-1, 1, 1, config.frame_size):
        tokens.append(int(listener.step(frame.to(listener.initial.device))))
        if tokens[-1] > PAD:
            say(tokenizer.piece(tokens[-1]))
    words = tokens_to_words(tokens, tokenizer, config.frame_rate, ahead=-BEHIND)
    return {
        "text": " ".join(word.text for word in words),
        "words": [{"text": word.text, "start": round(max(0.0, word.start), 2)} for word in words],
        "seconds": round(len(wav) / config.sample_rate, 2),
        "rtf": round((time.perf_counter() - began) * config.sample_rate / len(padded), 4),
    }


@torch.inference_mode()
def speak(stream: MoshiStream, tokenizer: TextTokenizer, text: str) -> Tensor:
    """The text as sound (T,), by a new stream of one conversation in which the user's streams hold nothing.

    The words are given and the voice keeps its own pace, as `inner_monologue.Script` says; after the last one there is
    as much time as the sound is behind, and TAIL. Raises ValueError for a text without words.
    """
    if not text.split():
        raise ValueError("expected words to speak, got none")
    rate, device = stream.mimi.config.frame_rate, stream.initial.device
    script, left = Script(text, tokenizer), round((AHEAD + TAIL) * rate)
    nothing = torch.full((1, stream.heard), ZERO, device=device)
    pieces = []
    while left:
        token = script.next(int(stream.written))
        if token == FREE:  # all is written
            token, left = PAD, left - 1
        pieces.append(stream.answer(nothing, torch.tensor([token], device=device)).audio[0, 0])  # (1920,)
    return torch.cat(pieces).cpu()
