"""Checks of a whole pipeline: made on all that could be read, and silent about what only follows."""

from __future__ import annotations

from textwrap import dedent

import pytest

from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.problems import PipelineError


def _problems(text: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        parse_pipeline(dedent(text), "p.yaml", {})
    return [problem.removeprefix("p.yaml:") for problem in caught.value.problems]


def test_checks_are_all_made_though_keys_are_wrong() -> None:
    """A wrong key hides nothing, neither in its own node nor in others."""
    assert _problems("""\
        opea_micro_services:
          llm: {endpoint: 'http://a:90030/', inputs: {text: 'reqest.text'}, fallback: spar}
          judge: {endpoint: 'http://a:1/', service_type: gradr}
          grader: {endpoint: 'http://0.0.0.0:1/', replicas: ['http://a:2/', nowhere], modle: x, attach: {as: usage}}
          other:
            endpoint: http://a:3/
            service_type: grader
            timeouts: {idle_seconds: 0}
            inputs: {candidat: llm.text, source: judge.text}
            attach: {as: verdict, fields: [scor, feedback]}
          third: {endpoint: 'http://a:4/', service_type: grader, attach: {as: verdict}, model: 3}
        opea_mega_service:
          nam: x
          endpoints: [v1/chat]
          mega_flow:
            - llm >> (judge, grader, other, third)
            - third >> third
    """) == [
        "2:9: 'endpoint': 'http://a:90030/' has no port from 1 to 65535; write one such as http://host:8000/path.",
        "2:47: node 'llm': 'reqest.text' begins with 'reqest', which is neither 'request' nor a node before this one."
        " Did you mean 'request'?",
        "2:69: node 'spar' is not in 'opea_micro_services'.",
        "3:36: 'service_type': expected 'llm', 'grader', 'text', 'json', 'guard' or 'select', found 'gradr'."
        " Did you mean 'grader'?",
        "4:12: 'endpoint': 0.0.0.0 is an address to listen on, not one to call; write 127.0.0.1 or the host.",
        "4:69: 'replicas[1]': 'nowhere' is no URL; write one such as http://host:port/path.",
        "4:79: the key 'modle' is not known here. Did you mean 'model'?",
        "4:98: 'usage' is a field of the answer itself; choose another name.",
        "8:16: 'idle_seconds': expected a number greater than 0, found 0.",
        "9:14: a grader takes no 'candidat'. Did you mean 'candidate'?",
        "10:36: the output of a grader has no 'scor'. Did you mean 'score'?",
        "11:67: nodes 'other' and 'third' are both attached as 'verdict'.",
        "11:81: 'model': expected a text, found 3; put it in quotes: '3'.",
        "13:3: the key 'nam' is not known here. Did you mean 'name'?",
        "14:15: 'endpoints[0]': 'v1/chat' is no path; write '/v1/chat'.",
        "15:3: the flow has a cycle: third >> third. Remove one of its edges.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        # An edge to a node that is there but wrong is not unknown.
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', service_type: gradr}
        opea_mega_service: {mega_flow: [llm >> grader]}
        """,
        # The only node that writes may be the one whose kind is misspelt.
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/', service_type: lmm}
          grader: {endpoint: 'http://a:2/'}
        opea_mega_service: {mega_flow: [llm >> grader]}
        """,
        # The stand-in of a node that is wrong is not unused.
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/', service_type: lmm, fallback: spare}
          spare: {endpoint: 'http://a:2/'}
        opea_mega_service: {mega_flow: [llm]}
        """,
        # A flow under a wrong key, or a wrong name in it: nobody knows who is before whom.
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', inputs: {candidate: llm.text}}
          guard: {endpoint: 'http://a:3/', service_type: text, consume: sentence}
        opea_mega_service: {flow: [llm >> grader, llm >> guard]}
        """,
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', inputs: {candidate: llm.text}}
          guard: {endpoint: 'http://a:3/', service_type: text, consume: sentence}
        opea_mega_service: {mega_flow: ["llm >> (grader, guard) >>"]}
        """,
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', inputs: {candidate: llm.text}}
          guard: {endpoint: 'http://a:3/', service_type: text, consume: sentence}
        opea_mega_service: {mega_flow: [llm, "lllm >> (grader, guard)"]}
        """,
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', inputs: {candidate: llm.text}}
        opea_mega_service: []
        """,
        # Where its `attach` is wrong, nobody knows under which name a node is attached.
        """\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          usage: {endpoint: 'http://a:2/', service_type: grader, attach: {as: 'a b'}}
        opea_mega_service: {mega_flow: [llm >> usage]}
        """,
        # A value with an unset variable is not what the file means.
        """\
        opea_micro_services:
          llm: {endpoint: '${UNSET}'}
        """,
        "opea_micro_services:\n  llm: {endpoint: 'http://a:1/', timeouts: {idle_seconds: !!timestamp x}}\n",
        # Without nodes, every name in the flow would be unknown.
        "opea_mega_service: {mega_flow: [llm >> grader]}\n",
    ],
)
def test_checks_report_no_false_consequences(text: str) -> None:
    """One mistake, one problem."""
    assert len(_problems(text)) == 1


def test_checks_refuse_fields_that_a_grade_does_not_have() -> None:
    """A misspelt field would be attached never."""
    assert _problems("""\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', attach: {as: grade, fields: [score, xyzzy]}}
    """) == [
        "3:73: the output of a grader has no 'xyzzy'. Its fields are 'score', 'feedback', 'model', 'usage', 'ignored'"
        " or 'error'."
    ]


def test_checks_refuse_a_default_endpoint_that_the_gateway_has_itself() -> None:
    """The user has not written the path, so the message says where it comes from."""
    assert _problems("""\
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
        opea_mega_service:
          name: models
    """) == [
        "4:3: without 'endpoints' this pipeline would be at /v1/models, a route of the gateway itself; write"
        " 'endpoints: [...]' or another 'name'."
    ]


@pytest.mark.parametrize(
    ("fallbacks", "message"),
    [
        (("other", "llm"), "2:34: node 'llm' falls back to itself; end the chain of fallbacks."),
        (("grader", ""), "2:34: 'grader' is a grader; a fallback must be a llm."),
        (("grade", ""), "2:34: node 'grade' is not in 'opea_micro_services'. Did you mean 'grader'?"),
    ],
)
def test_checks_refuse_fallbacks_that_cannot_help(fallbacks: tuple[str, str], message: str) -> None:
    """It must be there, be of the same kind, and end."""
    first, second = fallbacks
    assert message in _problems(f"""\
        opea_micro_services:
          llm: {{endpoint: 'http://a:1/', fallback: {first}}}
          other: {{endpoint: 'http://a:2/'{f", fallback: {second}" if second else ""}}}
          grader: {{endpoint: 'http://a:3/'}}
    """)
