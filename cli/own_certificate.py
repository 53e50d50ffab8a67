"""A certificate of the user's own for the centrals' HTTPS, as the environment names it."""

import os
from pathlib import Path

from shared.tls import HTTPS_CA, last_certificate
from shared.tls.files import read_pem
from shared.tls.writing import FOR_ALL, write_whole

VARIABLE = "STEADFLOW_CENTRAL_HTTPS_CERTIFICATE"


def note_own_certificate(tls_dir: Path) -> None:
    """Keep whom processes and commands of this home have to believe by HTTPS; else nobody more.

    Raises TlsError for a certificate that cannot be read.
    """
    file, own = tls_dir / HTTPS_CA, os.environ.get(VARIABLE)
    if own:
        write_whole(file, last_certificate(read_pem(Path(own))), mode=FOR_ALL)
    else:
        file.unlink(missing_ok=True)
