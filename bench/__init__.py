"""`make bench`: what steadflow costs, beside other collectors, on this machine."""
