"""The package's own source on the page: read from the file at run time, never copied into a notebook."""

import inspect
from pathlib import Path

from IPython.display import HTML
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

PACKAGE = Path(__file__).resolve().parents[1]


def show_source(*objects) -> HTML:
    """Functions, methods, classes or modules of `moshi_ref`, highlighted, with file name and line numbers.

    Raises ValueError for what does not come from this package's files.
    """
    return HTML("".join(_listing(item) for item in objects))


def _listing(item) -> str:
    item = inspect.unwrap(item) if callable(item) else item  # the function itself, not its decorator's wrapper
    try:
        path = Path(inspect.getsourcefile(item)).resolve()
        lines, first = inspect.getsourcelines(item)
    except TypeError as error:
        raise ValueError(f"expected something defined in moshi_ref, got {item!r}") from error
    if not path.is_relative_to(PACKAGE):
        raise ValueError(f"expected something defined in moshi_ref, got {item!r} of {path.name}")
    first = max(1, first)  # a module's lines are said to begin at 0
    name = path.relative_to(PACKAGE.parent).as_posix()
    formatter = HtmlFormatter(
        noclasses=True, style="default", linenos="inline", linenostart=first,
        cssstyles="background:#f8f8f8;color:#222;padding:6px;overflow-x:auto;line-height:1.35",
        prestyles="margin:0;background:#f8f8f8;color:#222",
    )  # fmt: skip
    code = highlight(inspect.cleandoc("\n" + "".join(lines)), PythonLexer(), formatter)
    return f"<div><code>{name}</code>, lines {first} to {first + len(lines) - 1}</div>{code}"
