"""Pages as one HTML file that needs nothing beside it: pictures are embedded, and it can be read on a phone."""

import base64
from html import escape

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 auto; padding: 1rem; }
body { max-width: 72rem; }
h1 { font-size: 1.4rem; margin: 0.5rem 0; }
.facts { color: #555; }
img { max-width: 100%; height: auto; }
figure { margin: 1.5rem 0; }
figcaption, .notes { color: #555; font-size: 0.9rem; }
"""


def document(*, title: str, facts: str, body: str, style: str = "") -> str:
    """The whole page.

    Args:
        title: heading.
        facts: the line under the heading.
        body: HTML below it.
        style: further CSS.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p class="facts">{escape(facts)}</p>
{body}
</body>
</html>
"""


def figure(data: bytes, kind: str, caption: str) -> str:
    """An embedded picture with its caption.

    Args:
        data: the content of an image file.
        kind: `png` or `jpeg`.
        caption: plain text.
    """
    text, content = escape(caption), base64.b64encode(data).decode()
    image = f'<img alt="{text}" src="data:image/{kind};base64,{content}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>\n"
