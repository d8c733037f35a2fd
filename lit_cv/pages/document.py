"""Self-contained HTML pages: pictures are embedded, and the layout fits a phone.

Pages are jinja2 templates that extend ``document.html.jinja``. Texts in a page are escaped, unless they are ``Markup``.
"""

import base64
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent


@cache
def environment(*folders: Path) -> Environment:
    """Return an environment with the shared templates and those in ``folders``.

    Templates that extend ``document.html.jinja`` need the variables ``title`` (heading) and ``facts`` (line under the
    heading), and may set ``style`` (additional CSS), ``script`` (JavaScript that runs once the page is loaded) and
    ``refresh`` (seconds until the page reloads itself).
    """
    found = Environment(
        loader=FileSystemLoader([FOLDER, *folders]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.globals |= {"base_style": read_markup(FOLDER / "document.css"), "style": "", "script": "", "refresh": None}
    return found


def document(*, title: str, facts: str, body: str, style: str = "") -> str:
    """Return a whole page.

    Args:
        title: Heading, plain text.
        facts: Line under the heading, plain text.
        body: HTML below this line; it is not escaped.
        style: Additional CSS.
    """
    template = environment().get_template("document.html.jinja")
    return template.render(title=title, facts=facts, body=Markup(body), style=Markup(style))


def figure(data: bytes, kind: str, caption: str) -> Markup:
    """Return an embedded picture with its caption, as HTML.

    Args:
        data: Content of an image file.
        kind: ``png`` or ``jpeg``.
        caption: Plain text.
    """
    template = environment().get_template("figure.html.jinja")
    return Markup(template.module.figure(embedded(data, kind), caption))  # type: ignore[attr-defined]


def embedded(data: bytes, kind: str) -> str:
    """Return the address of a picture that is embedded into the page; ``kind`` is ``png`` or ``jpeg``."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def read_markup(file: Path) -> Markup:
    """Read CSS or JavaScript of the project, which a page contains unescaped."""
    return Markup(file.read_text(encoding="utf-8"))
