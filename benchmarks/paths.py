"""The routes that everybody in a run agrees on; the gateways' are those of compose/pipelines."""

CHAT_PATH = "/v1/chat/completions"
GRADE_PATH = "/v1/chat"
UPSTREAM_CHAT_PATH = "/v1/chat/completions"
UPSTREAM_GRADE_PATH = "/v1/grade"
