"""The grader: judges a candidate against its source, by rules first and then by a model of its own.

`python -m microservices.grader` serves `POST /v1/grade` on port 9003. The road of a request:
routes.py (HTTP) -> judging.py (the order of things) -> evidence.py (what needs no model) -> rubric.py (how the
model is asked) -> judgement.py (what its answer is worth).
"""
