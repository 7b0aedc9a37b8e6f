"""Moshi over whole grids and in real time."""

import gc
from dataclasses import replace

import pytest
import torch

from moshi_ref.inner_monologue import FREE, PAUSE, Script, tokens_to_words
from moshi_ref.mimi import Mimi, MimiConfig
from moshi_ref.moshi import Moshi, MoshiConfig, MoshiStream
from moshi_ref.rq_transformer import ConditionConfig, Sampling
from moshi_ref.seanet import SEANetConfig
from moshi_ref.tokenizer import EPAD, PAD
from moshi_ref.transformer import TransformerConfig

GREEDY = Sampling(0.0, 1)
Q = 3  # codebooks of a speaker in the small models


def small_moshi(acoustic: int = 1, depth: bool = True) -> Moshi:
    """Three codebooks for each speaker, or six heard ones without a depth; context of six frames."""
    config = MoshiConfig.tiny(20)
    temporal = TransformerConfig(32, 4, 2, hidden=48, context=6)
    own = TransformerConfig(16, 2, 1, hidden=24, context=Q, rope_period=None, weight_sets=Q) if depth else None
    model = replace(config.model, temporal=temporal, depth=own, entries=16, audio_streams=2 * Q)
    speaker = (0,) + (acoustic,) * (Q - 1)
    return Moshi(MoshiConfig(model, (0, *speaker, *speaker))).eval()


def small_mimi(codebooks: int = Q) -> Mimi:
    transformer = TransformerConfig(16, 2, 1, hidden=32, context=8, gated=False, layer_scale=0.1)
    return Mimi(MimiConfig(SEANetConfig(16, 2), transformer, codebooks, codebooks, 16, 8)).eval()


def grid(frames: int, batch: int = 1) -> torch.Tensor:
    return torch.cat(
        [torch.randint(0, 20, (batch, 1, frames)), torch.randint(0, 16, (batch, 2 * Q, frames))], dim=1
    )


@pytest.mark.parametrize(
    "preset, parameters",
    [
        (MoshiConfig.kyutai_7b, 7_687_729_152),
        (MoshiConfig.kyutai_2b, 3_729_805_312),
        (MoshiConfig.kyutai_stt_1b, 989_253_632),
        (MoshiConfig.kyutai_stt_2b6, 2_617_118_720),
    ],
)
def test_released_presets_have_the_published_parameter_counts(preset, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in Moshi(preset()).parameters()) == parameters


def test_shapes_and_masks():
    codes = grid(8, batch=2)
    codes[0, 0, 3] = codes[1, 2, 4] = -1
    out = small_moshi()(codes)
    assert out.text_logits.shape == (2, 8, 20) and out.audio_logits.shape == (2, Q, 8, 16)
    expected = torch.ones(2, Q, 8, dtype=torch.bool)
    expected[:, 1:, -1] = False  # pushed out by the delay
    expected[1, 1, 4] = False
    assert torch.equal(out.audio_mask, expected)
    assert out.text_mask.logical_not().nonzero().tolist() == [[0, 3]]
    assert torch.equal(out.audio_logits.isnan().any(-1), torch.arange(8).eq(7) & torch.tensor([0, 1, 1])[:, None].bool()
                       .expand(2, Q, 8))  # fmt: skip


@pytest.mark.parametrize("sounded", [slice(0, 8), slice(2, 5), slice(6, 8)])
def test_of_some_frames_the_audio_alone_is_left_out(sounded):
    """What is predicted is the same as with all frames; the delay cannot look beyond the piece."""
    moshi, codes = small_moshi(), grid(8, batch=2)
    every, some = moshi(codes), moshi(codes, sounded=sounded)
    assert torch.equal(some.text_logits, every.text_logits) and torch.equal(some.hidden, every.hidden)
    assert some.sounded == sounded
    expected = every.audio_mask[..., sounded].clone()
    expected[:, 1:, -1] = False
    assert torch.equal(some.audio_mask, expected)
    ours, theirs = (logits[some.audio_mask] for logits in (some.audio_logits, every.audio_logits[:, :, sounded]))
    assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize("acoustic", [0, 1, 2])
