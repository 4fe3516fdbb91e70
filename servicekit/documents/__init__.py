"""Documents for retrieval: bytes -> text and pages -> chunks -> rankings. Pure; parsing belongs in a thread."""
