"""Hook of `mkdocs build`: the pages at the root of the repository join those in ``docs``; links between them hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "examples/README.md": "examples.md",
}
"""Page at the root -> its name on the site. The README opens the home page."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that do not lie in ``docs``."""
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point links at the site's names; the home page begins with the README."""
    here = page.file.src_uri
    if here == "index.md":
        readme = (
            (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](").replace('"docs/', '"')
        )
        markdown = readme + "\n" + markdown
    up = "../" * here.count("/")
    if here in PAGES.values():
        markdown = markdown.replace("](docs/", "](")
    for source, name in PAGES.items():
        markdown = re.sub(rf"\]\((?:\.\./)*{re.escape(source)}\)", f"]({up}{name})", markdown)
    # Files of the repository that are no pages: told by name, not linked.
    markdown = re.sub(r"\[([^\]]+)\]\((?:\.\./)*README\.md\)", f"[\\1]({up}index.md)", markdown)
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)*(?:LICENSE|NOTICE|CLIP\.md)\)", r"\1", markdown)


def on_post_page(output: str, **_: Any) -> str:
    """The theme's search is a dialog without a name."""
    return output.replace(
        'data-md-component="search" role="dialog"',
        'data-md-component="search" role="dialog" aria-label="Search"',
    )


def on_post_template(output_content: str, **_: Any) -> str:
    """The page of what is not found is made of a template."""
    return on_post_page(output_content)
