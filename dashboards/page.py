"""Renders a template to one HTML file that needs no other file, and writes it.

The content security policy allows the page's own scripts and styles, by their hashes, and no address except `data:`.
So text from a corpus or a run is never executed, and opening the page sends no network request. Vega evaluates its
expressions with its own interpreter (`ast`), which needs no `eval`.
"""

import base64
import functools
import hashlib
import html
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboards.errors import ReportError
from dashboards.text import typeset

__all__ = ["environment", "policy_of", "render", "write_page"]

STYLES = ("base", "results", "trust", "learning", "samples", "data", "print")
SCRIPTS = ("charts", "tables", "players", "replay", "folds", "theme")


def render(
    template: str,
    content: Mapping[str, object],
    *,
    styles: Sequence[str] = STYLES,
    scripts: Sequence[str] = SCRIPTS,
    served: bool = False,
) -> str:
    """Render a template; every value in `content` is escaped.

    Args:
        template: file name in `templates/`; the template extends `base.html.j2`.
        content: the template's variables.
        styles: names of files in `templates/css/`.
        scripts: names of files in `templates/js/`; Vega is included with `charts`.
        served: whether the page may load data and sound from the server it came from.
    """
    style = "\n".join(_read(f"css/{name}.css") for name in styles)
    texts = [_read(f"js/{name}.js") for name in scripts]
    if "charts" in scripts:
        texts.insert(0, _vega_runtime())
    policy = _policy(texts, style, served)
    return environment().get_template(template).render(policy=policy, style=style, scripts=texts, **content)


def environment() -> Environment:
    """The template environment: values are escaped, and a missing variable is an error."""
    made = Environment(
        loader=PackageLoader("dashboards"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["typeset"] = typeset
    return made


def _read(name: str) -> str:
    return (files("dashboards") / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def _vega_runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script, in the version that altair writes specifications for."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)


def policy_of(page: str) -> str:
    """The content security policy of a page made by `render`, for the header of the server that sends it."""
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    return html.unescape(found[1])


def _policy(scripts: Sequence[str], style: str, served: bool) -> str:
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_source_hash, scripts)),
        "style-src": _source_hash(style),
        "img-src": "data:",
        "media-src": "data: 'self'" if served else "data:",
        **({"connect-src": "'self'"} if served else {}),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _source_hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def write_page(html: str, out: Path) -> None:
    """Write a page to `out`; its directory is created.

    Raises:
        ReportError: `out` cannot be written; it is then left as it was.
    """
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial") if out.name else out
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(html, encoding="utf-8")
            # Rename at the end: a reader sees the old page or the new one, never half of one.
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ReportError(
            f"{out}: cannot be written ({error.strerror}); choose a directory you can write to"
        ) from error
