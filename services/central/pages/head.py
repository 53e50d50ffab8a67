"""What every page loads of ours: style sheets and a script, by addresses that change with them."""

from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).parent / "static"
ASSETS = "/_steadflow"
_STYLES = ("steadflow.css", "detail.css", "failover.css", "login.css")


def page_head() -> str:
    """Return our style sheets and script as HTML."""

    def asset(name: str) -> str:
        digest = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
        return f"{ASSETS}/{name}?{digest}"

    styles = "".join(f'<link rel="stylesheet" href="{asset(name)}">' for name in _STYLES)
    script = f'<script src="{asset("steadflow.js")}"></script>'
    return f'<meta name="referrer" content="same-origin">{styles}{script}'
