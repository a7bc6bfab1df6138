"""Why a seat is refused: the closed list of reasons, what each says, and which it is where nothing is free.

Here belongs what chooses words and numbers for a "no" that was found elsewhere. Whether a seat is granted is decided in
`decide_seats.py`; what would help is found in `domain/remedies`.
"""
