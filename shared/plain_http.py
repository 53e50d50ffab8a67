"""What an HTTP client needs that never speaks TLS."""

import ssl

PLAIN_HTTP = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of an httpx client. It trusts nobody, so HTTPS fails.

By default every client reads all public authorities: 20 ms of a core, too much for what is asked
ten times a second.
"""
