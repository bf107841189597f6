"""Massive (formerly Polygon): its WebSocket protocol, spoken by a lean client of our own."""
