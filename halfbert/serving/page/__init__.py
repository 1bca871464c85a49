"""The page at GET /: one document with a style and a script of its own, which needs no network but this server."""

from halfbert.serving.page.routes import add_routes

__all__ = ["add_routes"]
