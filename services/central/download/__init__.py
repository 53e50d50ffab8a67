"""This release at `/download`, for machines that get it from here: it is code, and no secret."""
