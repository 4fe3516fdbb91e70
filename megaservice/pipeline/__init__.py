"""Pipelines as data: YAML -> spec -> dag, pure, with every problem reported at once."""
