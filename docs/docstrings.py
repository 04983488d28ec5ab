"""A griffe extension: what the reference cannot read in docstrings of NumPy's style, in words that it can.

Parameters described together get a default each; the parts of a named tuple become a list, and so does what
to see also; a choice of strings becomes words.
"""

import re
from typing import Any

import griffe

TOGETHER = re.compile(r"^(\w+(?:, \w+)+)( : .+)?\n((?:    .*\n?|\n(?=    ))+)", re.MULTILINE)
PART = re.compile(r"^    (\w+(?:, \w+)*) : (.+)\n(?=        )", re.MULTILINE)
CHOICE = re.compile(r"(?<= : )\{([^}]+), ([^,}]+)\}")
SEE_ALSO = re.compile(r"(?<=^See Also\n--------\n)(?:.+\n?)+", re.MULTILINE)


class Readable(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value)


def readable(text: str) -> str:
    text, examples, rest = text.partition("\nExamples\n")
    text = SEE_ALSO.sub(lambda found: re.sub(r"(?m)^(\w+) : ", r"- `\1`: ", found[0]), text)
    text = TOGETHER.sub(apart, text)
    text = PART.sub(lambda found: f"    - **{found[1]}** (`{plain(found[2])}`)\n", text)
    text = CHOICE.sub(lambda found: f"{found[1]} or {found[2]}".replace('"', ""), text)
    text = text.replace("‖*", "‖\\*")  # the nuclear norm, no emphasis
    text = re.sub(r"(?m)^(\w+) : (.*``.*)$", lambda found: f"{found[1]} : {plain(found[2])}", text)
    return re.sub(r"^::$|:(?=:$)", "", text + examples + rest, flags=re.MULTILINE)


def apart(found: re.Match[str]) -> str:
    kind = "" if found[2] == " : optional" else found[2] or ""  # without, that of the signature counts
    text = found[3].rstrip("\n")
    return "".join(f"{name}{kind}\n{text}\n" for name in found[1].split(", "))


def plain(text: str) -> str:
    return text.replace("`", "")
