"""The manual page and the option tables say the same: every verb, option, environment variable and exit code."""
import json
import re

import tree

PAGE = "man/muster.1"


def plain(text):
    """Roff with its font changes and escapes taken away."""
    text = re.sub(r"\\f[BIRP]|\\&", "", text)
    return text.replace(r"\-", "-")


def section(text, title):
    """From its .SH or .SS line to the next of either; None when there is none."""
    found = re.search(rf'^\.S[HS] "?{re.escape(title)}"?\n(.*?)(?=^\.S[HS] |\Z)', text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else None


def options_in(text):
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", " ".join(re.findall(r"^\.TP\n(.*)$", text, re.MULTILINE))))


def compare(name, text, rows):
    if text is None:
        yield f"{PAGE}: no section '{name}'"
        return
    shown = {row["name"] for row in rows if not row["hidden"]}
    described = options_in(text)
    yield from (f"{PAGE}: {name}: --{option} is not described" for option in sorted(shown - described))
    yield from (f"{PAGE}: {name}: --{option} does not exist" for option in sorted(described - shown))


def problems():
    page = plain(tree.read(PAGE))
    tables = json.loads(tree.muster("--dump-options").stdout)
    yield from compare("COMMON OPTIONS", section(page, "COMMON OPTIONS"), tables["options"])
    for verb in tables["verbs"]:
        title = f"muster {verb['name']}"
        yield from compare(title, section(page, title), verb["options"])
    titles = set(re.findall(r'^\.SS "?muster ([^"\n]+)"?', page, re.MULTILINE))
    yield from (f"{PAGE}: there is no verb '{title}'" for title in sorted(titles - {verb["name"] for verb in tables["verbs"]}))
    variables = {row["environment"] for table in [tables, *tables["verbs"]] for row in table["options"] if row["environment"]}
    yield from (f"{PAGE}: {name} is not described" for name in sorted(variables) if name not in page)
    statuses = section(page, "EXIT STATUS") or ""
    yield from (f"{PAGE}: exit status {code} is not described" for code in range(12)
                if not re.search(rf"^\.TP\n\.?B? ?{code}\n", statuses, re.MULTILINE))


tree.finish(list(problems()))
