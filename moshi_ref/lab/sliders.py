"""A slider that shows one of several pictures or sounds that were made before."""

import base64
from collections.abc import Mapping

import ipywidgets

from .figures import Picture
from .players import Player
from .widgets import Panel


def slider(label: str, shown: Mapping[int, Picture | Player]) -> Panel:
    """Choose one of the keys of `shown`; what belongs to it stands below."""
    choice = ipywidgets.SelectionSlider(options=list(shown), description=label, style={"description_width": "initial"})
    page = ipywidgets.HTML(_html(shown[choice.value]))

    def changed(_):
        page.value = _html(shown[choice.value])

    choice.observe(changed, names="value")
    note = f"Here is a slider ({label}: {', '.join(map(str, shown))}) when the notebook runs with a kernel."
    return Panel((choice,), page, note)


def _html(item: Picture | Player) -> str:
    if isinstance(item, Player):
        return item._repr_html_()
    return f'<img src="data:image/png;base64,{base64.b64encode(item._repr_png_()).decode()}">'
