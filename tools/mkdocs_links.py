"""Links of the documentation that lead out of `docs/`, for the site, which has nothing else.

On the repository's own pages `[layouts](../../examples/gitops)` is a link; on the site it becomes
words and a path. A path that is not there fails the build.
"""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#\s]+)\)")


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page."""
    here = Path(page.file.abs_src_path).parent

    def told(link: re.Match[str]) -> str:
        words, target = link[1], (here / link[2]).resolve()
        if not target.exists():
            raise FileNotFoundError(f"{page.file.src_path}: {link[2]} is not there")
        if target.is_relative_to(ROOT / "docs") and not target.is_relative_to(ROOT / "docs/gitops"):
            return link[0]
        path = f"`{target.relative_to(ROOT)}`"
        return path if words.strip("`") == path.strip("`") else f"{words} ({path})"

    return _LINK.sub(told, markdown)
