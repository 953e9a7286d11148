"""From a study to one HTML page that needs nothing but itself.

The content security policy admits the page's own scripts and styles by their hash and no other, and no
address at all but `data:`; so nothing that came from a corpus or a run can be executed, and opening the page
asks the network for nothing. Vega evaluates its expressions with its interpreter (`ast`), which needs no
`eval`.
"""

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib.resources import files

import altair as alt
import vl_convert
from jinja2 import Environment, PackageLoader, StrictUndefined

__all__ = ["render"]

TEMPLATES = files("dashboards") / "templates"


STYLES = ("base", "ahead", "trust", "learning", "samples", "data", "print")
SCRIPTS = ("charts", "tables", "players", "replay", "theme")


def render(template: str, content: Mapping[str, object]) -> str:
    """Fill a template; every value in `content` is escaped on the way.

    Args:
        template: the file's name in `templates/`; it extends `base.html.j2`.
        content: what it shows.
    """
    environment = Environment(
        loader=PackageLoader("dashboards"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "\n".join(_text(f"css/{name}.css") for name in STYLES)
    scripts = [_vega_runtime(), *(_text(f"js/{name}.js") for name in SCRIPTS)]
    return environment.get_template(template).render(
        policy=_policy(scripts, style),
        style=style,
        scripts=scripts,
        **content,
    )


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


@functools.cache
def _vega_runtime() -> str:
    """Vega, Vega-Lite and vega-embed as one script that defines `vegaEmbed`.

    The version is the one that altair writes specifications for.
    """
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", version)


def _policy(scripts: list[str], style: str) -> str:
    allowed = {
        "default-src": "'none'",
        "script-src": " ".join(map(_source_hash, scripts)),
        "style-src": _source_hash(style),
        "img-src": "data:",
        "media-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _source_hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
