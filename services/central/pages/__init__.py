"""The web pages, read-only, on the central's own HTTP server.

`view` is what a URL says, `panels` what a page shows, `desk` how it asks, `frame` what all pages
share; `units`, `buckets`, `charts`, `tables` are functions on values.
"""
