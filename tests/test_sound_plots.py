"""The pictures of sounds and of convolutions, and what they measure."""

import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from moshi_ref import Word
from moshi_ref.lab import sound_plots
from moshi_ref.lab.sound_widgets import window_panel

RATE, SIZE = 24_000, 1920


@pytest.fixture
def wav():
    return 0.1 * torch.randn(12 * SIZE)


def assert_picture(figure):
    assert isinstance(figure, Figure)
    png = figure._repr_png_()
    assert png.startswith(b"\x89PNG") and len(png) < 200_000


def tone(hertz, amplitude=1.0):
    return amplitude * torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE)


def test_decibels():
    assert sound_plots.decibels(torch.ones(10)) == 0
    assert sound_plots.decibels(tone(440)) == pytest.approx(-3.01, abs=0.01)
    assert sound_plots.decibels(tone(440, 0.1)) == pytest.approx(-23.01, abs=0.01)
    assert sound_plots.decibels(torch.zeros(10)) == pytest.approx(-120)


@pytest.mark.parametrize("window", [256, 1024])
def test_the_spectrogram_reads_the_level_and_the_frequency_of_a_tone(window):
    row = 32  # a frequency that fits into the window
    levels = sound_plots.spectrogram(tone(row * RATE / window, 0.5), window, hop=240)
    assert levels.shape == (window // 2 + 1, RATE // 240 + 1)
    middle = levels[:, 50]
    assert int(middle.argmax()) == row and float(middle[row]) == pytest.approx(-6.02, abs=0.05)
    assert float(middle[row + 4]) < -60


def test_pictures_of_sounds(wav):
    words = [Word("one", 0.1, 0.3)]
    assert_picture(sound_plots.three_zooms(wav, RATE, words, at=0.2))
    assert_picture(sound_plots.spectrograms({"a": (wav, RATE, 256), "b": (wav[::6], RATE // 6, 64)}, marks=[0.08]))
    assert_picture(sound_plots.same_samples(8000, 5000, 3000))
    bands, mel = torch.eye(80, 1025), torch.rand(80, 100)
    assert_picture(sound_plots.mel_figure(torch.linspace(0, 12000, 1025), bands, (5, 60), mel, 1.0))
    assert_picture(sound_plots.click_figure(wav, F.pad(wav[:-1], (1, 0)), RATE, SIZE))
    assert_picture(sound_plots.stages({"sound": wav[None], "latent": torch.randn(40, 25)}, 1.0))
    speech = sound_plots.sound_and_spectrogram(wav, RATE, words)
    assert isinstance(speech, Figure) and speech._repr_png_()


def test_pictures_of_convolutions():
    assert_picture(sound_plots.influences({"a": torch.eye(8), "b": torch.ones(8, 8).tril()}))
    assert_picture(sound_plots.connections({"a": [(3, 1, 1)] * 2, "b": [(3, 2, 1)] * 2}))
    assert_picture(sound_plots.overlaps({"a": (torch.ones(4, 5), 4), "b": (torch.ones(4, 8), 4)}))
    assert_picture(sound_plots.reach(torch.linspace(-300, 20, 500), torch.rand(500), -290.0, 80.0))
    x = torch.arange(4)
    assert_picture(sound_plots.curves({"a": (x, x + 1), "b": (x, x + 2)}, "x", "y", logarithmic=True))


@pytest.mark.parametrize("layers, seen", [
    ([(3, 1, 1)] * 3, 7),
    ([(3, 1, 1), (3, 1, 2), (3, 1, 4)], 15),
    ([(3, 2, 1)] * 3, 15),
    ([(4, 2, 1)], 4),
    ([(1, 1, 1)], 1),
])  # fmt: skip
def test_the_picture_of_connections_counts_what_is_seen(layers, seen):
    figure = sound_plots.connections({"a": layers, "b": layers})
    assert figure.axes[0].get_title(loc="left") == f"a: {seen} inputs"


def test_the_panel_for_the_window_draws(wav):
    panel = window_panel(wav, RATE)
    panel.children[0].value = 256
    assert "kernel" in panel.note
