"""A panel for notebook 03: look at a sound through windows of any length."""

import ipywidgets
from IPython.display import clear_output, display
from torch import Tensor

from .sound_plots import spectrograms
from .widgets import Panel


def window_panel(wav: Tensor, rate: int) -> Panel:
    """A slider for the length of the window through which the spectrogram of the sound (T,) is made."""
    lengths = [2**power for power in range(5, 14)]
    slider = ipywidgets.SelectionSlider(options=lengths, value=1024, description="window")
    output = ipywidgets.Output()

    def moved(change):
        with output:
            clear_output(wait=True)
            rows, lasts = rate / change["new"], 1000 * change["new"] / rate
            title = f"rows {rows:.1f} Hz apart, a window lasts {lasts:.1f} ms"
            display(spectrograms({title: (wav, rate, change["new"])}))

    slider.observe(moved, names="value")
    return Panel((slider,), output, "Here is a slider for the window's length when the notebook runs with a kernel.")
