#!/bin/sh
# Debian's tools for the tests: real exporters, PostgreSQL, a browser, Prometheus' checker. Installed
# where root and apt allow; the tests that need a missing one skip and say so.
missing=
command -v softflowd >/dev/null || [ -x /usr/sbin/softflowd ] || missing="$missing softflowd"
command -v pmacctd >/dev/null || [ -x /usr/sbin/pmacctd ] || missing="$missing pmacct"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null ||
  missing="$missing postgresql"
command -v "${STEADFLOW_TEST_CHROMIUM:-chromium}" >/dev/null || missing="$missing chromium"
# The checker alone, out of its package: installed, that would start a server.
promtool=${XDG_CACHE_HOME:-$HOME/.cache}/steadflow/promtool
if ! command -v promtool >/dev/null && [ ! -x "$promtool" ] && command -v apt-get >/dev/null; then
  folder=$(mktemp -d)
  (cd "$folder" &&
    { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } &&
    dpkg-deb -x prometheus_*.deb . && mkdir -p "${promtool%/*}" && mv usr/bin/promtool "$promtool"
  ) >/dev/null 2>&1 ||
    echo "NOT INSTALLED (apt-get download prometheus): promtool; its tests will be skipped" >&2
  rm -rf "$folder"
fi
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "NOT INSTALLED (needs root and apt):$missing; the tests that need them will be skipped" >&2
  exit 0
fi
echo "installing for the tests:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # one word per package
{ apt-get update -qq && apt-get install -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
  echo "NOT INSTALLED (apt-get failed):$missing; the tests that need them will be skipped" >&2
exit 0