def test_what_each_prediction_may_see(acoustic):
    """Text and semantic code of frame f see everything before f. Acoustic codes of frame f are predicted
    `acoustic` frames later: they see semantic codes up to frame f + acoustic."""
    model, codes, frame = small_moshi(acoustic), grid(8), 3
    before = model(codes)

    def affected(stream: int, at: int) -> tuple[bool, bool, bool]:
        changed = codes.clone()
        changed[:, stream, at] = (changed[:, stream, at] + 1) % 16
        after = model(changed)
        return (
            not torch.allclose(before.text_logits[:, frame], after.text_logits[:, frame], atol=1e-6),
            not torch.allclose(before.audio_logits[:, 0, frame], after.audio_logits[:, 0, frame], atol=1e-6),
            not torch.allclose(before.audio_logits[:, 1, frame], after.audio_logits[:, 1, frame], atol=1e-6),
        )

    assert affected(0, frame - 1) == (True, True, True)
    assert affected(0, frame) == (False, True, True)  # the text of a frame comes before its codes
    assert affected(1, frame) == (False, False, True)  # and the semantic code before the acoustic ones
    assert affected(1, frame + acoustic) == (False, False, True)
    assert affected(1, frame + acoustic + 1) == (False, False, False)
    assert affected(1 + Q, frame - 1)[0] is True  # the user's semantic code is heard in the next frame
    assert affected(1 + Q, frame)[:2] == (False, False)


def test_shown_replaces_the_past_but_not_the_targets():
    model, codes = small_moshi(), grid(6)
    shown = codes.clone()
    shown[:, 1, 2] = (shown[:, 1, 2] + 1) % 16
    before, after = model(codes), model(codes, shown)
    torch.testing.assert_close(before.text_logits[:, :3], after.text_logits[:, :3])
    assert not torch.allclose(before.text_logits[:, 3:], after.text_logits[:, 3:])


def test_bad_grids_are_refused():
    model = small_moshi()
    with pytest.raises(ValueError, match="1 text stream and 6 audio streams"):
        model(grid(4)[:, :5])
    for token, stream in ((16, 1), (20, 0), (-2, 4)):
        codes = grid(4)
        codes[0, stream, 2] = token
        with pytest.raises(ValueError, match=f"token {token} in stream {stream}"):
            model(codes)
    with pytest.raises(ValueError, match="7 delays"):
        MoshiConfig(model.config.model, (0, 1))


@pytest.mark.parametrize("acoustic", [0, 1, 2])
def test_streamed_equals_whole(acoustic):
    """A greedy conversation, predicted frame by frame, is what the whole-grid model predicts from the same
    past, also long after the context of six frames has been filled."""
    moshi, mimi, frames = small_moshi(acoustic), small_mimi(), 40
    stream = MoshiStream(moshi, mimi, seed=0, batch_size=2, text=GREEDY, audio=GREEDY)
    user = torch.randint(0, 16, (2, Q, frames))
    replies = [stream.step_codes(user[..., f]) for f in range(frames)]
    late = max(0, acoustic - 1)  # replies before Moshi has begun
    assert all((text == PAD).all() and (codes == -1).all() for text, codes in replies[:late])
    early = 1 if acoustic == 0 else 0  # without delay, reply number f is frame f + 1
    if early:
        first = stream_first_frame(moshi, mimi)
        replies = [first] + replies
    text = torch.stack([t for t, _ in replies[late:]], -1)[..., : frames - late]
    codes = torch.stack([c for _, c in replies[late:]], -1)[..., : frames - late]
    with torch.no_grad():
        out = moshi(torch.cat([text[:, None], codes, user[..., : frames - late]], dim=1))
    assert torch.equal(out.text_logits.argmax(-1), text)
    assert torch.equal(out.audio_logits.argmax(-1)[out.audio_mask], codes[out.audio_mask])


def stream_first_frame(moshi: Moshi, mimi: Mimi) -> tuple[torch.Tensor, torch.Tensor]:
    """Frame 0, which is predicted before the user is heard."""
    own = MoshiStream(moshi, mimi, seed=0, batch_size=2, text=GREEDY, audio=GREEDY).state.own[..., -1]
    return own[:, 0], own[:, 1:]


def test_sound_in_sound_out():
    stream = MoshiStream(small_moshi(), small_mimi(), seed=0)
    replies = [stream.step(0.1 * torch.randn(1, 1, 1920)) for _ in range(5)]
    assert all(r.audio.shape == (1, 1, 1920) and r.text.shape == (1,) and r.codes.shape == (1, Q) for r in replies)
    whole = stream.mimi.decode(torch.stack([r.codes for r in replies], -1))
    torch.testing.assert_close(torch.cat([r.audio for r in replies], -1), whole, atol=1e-5, rtol=1e-5)


