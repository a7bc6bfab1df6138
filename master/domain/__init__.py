"""The deciding core: pure functions and frozen data, standard library only.

Start with `domain/seats/decide_seats.py`: it decides which seats a PBX may hold. It reads the estate
(`domain/estate/estate.py`) in the terms of a catalog (`domain/catalog/catalog.py`), counts in a working set
(`domain/seats/seat_working_set.py`), and explains every refusal (`domain/seats/refusals/explanations.py`). Nothing in
here does I/O, looks at a clock or logs: time and data are handed in, so that `explain` and a plan run the same code on
a copy.
"""
