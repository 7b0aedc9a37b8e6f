"""What notebook 13 is made with: its figures, the live loop, its panel, and checkers that name the typical mistakes."""

import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_lab import assert_picture, press
from test_moshi import small_mimi, small_moshi

from moshi_ref import MoshiStream, Sampling, TextTokenizer
from moshi_ref.corpus import small_world
from moshi_ref.lab import live_plots as plots
from moshi_ref.lab.conversation import hold, join
from moshi_ref.lab.exercises_13 import (
    check_draw,
    check_lateness,
    check_ring,
    check_stops,
    draw_of,
    ring_of,
    stop_of,
)
from moshi_ref.lab.live import Headset, InPlace, lateness, live, talk_panel

RATE, SIZE = 24_000, 1920


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    return small_moshi(), small_mimi()


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.train(small_world.sentences(), 400)


def stream_of(models):
    return MoshiStream(*models, seed=1, text=Sampling(0.9, 12), audio=Sampling(1.1, 15))


# --- Figures --------------------------------------------------------------------------------------


def test_figures(models, tokenizer):
    held = hold(stream_of(models), 0.1 * torch.randn(20 * SIZE))
    assert_picture(plots.reactions({"a": held, "b": held}, tokenizer, {"a": [(0.5, "$stop")]}))
    assert_picture(plots.schedule(12.0))
    assert_picture(plots.dots({"a": [0.1, -0.2], "b": []}, {"limit": 0.6}, "seconds"))
    assert_picture(plots.lost_frames({"sent": (torch.randn(9 * SIZE), []), "came": (torch.randn(8 * SIZE), [2])}, RATE,
                                     SIZE))  # fmt: skip


def test_the_budget_adds_up():
    figure = plots.budget_bars({"frame": 80.0, "delay": 80.0}, {"a": 5.0, "b": 3.0}, 80.0)
    assert_picture(figure)
    whole, near = figure.axes
    assert sum(patch.get_width() for patch in whole.patches) == pytest.approx(168)
    assert [patch.get_width() for patch in near.patches] == [5, 3]


def test_the_schedule_names_the_latency():
    texts = [text.get_text() for text in plots.schedule(12.0).axes[0].texts]
    assert any("172 ms" in text for text in texts) and any("full: 80 ms" in text for text in texts)


def test_a_ring_shows_what_is_seen():
    figure = plots.ring_slots({0: ring_of(0, 5), 3: ring_of(3, 5), 12: ring_of(12, 5)}, context=4)
    assert_picture(figure)
    faces = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert [faces.count(face) for face in (faces[5], faces[0])] == [3 + 4, 5 + 2]  # seen, never written


def test_everybody_is_in_a_place():
    figure = plots.places([("Ann", 0, 0, 20), ("Ben", 1, 5, 30), ("Cy", 0, 22, 40)], {"Ann": [(0.5, "$yes")]}, 40)
    assert_picture(figure)
    assert [patch.get_y() for patch in figure.axes[0].patches] == [0, 1, 0]


# --- Live -----------------------------------------------------------------------------------------


def test_pieces_are_joined(models):
    wav = 0.1 * torch.randn(6 * SIZE)
    whole, stream = hold(stream_of(models), wav), stream_of(models)
    parts = join(*(hold(stream, frame) for frame in wav.split(2 * SIZE)))
    assert torch.equal(parts.columns, whole.columns) and torch.equal(parts.moshi, whole.moshi)
    assert torch.equal(parts.user, whole.user) and len(parts.seconds) == 6 and parts.frames == 6


def test_a_sound_in_place_keeps_the_time(models):
    wav, began = 0.1 * torch.randn(3 * SIZE + 5), time.perf_counter()
    pieces = []
    held = live(stream_of(models), InPlace(wav, RATE, SIZE), 0.48, pieces.append, lambda token: f"<{token}>")
    assert 0.48 <= time.perf_counter() - began < 5
    assert held.conversation.frames == len(held.late) == 6 and min(held.late) > 0
    assert torch.equal(held.conversation.user[0, : len(wav)], wav) and not held.conversation.user[0, len(wav) :].any()
    assert torch.equal(held.conversation.columns, hold(stream_of(models), wav, after=0.16).columns)
    written = [token for token in held.conversation.columns[0, 0].tolist() if token > 3]
    assert pieces == [f"<{token}>" for token in written]


class Card:
    """A sound card without sound."""

    def __init__(self, samplerate, blocksize, channels, dtype):
        assert (samplerate, blocksize, channels, dtype) == (RATE, SIZE, 1, "float32")
        self.played, self.open = [], True

    def start(self):
        pass

    def read(self, count):
        return np.full((count, 1), 0.1, dtype="float32"), False

    def write(self, samples):
        self.played.append(samples)

    def close(self):
        self.open = False


