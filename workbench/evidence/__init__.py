"""Evidence: records that were kept, sealed, checked, disclosed, and held against their source.

`verify.py` is the reference of how a bag is checked, and goes into every bag: it needs nothing but
Python.  `check` does the same faster.
"""
