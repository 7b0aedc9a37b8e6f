"""Attention patterns to hover over: tables that need no kernel and no script, so that a saved page has them too."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

DARK = (31, 78, 121)  # the shade of weight 1
STYLE = (
    "<style>.patterns table{border-collapse:collapse;margin:0 18px 12px 0}.patterns td,.patterns th{padding:0;"
    "border:0;font:11px sans-serif;color:inherit}.patterns th{font-weight:normal;text-align:right;padding-right:4px;"
    "white-space:pre}.patterns td{width:15px;height:15px;min-width:15px}.patterns tr:hover th{font-weight:bold}"
    ".patterns td:hover{outline:2px solid #b45f06}</style>"
)


@dataclass(frozen=True)
class Patterns:
    """Which token looks at which, one table for each head. A row is the token that looks. Rest the pointer on a cell:
    it says how much of the row's weight goes to the cell's token."""

    weights: Mapping[str, Tensor]  # (T, T) each; rows add up to 1, nothing above the diagonal
    pieces: Sequence[str]

    def _repr_html_(self) -> str:
        tables = "".join(self._table(name, matrix.tolist()) for name, matrix in self.weights.items())
        return f'{STYLE}<div class="patterns" style="display:flex;flex-wrap:wrap">{tables}</div>'

    def __repr__(self) -> str:
        return f"attention patterns of {', '.join(self.weights)} over {len(self.pieces)} tokens"

    def _table(self, name: str, matrix: list[list[float]]) -> str:
        shown = [html.escape(piece.replace(" ", "_"), quote=True) for piece in self.pieces]
        rows = []
        for query, row in enumerate(matrix):
            cells = "".join(
                f'<td style="background:{shade(weight)}" title="{weight:.0%}: {shown[query]} → {shown[key]}"></td>'
                for key, weight in enumerate(row[: query + 1])
            )
            rows.append(f"<tr><th>{shown[query]}</th>{cells}</tr>")
        return f"<div><b>{html.escape(name)}</b><table>{''.join(rows)}</table></div>"


def shade(weight: float) -> str:
    """A colour from nearly white, for 0, to dark blue, for 1."""
    return "#" + "".join(f"{round(244 + weight * (dark - 244)):02x}" for dark in DARK)


def patterns(weights: Mapping[str, Tensor], pieces: Sequence[str]) -> Patterns:
    """Tables of attention weights (T, T), named, over T pieces of text.

    Raises ValueError for weights that are no such matrix, or that look at the future.
    """
    count = len(pieces)
    for name, matrix in weights.items():
        if tuple(matrix.shape) != (count, count):
            raise ValueError(f"{name}: expected weights {(count, count)} for {count} pieces, got {tuple(matrix.shape)}")
        if matrix.triu(1).any():
            raise ValueError(f"{name}: a token looks at a later one, which this table does not show")
    return Patterns(weights, pieces)
