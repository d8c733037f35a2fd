"""Self-contained HTML pages: pictures are embedded, and the layout fits a phone."""

import base64
from html import escape

_STYLE = """
:root { color-scheme: light dark; --text: #222; --faint: #595959; --ground: #fff; --line: #ddd; --link: #0058a3; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --faint: #a5a5a5; --ground: #17191c; --line: #3a3d42; --link: #7dbbf0; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 0 auto; }
body { max-width: 72rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0.5rem 0; }
a { color: var(--link); }
.facts { color: var(--faint); }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption, .notes { color: var(--faint); font-size: 0.9rem; }
"""


def document(
    *, title: str, facts: str, body: str, style: str = "", script: str = "", refresh: int | None = None
) -> str:
    """Return the whole page.

    Args:
        title: Heading.
        facts: Line under the heading.
        body: HTML below this line.
        style: Additional CSS.
        script: JavaScript that runs once the page is loaded.
        refresh: Seconds until the page reloads itself; never by default.
    """
    again = f'<meta http-equiv="refresh" content="{refresh}">\n' if refresh else ""
    run = f"<script>\n{script}</script>\n" if script else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="facts">{escape(facts)}</p>
{body}
{run}</body>
</html>
"""


def figure(data: bytes, kind: str, caption: str) -> str:
    """Return an embedded picture with its caption.

    Args:
        data: Content of an image file.
        kind: ``png`` or ``jpeg``.
        caption: Plain text.
    """
    return linked_figure(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", caption)


def linked_figure(address: str, caption: str) -> str:
    """Return a linked picture with its caption."""
    text = escape(caption)
    image = f'<img alt="{text}" src="{escape(address)}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>\n"
