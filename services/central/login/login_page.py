"""The page to log in: plain HTML, which works without a script and without a connection."""

from html import escape

from fastapi.responses import HTMLResponse

NO_ACCOUNT = (
    "No password was set yet. On the machine where it runs: <code>steadflow user password</code>"
)


def login_page(
    *, head: str, central: str, there: str, account: str = "", sentence: str = "",
    has_accounts: bool = True, status: int = 200,
) -> HTMLResponse:  # fmt: skip
    """Return the page.

    head: HTML of ours, its style sheets. there: where to go afterwards. sentence: what was wrong.
    """
    wrong = f'<p class="sf-wrong" role="alert">{escape(sentence)}</p>' if sentence else ""
    empty = "" if has_accounts else f'<p class="sf-hint">{NO_ACCOUNT}</p>'
    return HTMLResponse(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in · steadflow</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{head}</head>
<body class="nicegui-layout"><header class="sf-top"><div class="sf-bar">
<a class="sf-brand" href="/"><b>steadflow</b></a><span class="sf-grow"></span>
<span class="sf-central">{escape(central)}</span></div></header>
<main class="sf-main"><form class="sf-panel sf-login" method="post" action="/login">
<h1>Log in</h1>{empty}
<label>Account <input name="account" value="{escape(account or "admin")}" autocomplete="username"
 autocapitalize="none" spellcheck="false" required maxlength="64"></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required
 maxlength="256" autofocus></label>
<input type="hidden" name="next" value="{escape(there)}">{wrong}
<button type="submit" class="sf-button sf-strong">Log in</button>
</form></main></body></html>""",
        status,
    )


def safe_target(text: str) -> str:
    """Return where to go after a login: a path of this server, whatever was asked for."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\", "/login", "/logout"))
    return text if is_path and text.isprintable() and len(text) <= 2_000 else "/"
