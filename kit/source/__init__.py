"""Cells as they were executed, and the statements of them that a handler needs."""
