"""The command line: one file per family of commands. Only this package prints.

`up`, `down`, `status` and `logs` have seconds to live: they import neither comps nor FastAPI nor pydantic.
"""
