"""The license master: lends a project's seats to its slave PBXs. Start reading at `domain/seats/decide_seats.py`."""
