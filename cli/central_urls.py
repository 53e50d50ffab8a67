"""Where the centrals of a system answer a command of this home, and how they are believed."""

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli.client import CentralAddress
from cli.network import tls_dir
from shared.plain_http import PLAIN_HTTP
from shared.tls import TlsFiles, https_client_context


def central_urls(
    nodes: Iterable[Mapping[str, Any]], noted: Iterable[CentralAddress]
) -> dict[str, str]:
    """Return the URL of each central by its name.

    nodes: as `GET /api/v1/cluster` lists them. noted: the centrals of this home by its launcher:
    they answer on loopback, whatever others are told.
    """
    told = {str(node["name"]): str(node["url"]) for node in nodes if node["url"]}
    return told | {each.name: each.url for each in noted}


def context_for(home: Path, urls: Iterable[str]) -> ssl.SSLContext:
    """Return what a client of `urls` verifies by: this home's certificate where one is HTTPS.

    Raises TlsError.
    """
    if not any(url.startswith("https:") for url in urls):
        return PLAIN_HTTP
    return https_client_context(TlsFiles.in_directory(tls_dir(home)))