def test_a_headset_hears_and_plays(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(Stream=Card))
    heard = []


    def talk(headset, seconds):
        heard.append((live(stream_of(models), headset, 0.16), headset, seconds))

    panel = talk_panel(talk, RATE, SIZE)
    assert not heard
    press(panel)
    held, headset, seconds = heard[0]
    assert torch.equal(held.conversation.user, torch.full((1, 2 * SIZE), 0.1)) and seconds == 15
    assert [part.shape for part in headset.stream.played] == [(SIZE, 1)] * 2 and not headset.stream.open


def test_the_panel_says_what_is_missing(monkeypatch, capsys):
    def broken(**_):
        raise RuntimeError("Error querying device -1")

    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(Stream=broken))
    press(talk_panel(pytest.fail, RATE, SIZE))
    assert "device -1" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # cannot be imported
    with pytest.raises(OSError, match="install it"):
        Headset(RATE, SIZE)


# --- Exercises ------------------------------------------------------------------------------------


def test_what_is_right():
    assert lateness([0.1, 0.1, 0.01], 0.08) == pytest.approx([0.1, 0.12, 0.05])
    assert ring_of(6, 4) == [4, 5, 2, 3] and ring_of(2, 4) == [0, 1, -1, -1]
    assert stop_of(torch.tensor([1, 0, 1, 0, 0, 0]).bool(), 1, 2) == 3
    logits, noise = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([2.0, 0.1])
    assert draw_of(logits, 1.0, 2, noise) == 2


def early(seconds, frame):
    return [sum(seconds[: n + 1]) - n * frame for n in range(len(seconds))]


def clock(seconds, frame):
    return [late + (n + 1) * frame for n, late in enumerate(lateness(seconds, frame))]


def beyond(seconds, frame):
    return [max(0.0, late - frame) for late in lateness(seconds, frame)]


def pick(score):
    """A draw by `score(values, temperature, noise)` among the top k."""
    def draw(logits, temperature, top_k, noise):
        values, tokens = logits.topk(top_k)
        return tokens[score(values, temperature, noise).argmax()] if temperature else logits.argmax()

    return draw


def every_token(logits, temperature, top_k, noise):
    return logits.argmin() if temperature else logits.argmax()


def first_silence(loud, since, quiet):
    silent = [step for step in range(since, len(loud)) if not loud[step]]
    return silent[0] if silent and stop_of(loud, since, quiet) is not None else None


@pytest.mark.parametrize(
    ("check", "wrong", "told"),
    [
        (check_lateness, lambda seconds, frame: seconds, "must wait"),
        (check_lateness, early, "before it is full"),
        (check_lateness, clock, "on the clock"),
        (check_lateness, beyond, "beyond the next frame"),
        (check_lateness, lambda seconds, frame: [], "one number for each"),
        (check_lateness, lambda seconds, frame: [9.0] * len(seconds), "expected [0.02"),
        (check_ring, lambda steps, slots: list(range(slots)), "holds -1"),
        (check_ring, lambda steps, slots: ring_of(min(steps, slots), slots), "the first steps"),
        (check_ring, lambda steps, slots: sorted(ring_of(steps, slots)) if steps > slots else ring_of(steps, slots),
         "in order of age"),
        (check_ring, lambda steps, slots: [min(steps, step + 1) for step in ring_of(steps, slots)], "holds -1"),
        (check_ring, lambda steps, slots: [], "one number for each"),
        (check_draw, pick(lambda v, t, n: v), "always the likeliest"),
        (check_draw, pick(lambda v, t, n: v * t - n.log()), "divide the logits"),
        (check_draw, pick(lambda v, t, n: v / t + n.log()), "the sign"),
        (check_draw, pick(lambda v, t, n: v / t + n), "do not add"),
        (check_draw, every_token, "not among"),
        (check_draw, pick(lambda v, t, n: -v), "expected"),
        (check_draw, lambda logits, temperature, top_k, noise: 9, "from 0 to 7"),
        (check_stops, first_silence, "took a breath"),
        (check_stops, lambda loud, since, quiet: stop_of(loud, 0, quiet), "before anybody said"),
        (check_stops, lambda loud, since, quiet: since, "expected"),
        (check_stops, lambda loud, since, quiet: None, "but it is silent"),
    ],
)
def test_checkers_name_the_mistake(check, wrong, told):
    verdict = check(wrong)
    assert not verdict and told in verdict.message, verdict.message
    assert len(verdict.hints) == 3


@pytest.mark.parametrize(
    ("check", "right"),
    [(check_lateness, lateness), (check_ring, ring_of), (check_draw, draw_of), (check_stops, stop_of)],
)
def test_checkers_let_the_right_answer_pass(check, right):
    verdict = check(right)
    assert verdict, verdict.message
