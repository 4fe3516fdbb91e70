"""The ways to write a pipeline; each becomes a `PipelineSpec`."""
