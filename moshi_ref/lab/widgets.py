"""Panels for notebook 00: ask a question of the small world, or with a recording of one's own.

A panel needs a running kernel. On a page without one, a sentence stands in its place.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import ipywidgets
from IPython.display import clear_output, display
from torch import Tensor

from ..audio import read_audio
from ..corpus.small_world import DIGITS, TOPICS, Exchange, exchange

Ask = Callable[[Exchange, str], None]  # the question and the name of the voice
Listen = Callable[[Tensor], None]  # a sound (T,) at 24 kHz


class Panel:
    """Widgets in a row, with their output below; a note says what they are where widgets cannot live."""

    def __init__(self, children: Sequence[ipywidgets.Widget], output: ipywidgets.Widget, note: str):
        row = ipywidgets.HBox(children, layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.children, self.output, self.note = children, output, note
        self.box = ipywidgets.VBox([row, output])

    def _repr_mimebundle_(self, **kwargs) -> dict:
        return {**self.box._repr_mimebundle_(**kwargs), "text/plain": self.note,
                "text/html": f"<p><i>{self.note}</i></p>"}  # fmt: skip


def question_panel(ask: Ask, voices: Sequence[str]) -> Panel:
    """Choose a topic, two digits and a voice; the button calls ask(exchange, voice), which shows the rest."""
    topic = ipywidgets.Dropdown(options=TOPICS, description="topic")
    digits = list(zip(DIGITS, range(10), strict=True))
    first = ipywidgets.Dropdown(options=digits, value=2, description="first")
    second = ipywidgets.Dropdown(options=digits, value=6, description="second")
    voice = ipywidgets.Dropdown(options=voices, description="voice")
    button = ipywidgets.Button(description="Ask", button_style="primary")
    output = ipywidgets.Output()

    def clicked(_):
        with _busy(button), output:
            clear_output()
            try:
                about = exchange(topic.value, first.value, second.value)
            except ValueError as error:
                print(error)
            else:
                ask(about, voice.value)

    button.on_click(clicked)
    note = "Here is a panel (topic, two digits, voice, a button) when the notebook runs with a kernel."
    return Panel((topic, first, second, voice, button), output, note)


def recording_panel(listen: Listen) -> Panel:
    """Upload a sound file; the button calls listen(wav), which displays the rest."""
    upload = ipywidgets.FileUpload(accept=".wav,.flac,.ogg,.mp3", multiple=False, description="recording")
    button = ipywidgets.Button(description="Ask", button_style="primary")
    output = ipywidgets.Output()

    def clicked(_):
        with _busy(button), output:
            clear_output()
            if not upload.value:
                print("choose a sound file first (WAV, FLAC, OGG or MP3)")
                return
            try:
                wav, notes = read_upload(upload.value[0])
            except ValueError as error:
                print(error)
                return
            print("; ".join(notes) or "24 kHz, one channel: nothing to change")
            listen(wav)

    button.on_click(clicked)
    note = "Here is an upload button for a sound file when the notebook runs with a kernel."
    return Panel((upload, button), output, note)


def read_upload(file) -> tuple[Tensor, list[str]]:
    """An uploaded file, a mapping with name and content, as sound (T,) at 24 kHz; errors as `read_audio`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(file["name"]).name
        path.write_bytes(bytes(file["content"]))
        return read_audio(path)


class _busy:
    """The button cannot be pressed again while its answer is being computed."""

    def __init__(self, button: ipywidgets.Button):
        self.button = button

    def __enter__(self):
        self.button.disabled = True

    def __exit__(self, *_):
        self.button.disabled = False


class Live:
    """A picture that is replaced while a conversation goes on: the `watch` of `conversation.hold`."""

    def __init__(self, draw: Callable):
        self.draw = draw

    def __call__(self, conversation) -> None:
        clear_output(wait=True)
        display(self.draw(conversation))