def test_silence_until_a_long_delay_has_passed():
    stream = MoshiStream(small_moshi(acoustic=3), small_mimi(), seed=0)
    replies = [stream.step(0.1 * torch.randn(1, 1, 1920)) for _ in range(6)]
    silent = [bool((r.audio == 0).all()) for r in replies]
    assert silent == [True, True, False, False, False, False]
    whole = stream.mimi.decode(torch.stack([r.codes for r in replies[2:]], -1))
    torch.testing.assert_close(torch.cat([r.audio for r in replies[2:]], -1), whole, atol=1e-5, rtol=1e-5)


def test_the_same_seed_gives_the_same_conversation():
    moshi, mimi, sound = small_moshi(), small_mimi(), 0.1 * torch.randn(1, 1, 1920)

    def talk(seed: int) -> list[int]:
        stream = MoshiStream(moshi, mimi, seed)
        return [int(stream.step(sound).text) for _ in range(12)]

    assert talk(1) == talk(1) != talk(2)


def test_one_conversation_starts_anew_beside_another():
    moshi, mimi, sound = small_moshi(), small_mimi(), 0.1 * torch.randn(2, 1, 1920 * 12)
    frames = sound.split(1920, -1)

    def stream(rows: int) -> MoshiStream:
        return MoshiStream(moshi, mimi, seed=0, batch_size=rows, text=GREEDY, audio=GREEDY)

    both = stream(2)
    for frame in frames[:5]:
        both.step(frame)
    both.restart(torch.tensor([False, True]))
    late = [both.step(frame).codes for frame in frames[5:]]
    undisturbed, fresh = stream(2), stream(1)
    expected = [undisturbed.step(frame).codes for frame in frames][5:]
    renewed = [fresh.step(frame[1:]).codes for frame in frames[5:]]
    assert torch.equal(torch.stack(late)[:, 0], torch.stack(expected)[:, 0])
    assert torch.equal(torch.stack(late)[:, 1], torch.stack(renewed)[:, 0])


def test_a_model_that_only_writes():
    """A speech recogniser has no depth: it hears all audio streams and gives text."""
    stream = MoshiStream(small_moshi(depth=False), small_mimi(2 * Q), seed=0)
    reply = stream.step(0.1 * torch.randn(1, 1, 1920))
    assert reply.codes.shape == (1, 0) and reply.text.shape == (1,) and not reply.audio.any()


def test_words_can_be_put_into_its_mouth():
    stream = MoshiStream(small_moshi(), small_mimi(), seed=0)
    for token in (7, 9, 11):
        reply = stream.step(torch.zeros(1, 1, 1920), torch.tensor([token]))
        assert stream.state.own[0, 0, -1] == token  # of the column that was just predicted
    assert reply.text == 9  # one frame later, because of the delay


@pytest.mark.parametrize("audio", [GREEDY, Sampling(0.8, 250)], ids=["greedy", "drawn"])
def test_only_silence_may_be_drawn_in_a_pause(audio):
    """In one row; in the others, every token may still come, and comes as if there were no pause beside it."""
    moshi, mimi = small_moshi(), small_mimi()

    def tokens(pause: bool) -> torch.Tensor:
        stream = MoshiStream(moshi, mimi, 0, 2, Sampling(1.5, 25), audio)
        wish = torch.tensor([PAUSE, FREE]) if pause else None
        replies = [stream.step_codes(torch.full((2, Q), f % 16), wish) for f in range(60)]
        return torch.stack([text for text, _ in replies[1:]], -1)  # (B, F)

    paused, free = tokens(True), tokens(False)
    assert set(paused[0].tolist()) == {PAD, EPAD} and torch.equal(paused[1], free[1])
    assert len(set(free[0].tolist())) > 5


@pytest.mark.parametrize("text", [[20], [-3], [5, 5]])
def test_text_that_cannot_be_said_is_refused(text):
    stream = MoshiStream(small_moshi(), small_mimi(), seed=0)
    before = [tensor.clone() for tensor in stream.state.tensors()]
    with pytest.raises(ValueError, match="expected 1 text tokens below 20, or -1 .any. or -2"):
        stream.step_codes(torch.zeros(1, Q, dtype=torch.long), torch.tensor(text))
    assert all(torch.equal(a, b) for a, b in zip(before, stream.state.tensors(), strict=True))


