"""The Assistants v2 API on any model or pipeline of the gateway, with runs that survive their process.

    routes -> requests -> runs (engine) -> store
                             |-> search

`objects/` is what the API shows, `store/` keeps it, `runs/` brings a run to its end, `search/` is file_search.
"""
