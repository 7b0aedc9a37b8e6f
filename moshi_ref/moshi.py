"""Moshi: speech and text of a conversation as parallel streams, in real time (Moshi paper, section 3.4).

    stream 0         what Moshi says, as text (Inner Monologue)
    streams 1 to 8   what Moshi says, as Mimi codes: predicted, and played
    streams 9 to 16  what the user says, as Mimi codes: only heard

There are no turns. In each frame of 80 ms, Moshi hears one column of the user's codes and predicts its
own text and codes, silence included, so that both may speak at any time.

`Moshi` is the model over whole token grids, for training; `MoshiStream` runs it against a live microphone.
Both see the same thing: the acoustic streams are delayed (`delays.py`), and a column of initial tokens
comes before the first frame.

Shapes: B batch, K streams, F frames, Q codebooks, D width of the Temporal Transformer, V entries.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .delays import delay, known, undelay
from .inner_monologue import FREE, PAUSE
from .mimi import Mimi, MimiState
from .rq_transformer import ZERO, ConditionConfig, RQTransformer, RQTransformerConfig, Sampling
from .streaming import State
from .tokenizer import EPAD, PAD
from .transformer import TransformerConfig, TransformerState

TEXT_SAMPLING, AUDIO_SAMPLING = Sampling(0.7, 25), Sampling(0.8, 250)  # of the released demo


@dataclass(frozen=True)
class MoshiConfig:
    model: RQTransformerConfig
    delays: tuple[int, ...]  # of each stream, in frames; text first

    def __post_init__(self):
        if len(self.delays) != self.model.streams:
            raise ValueError(f"expected {self.model.streams} delays (one a stream), got {len(self.delays)}")

    @classmethod
    def kyutai_7b(cls) -> "MoshiConfig":
        """The released Moshi (moshiko, moshika): Table 1 of the paper, acoustic delay 1."""
        temporal = TransformerConfig(4096, 32, 32, hidden=11264, context=3000)
        depth = _depth(1024, 16, 6, hidden=2816, codebooks=8)
        return cls(RQTransformerConfig(temporal, depth, 32_000, 2048, 16), _duplex_delays(8, acoustic=1))

    @classmethod
    def kyutai_2b(cls) -> "MoshiConfig":
        """The released multi-stream models with 2 billion weights in the Temporal Transformer: 16 codebooks for
        each speaker, acoustic delay 2, and a condition that says how good the speech should be."""
        temporal = TransformerConfig(2560, 20, 24, hidden=7040, context=3000, rope_period=100_000.0)
        depth = _depth(1024, 16, 6, hidden=2816, codebooks=16)
        model = RQTransformerConfig(temporal, depth, 48_000, 2048, 32, condition=ConditionConfig((), 31, 16))
        return cls(model, _duplex_delays(16, acoustic=2))

    @classmethod
    def kyutai_stt_1b(cls) -> "MoshiConfig":
        """The released speech recogniser for English and French, with its four voice activity heads."""
        temporal = TransformerConfig(2048, 16, 16, hidden=5632, context=750, rope_period=100_000.0)
        return cls(RQTransformerConfig(temporal, None, 8000, 2048, 32, extra_heads=4), (0,) * 33)

    @classmethod
    def kyutai_stt_2b6(cls) -> "MoshiConfig":
        """The released speech recogniser for English."""
        temporal = TransformerConfig(2048, 32, 48, hidden=5632, context=375, rope_period=100_000.0)
        return cls(RQTransformerConfig(temporal, None, 4000, 2048, 32), (0,) * 33)

    @classmethod
    def tiny(cls, text_vocabulary: int = 512) -> "MoshiConfig":
        """The same geometry at a size that a laptop can train; fits `MimiConfig.tiny()`."""
        temporal = TransformerConfig(256, 4, 4, hidden=704, context=75)
        depth = _depth(96, 4, 2, hidden=264, codebooks=8)
        return cls(RQTransformerConfig(temporal, depth, text_vocabulary, 512, 16), _duplex_delays(8, acoustic=1))


def _depth(dim: int, heads: int, layers: int, hidden: int, codebooks: int) -> TransformerConfig:
    """A Depth Transformer: no positions, because each codebook has weights of its own."""
    return TransformerConfig(dim, heads, layers, hidden, codebooks, rope_period=None, weight_sets=codebooks)


def _duplex_delays(codebooks: int, acoustic: int) -> tuple[int, ...]:
    """Text and semantic codes come at once, acoustic codes `acoustic` frames later, for both speakers."""
    speaker = (0,) + (acoustic,) * (codebooks - 1)
    return (0, *speaker, *speaker)


@dataclass(frozen=True)
class MoshiOutput:
    """Logits lined up with the codes that went in, frame by frame, and where they may enter a loss. Those of audio, and
    their mask, are of the frames `sounded` alone."""

    text_logits: Tensor  # (B, F, V_text)
    audio_logits: Tensor  # (B, Q, F, V)
    text_mask: Tensor  # (B, F) bool: False where the input token was -1
    audio_mask: Tensor  # (B, Q, F) bool: False there, and in the last frames that the delay pushed out
    hidden: Tensor  # (B, F, D): z, the Temporal Transformer's output before frame f's text was known
    sounded: slice


class Moshi(nn.Module):
    def __init__(self, config: MoshiConfig):
        super().__init__()
        self.config = config
        self.model = RQTransformer(config.model)

    def forward(self, codes: Tensor, shown: Tensor | None = None, condition: Tensor | None = None,
                sounded: slice = slice(None)) -> MoshiOutput:
        """codes (B, K, F) int64, text first; -1 where a stream has nothing. Every frame is predicted from
        the frames before it; if `shown` (B, K, F) is given, from the frames of `shown` before it (training
        uses this to disturb the past). `condition` (B,) int64 is for models that take one, -1 where nothing is
        known, which is also the default. Audio is predicted in the frames `sounded`, in all of them by default.
        Raises ValueError for another number of streams or for tokens out of range."""
        self._check(codes)
        c = self.config.model
        delayed = delay(codes, self.config.delays, c.initial_tokens)  # (B, K, F)
        past = delayed if shown is None else delay(shown, self.config.delays, c.initial_tokens)
        first = torch.tensor(c.initial_tokens, device=codes.device)[None, :, None].expand(len(codes), -1, 1)
        columns = torch.cat([first, past[..., :-1]], dim=-1)  # the column before each delayed column
        given = self.condition(condition, len(codes))
        hidden, text_logits, audio_logits = self.model(columns, delayed, given, sounded)
        spoken, delays = codes[:, 1 : 1 + c.predicted, sounded], self.config.delays[1 : 1 + c.predicted]
        audio_mask = known(delays, spoken.shape[-1]).to(codes.device) & (spoken != ZERO)
        if c.predicted:
            audio_logits = undelay(audio_logits, delays, fill=float("nan"))
        return MoshiOutput(text_logits, audio_logits, codes[:, 0] != ZERO, audio_mask, hidden, sounded)

    def condition(self, index: Tensor | None, batch_size: int) -> Tensor | None:
        """The vector (B, 1, D) of a condition (B,), None for models that take none."""
        if self.config.model.condition is None:
            if index is not None:
                raise ValueError("this model takes no condition; leave it out")
            return None
        nothing = torch.full((batch_size,), -1, device=self.model.text_head.weight.device)
        return self.model.condition(nothing if index is None else index)

    def _check(self, codes: Tensor) -> None:
        c = self.config.model
        if codes.dim() != 3 or codes.shape[1] != c.streams or codes.shape[2] == 0:
            raise ValueError(
                f"expected codes (B, {c.streams}, F > 0): 1 text stream and {c.audio_streams} audio streams, "
                f"got {tuple(codes.shape)}"
            )
        most = torch.tensor(c.initial_tokens, device=codes.device)[None, :, None]
        wrong = (codes < ZERO) | (codes >= most)
        if wrong.any():
            row, stream, frame = wrong.nonzero()[0].tolist()
            raise ValueError(
                f"token {codes[row, stream, frame]} in stream {stream} is out of range; expected "
                f"{ZERO} (nothing) to {most[0, stream, 0] - 1}"
            )


@dataclass(frozen=True)
class Reply:
    """What Moshi does in one frame."""

    audio: Tensor  # (B, 1, 1920)
    text: Tensor  # (B,) int64
    codes: Tensor  # (B, Q) int64


@dataclass
class ConversationState(State):
    """All that is remembered of the conversations in a batch. W is the longest delay plus one."""

    temporal: TransformerState
    depth: TransformerState | None  # overwritten in each frame
    mimi: MimiState
    steps: Tensor  # (B,) columns predicted so far
    own: Tensor  # (B, 1 + Q, W) the last W columns that Moshi predicted, newest last
    user: Tensor  # (B, K - 1 - Q, W) the last W frames of the user's codes, newest last


def push(window: Tensor, newest: Tensor) -> None:
    """Append newest (B, N) to a window (B, N, W), in place; the oldest falls out."""
    window.copy_(torch.cat([window[..., 1:], newest[..., None]], dim=-1))


class MoshiStream:
    """A conversation, or a batch of them, in real time: one frame of the user in, one frame of Moshi out.

    Moshi's frame f is complete when column f + delay has been predicted, which needs the user's frame
    f + delay - 1. So with acoustic delay 1, call number f returns frame number f: 80 ms to fill the user's
    frame and 80 ms of delay are the 160 ms of the paper. With a larger delay, the first calls return
    silence (text PAD, codes -1).

    Args:
        seed: of the sampling. The conversation in row b draws from a generator with seed + b: the same seed and the
            same sound give the same conversation, whatever the other rows hear and say.
        text, audio: how tokens are drawn; the defaults are those of the released demo.
        condition: what is known about the conversations, for models that take a condition.
    """

    def __init__(self, moshi: Moshi, mimi: Mimi, seed: int, batch_size: int = 1,
                 text: Sampling = TEXT_SAMPLING, audio: Sampling = AUDIO_SAMPLING, condition: str | None = None):
        self.moshi, self.mimi, self.text, self.audio = moshi.eval(), mimi.eval(), text, audio
        config, device = moshi.config.model, next(moshi.parameters()).device
        self.generators = [torch.Generator(device).manual_seed(seed + row) for row in range(batch_size)]
        self.initial = torch.tensor(config.initial_tokens, device=device)  # (K,)
        self.delays = torch.tensor(moshi.config.delays, device=device)  # (K,)
        self.wait = max(moshi.config.delays)
        self.spoken = 1 + config.predicted  # streams that Moshi predicts; it hears the rest
        self.heard = config.streams - self.spoken
        codec = mimi.config
        if codec.entries != config.entries or codec.codebooks < max(self.heard, config.predicted):
            raise ValueError(
                f"this Moshi needs a codec with {max(self.heard, config.predicted)} codebooks of {config.entries} "
                f"entries, got {codec.codebooks} of {codec.entries}; use the Mimi that it was trained with"
            )
        if condition is not None and config.condition is None:
            raise ValueError("this model takes no condition; leave it out")
        index = None if condition is None else torch.tensor([config.condition.index(condition)], device=device)
        with torch.inference_mode():
            self.condition = moshi.condition(index, 1)
        self.state = self._begin(self.generators)

    @property
    def written(self) -> Tensor:
        """The text token (B,) of the newest column, which the reply gives when the rest of its frame has come."""
        return self.state.own[:, 0, -1]

    @torch.inference_mode()
    def restart(self, rows: Tensor) -> None:
        """Begin new conversations in `rows` (B,) bool; the others go on undisturbed."""
        unused = torch.Generator(self.initial.device)
        fresh = self._begin([own if row else unused for own, row in zip(self.generators, rows.tolist(), strict=True)])
        for tensor, new in zip(self.state.tensors(), fresh.tensors(), strict=True):
            tensor[rows] = new[rows]

    @torch.inference_mode()
    def step(self, frame: Tensor, text: Tensor | None = None) -> Reply:
        """The user's next 80 ms (B, 1, 1920) -> Moshi's. `text` (B,) int64 is for putting words into its mouth: the
        text token of the next column, FREE, or PAUSE (see `inner_monologue.Script`). Raises ValueError for frames of
        another shape, and for text that is out of range."""
        expected = (len(self.generators), 1, self.mimi.config.frame_size)
        if frame.shape != expected:
            raise ValueError(f"expected frames of shape {expected}, got {tuple(frame.shape)}")
        return self.answer(self.mimi.encode(frame, self.state.mimi, self.heard)[..., 0], text)

    @torch.inference_mode()
    def answer(self, heard: Tensor, text: Tensor | None = None) -> Reply:
        """The same from the user's codes (B, K - 1 - Q)."""
        said, codes = self.step_codes(heard, text)
        if codes.shape[1] == 0:
            return Reply(torch.zeros(len(codes), 1, self.mimi.config.frame_size, device=codes.device), said, codes)
        mimi, silent = self.state.mimi, codes[:, 0] == ZERO  # (B,) bool
        audio = self.mimi.decode(codes.clamp(min=0)[..., None], mimi)
        # Where Moshi has not begun, the decoder must not have begun either.
        for part in (mimi.upsample, mimi.decoder_transformer, mimi.decoder):
            part.reset(silent)
        return Reply(audio.masked_fill(silent[:, None, None], 0.0), said, codes)

    @torch.inference_mode()
    def step_codes(self, heard: Tensor, text: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same without any sound: the user's codes (B, K - 1 - Q) -> Moshi's text (B,) and codes (B, Q)."""
        state, allowed = self.state, None if text is None else self._allowed(text)
        push(state.user, heard)
        self._predict(state, self.generators, allowed)
        index = self.delays[: self.spoken].view(1, -1, 1).expand(len(heard), -1, 1)
        frame = state.own.gather(2, index)[..., 0]  # (B, 1 + Q): each stream at the frame that is complete
        ready = state.steps[:, None] > self.wait
        return frame[:, 0].where(ready[:, 0], PAD), frame[:, 1:].where(ready, ZERO)

    @torch.inference_mode()
    def _begin(self, generators: list[torch.Generator]) -> ConversationState:
        """New conversations, one for each generator. Column 0 depends on nothing but the initial tokens: it is
        predicted now, before the user is heard."""
        model, batch_size = self.moshi.model, len(generators)
        state = ConversationState(
            model.initial_state(batch_size),
            None if model.config.depth is None else model.depth.initial_state(batch_size),
            self.mimi.initial_state(batch_size),
            self.delays.new_zeros(batch_size),
            self.delays.new_zeros(batch_size, self.spoken, self.wait + 1),
            self.delays.new_zeros(batch_size, self.heard, self.wait + 1),
        )
        self._predict(state, generators)
        return state

    def _predict(self, state: ConversationState, generators: list[torch.Generator],
                 allowed: Tensor | None = None) -> None:
        """Predict the next column from the last one, with a text token that is allowed (B, V_text)."""
        index = (self.wait - self.delays[self.spoken :]).view(1, -1, 1).expand(len(state.steps), -1, 1)
        user = state.user.gather(2, index)[..., 0]  # (B, K - 1 - Q): each stream as late as its delay
        column = torch.cat([state.own[..., -1], user], dim=1)  # (B, K)
        before = state.steps[:, None] - 1 < self.delays  # (B, K): the delayed stream has not begun
        column = torch.where(before, self.initial, column)
        z = self.moshi.model.context(column[..., None], state.temporal, self.condition)  # (B, 1, D)
        column = self.moshi.model.sample_column(z, self.text, self.audio, generators, allowed, state.depth)
        push(state.own, column)
        state.steps += 1

    def _allowed(self, text: Tensor) -> Tensor:
        """Which text tokens (B, V_text) may come where `text` (B,) is a token, FREE or PAUSE."""
        vocabulary = self.moshi.config.model.text_vocabulary
        if text.shape != (len(self.generators),) or text.min() < PAUSE or text.max() >= vocabulary:
            raise ValueError(
                f"expected {len(self.generators)} text tokens below {vocabulary}, or {FREE} (any) or {PAUSE} (PAD or "
                f"EPAD), got {text.tolist()}"
            )
        wish, token = text.to(self.initial.device)[:, None], torch.arange(vocabulary, device=self.initial.device)
        silent = (token == PAD) | (token == EPAD)
        return (wish == token) | (wish == FREE) | ((wish == PAUSE) & silent)
