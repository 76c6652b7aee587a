"""Templates of pages, in which whatever a file says is text.

What a template prints is escaped: markup as everywhere (autoescape), and control characters and
those that turn a line around as `softlab_cli.core.text` shows them. Names stand in a ``<bdi>``
each, so that right-to-left ones turn nothing beside them. A page may run one script, this
package's own, and load nothing: its policy says so to the browser.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from softlab_cli.core.extras import require
from softlab_cli.core.text import printable, shown

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["check_packages", "page_environment", "render", "stream", "trusted"]

PROBLEM = "a page needs jinja2 and Pillow."


def check_packages() -> None:
    """Raise `PackageError` unless jinja2, Pillow and what draws outlines are there."""
    with require("jinja2", extra="plot", problem=PROBLEM):
        import jinja2  # noqa: F401
    with require("PIL", extra="plot", problem=PROBLEM):
        import PIL  # noqa: F401
    with require("contourpy", extra="plot", problem="outlines need matplotlib."):
        import contourpy  # noqa: F401


@lru_cache(1)
def page_environment() -> Environment:
    """The templates of this package, as the module says.

    Filters for templates: ``name`` for a name from a file, ``lines`` for a text of several
    lines in a ``<pre>``.

    Raises
    ------
    PackageError
        Without jinja2.
    """
    with require("jinja2", extra="plot", problem=PROBLEM):
        from jinja2 import Environment, PackageLoader, StrictUndefined
    environment = Environment(
        loader=PackageLoader("softlab_cli.report.page", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printed,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"name": _name, "lines": _lines}
    script = _own_text("page.js")
    environment.globals |= {
        "style": trusted(_own_text("page.css")),
        "script": trusted(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return environment


def render(template: str, **content: Any) -> str:
    """A template of this package, filled in.

    Parameters
    ----------
    template
        Name of its file.
    **content
        What it shows.
    """
    return page_environment().get_template(template).render(**content)


def stream(template: str, **content: Any) -> Iterator[str]:
    """The same in pieces, so that a large page is never held whole."""
    return page_environment().get_template(template).generate(**content)


def _own_text(name: str) -> str:
    return (files("softlab_cli.report.page") / "templates" / name).read_text(encoding="utf-8")


def trusted(text: str) -> Markup:
    """Markup of this package's own making, which is printed as it is."""
    from markupsafe import Markup

    return Markup(text)


def _printed(value: Any) -> Any:
    """What is shown of a value; markup of ours stays as it is, and None shows nothing."""
    if value is None:
        return ""
    return value if hasattr(value, "__html__") else shown(value)


def _name(text: object) -> Markup:
    from markupsafe import Markup, escape

    return Markup("<bdi>{}</bdi>").format(escape(shown(text)))


def _lines(text: object) -> Markup:
    from markupsafe import escape

    return escape(printable(text))
