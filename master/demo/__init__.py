"""`license-master demo`: a live estate that shows what the license master does when things go wrong.

`script.py` is what happens, `screen.py` what is seen of it; `kamailio.py` is the one with a real PBX.
"""
