"""From a study to one HTML page that needs nothing but itself.

The content security policy admits the page's own scripts and styles by their hash and no other, and no
address at all but `data:`; so nothing that came from a corpus or a run can be executed, and opening the page
asks the network for nothing. Vega evaluates its expressions with its interpreter (`ast`), which needs no
`eval`.
"""

import base64
import functools
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

from dashboards.text import typeset

__all__ = ["environment", "policy_of", "render"]

TEMPLATES = files("dashboards") / "templates"


STYLES = ("base", "ahead", "trust", "learning", "samples", "data", "print")
SCRIPTS = ("charts", "tables", "players", "replay", "folds", "theme")


def render(
    template: str,
    content: Mapping[str, object],
    *,
    styles: Sequence[str] = STYLES,
    scripts: Sequence[str] = SCRIPTS,
    served: bool = False,
) -> str:
    """Fill a template; every value in `content` is escaped on the way.

    Args:
        template: the file's name in `templates/`; it extends `base.html.j2`.
        content: what it shows.
        styles: names of the files in `templates/css/` that it takes.
        scripts: names of those in `templates/js/`; Vega comes with `charts` alone.
        served: whether it may ask the server that it came from for data and sound; a page on disk asks nobody.
    """
    style = "\n".join(_text(f"css/{name}.css") for name in styles)
    texts = [_text(f"js/{name}.js") for name in scripts]
    if "charts" in scripts:
        texts.insert(0, _vega_runtime())
    return (
        environment()
        .get_template(template)
        .render(
            policy=_policy(texts, style, served),
            style=style,
            scripts=texts,
            **content,
        )
    )


def environment() -> Environment:
    """Of the templates: every value is escaped, a missing one is an error."""
    made = Environment(
        loader=PackageLoader("dashboards"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["typeset"] = typeset
    return made


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def _vega_runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `vegaEmbed`.

    The version is the one that altair writes specifications for.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)


def policy_of(page: str) -> str:
    """The content security policy of a page that `render` made, for the header of the server that sends it."""
    found = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert found is not None
    return html.unescape(found[1])


def _policy(scripts: list[str], style: str, served: bool) -> str:
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
