"""The registry: ticks, claims for whom policy wants, and the answers about roles over HTTP."""
