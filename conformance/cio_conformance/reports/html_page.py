"""What the HTML pages share: one file that needs no other, in which nothing but the page's own
script runs.
"""

from html import escape
from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).parent / "pages"
_STYLE: Final = (PAGES / "page.css").read_text("utf-8")


def text(value: object) -> str:
    """A value as text in an element or a quoted attribute; nothing in it is markup."""
    return escape(str(value))


def write_page(path: Path, title: str, body: str, name: str) -> None:
    """Write a page with the style and the script of ``pages/NAME.css`` and ``pages/NAME.js``.

    ``body`` is HTML. Raises OSError.
    """
    style = (PAGES / f"{name}.css").read_text("utf-8")
    script = (PAGES / f"{name}.js").read_text("utf-8")
    path.write_text(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>
{_STYLE}{style}</style>
</head>
<body>
{body}
<script>
{script}</script>
</body>
</html>
""",
        "utf-8",
        "backslashreplace",
    )