@pytest.mark.parametrize("patience", [0, 3, 1000])
def test_a_script_is_said_word_for_word(patience, tokenizer):
    """A model that knows nothing says it too: only when is its own choice, between PAD and EPAD."""
    small = small_moshi().config
    moshi = Moshi(replace(small, model=replace(small.model, text_vocabulary=len(tokenizer)))).eval()
    stream = MoshiStream(moshi, small_mimi(), 0, text=Sampling(5.0, 250))
    text, written = "seven plus five is twelve", []
    script = Script(text, tokenizer, patience)
    while script.words or script.word:
        stream.step(torch.zeros(1, 1, 1920), torch.tensor([script.next(int(stream.written))]))
        written.append(int(stream.written))
    assert script.next(written[-1]) == FREE
    assert " ".join(word.text for word in tokens_to_words(written, tokenizer)) == text
    words, frame = [tokenizer.encode(word) for word in text.split()], 0
    for word in words:
        pause = written[frame:].index(word[0])
        assert written[frame : frame + pause] == [PAD] * (pause - 1) + [EPAD] and pause - 1 <= patience
        assert written[frame + pause : frame + pause + len(word)] == word
        frame += pause + len(word)
    assert frame == len(written)
    if patience == 0:
        assert frame == sum(len(word) + 1 for word in words)


def test_a_condition_is_heeded_by_models_that_take_one():
    plain = small_moshi()
    with pytest.raises(ValueError, match="takes no condition"):
        MoshiStream(plain, small_mimi(), seed=0, condition="good")
    with pytest.raises(ValueError, match="takes no condition"):
        plain(grid(3), condition=torch.tensor([0]))
    choices = ConditionConfig(("bad", "good"), bins=4, dim=3)
    config = replace(plain.config, model=replace(plain.config.model, condition=choices))
    moshi, codes = Moshi(config).eval(), grid(3)
    bad, good = (moshi(codes, condition=torch.tensor([choices.index(v)])).text_logits for v in choices.values)
    assert not torch.allclose(bad, good)
    torch.testing.assert_close(moshi(codes, condition=torch.tensor([-1])).text_logits, moshi(codes).text_logits)
    streams = [MoshiStream(moshi, small_mimi(), seed=0, condition=value) for value in ("bad", "good", None)]
    assert len({stream.condition.sum().item() for stream in streams}) == 3
    with pytest.raises(ValueError, match=r"expected a condition of \['bad', 'good'\], got 'odd'"):
        MoshiStream(moshi, small_mimi(), seed=0, condition="odd")


def test_a_frame_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"frames of shape \(1, 1, 1920\), got \(1, 1, 960\)"):
        MoshiStream(small_moshi(), small_mimi(), seed=0).step(torch.zeros(1, 1, 960))


def alive() -> int:
    """Bytes of all tensors that Python knows of."""
    gc.collect()
    return sum(item.nbytes for item in gc.get_objects() if type(item) in (torch.Tensor, torch.nn.Parameter))


def test_nothing_grows_in_a_long_conversation():
    """Noise and silence in turns, far beyond every context; then the language model alone, for longer."""
    stream = MoshiStream(small_moshi(), small_mimi(), seed=0)
    state = [(t.data_ptr(), t.shape) for t in stream.state.tensors()]
    sizes, heard = [], torch.zeros(1, Q, dtype=torch.long)
    for number in range(150):
        stream.step(0.1 * torch.randn(1, 1, 1920) * (number // 30 % 2))
        if number in (70, 149):
            sizes.append(alive())
    for number in range(500):
        stream.step_codes(heard.fill_(number % 16))
    sizes.append(alive())
    assert state == [(t.data_ptr(), t.shape) for t in stream.state.tensors()]
    assert len(set(sizes)) == 1


def test_gradients_reach_every_parameter():
    model, codes = small_moshi(), grid(6)
    out = model.train()(codes)
    (out.text_logits.square().mean() + out.audio_logits[out.audio_mask].square().mean()).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_one_grid_can_be_learnt_by_heart():
    model, codes = small_moshi().train(), grid(8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        out = model(codes)
        targets = codes[:, 1 : 1 + Q][out.audio_mask]
        loss = torch.nn.functional.cross_entropy(out.text_logits[0], codes[0, 0])
        loss = loss + torch.nn.functional.cross_entropy(out.audio_logits[out.audio_mask], targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1
