"""A Django application whose migrations alter, fill and constrain one table."""
