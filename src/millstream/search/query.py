"""From a person's question to the terms that are looked for."""

import re

_TERM = re.compile(r"\w+")
MAX_TERMS = 64  # a pasted page is a question too; beyond this a lexical query only gets slower

# Function words of English questions. Dropping them more than halves the time of a search at equal quality.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about above after again against all also am an and any are as at be because been before being below
        between both but by can could did do does doing don down during each few for from further get give had has have
        having he her here hers him his how i if in into is it its itself just ll may me might more most much must my
        no nor not now of off on once only or other our ours out over own please re s same shall she should so some
        such t tell than that the their theirs them then there these they this those through to too under until up us
        ve very was we were what when where which while who whom whose why will with would you your yours""",
    )
)


def query_terms(question: str) -> list[str]:
    """The distinct words of `question` in small letters, in order, without stop words unless there is nothing else."""
    words = list(dict.fromkeys(_TERM.findall(question.lower())))
    telling = [word for word in words if word not in STOP_WORDS]
    return (telling or words)[:MAX_TERMS]
