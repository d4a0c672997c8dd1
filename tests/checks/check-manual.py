"""The manual pages and the option tables say the same: every verb, option, environment variable and exit status. The verbs
of a noun stand in muster-NOUN(1) where there is one, all others in muster(1). Read as people read it, rendered."""
import json
import re
import subprocess

import tree

MAIN = "muster"


def page_file(page):
    return tree.TOP / f"man/{page}.1"


def page_of(verb):
    noun = verb["name"].split()[0]
    return f"muster-{noun}" if page_file(f"muster-{noun}").exists() else MAIN


def rendered(file):
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=100", file], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return re.sub(".\b", "", text)


def sections(text):
    """Title -> lines, for sections (no indent) and subsections (an indent of three)."""
    result, title = {}, ""
    for line in text.splitlines():
        heading = re.fullmatch(r"(?: {3})?(\S.*)", line)
        if heading:
            title = heading.group(1).strip()
        result.setdefault(title, []).append(line)
    return result


def options_in(lines):
    """Long options where an item begins: '-p, --profile=FILE'."""
    items = [line.strip() for line in lines if re.match(r" +(-\w, )?--[a-z]", line)]
    return {name for item in items for name in re.findall(r"(?:^|, )--([a-z][a-z-]*)", item)}


def names_of(rows):
    return {name for row in rows for name in [row["name"], *row["aliases"]]}


def compare(place, described, rows):
    shown = [row for row in rows if not row["hidden"]]
    yield from (f"{place}: --{row['name']} is not described" for row in shown if row["name"] not in described)
    known = names_of(rows)
    yield from (f"{place}: --{name} does not exist" for name in sorted(described - known))


def login_options():
    return options_in(rendered(tree.TOP / "man/muster-login.7").splitlines())


def verb_problems(page, parts, verbs):
    """Options that all verbs of a page share may stand once, under OPTIONS; those for the login in muster-login(7)."""
    login = login_options() if "muster-login(7)" in " ".join(sum(parts.values(), [])) else set()
    shared = options_in(parts.get("OPTIONS", [])) if page != MAIN else set()
    for verb in verbs:
        title = f"muster {verb['name']}"
        if title not in parts:
            yield f"{page}(1): no '{title}'"
            continue
        described = options_in(parts[title]) | ((shared | login) & names_of(verb["options"]))
        yield from compare(f"{page}(1): {title}", described, verb["options"])
    known = {f"muster {verb['name']}" for verb in verbs}
    yield from (f"{page}(1): there is no '{title}'" for title in parts
                if re.match("muster [a-z]", title) and title not in known)
    in_any = names_of(row for verb in verbs for row in verb["options"])
    yield from (f"{page}(1): OPTIONS: --{name} is no option of these commands" for name in sorted(shared - in_any))


def main_problems(parts, text, tables):
    known = {f"muster {verb['name']}" for verb in tables["verbs"]}
    elsewhere = set().union(*(options_in(lines) for title, lines in parts.items() if title not in known))
    yield from (f"{MAIN}(1): --{row['name']} is not described" for row in tables["options"] if row["name"] not in elsewhere)
    variables = {row["environment"] for table in [tables, *tables["verbs"]] for row in table["options"] if row["environment"]}
    yield from (f"{MAIN}(1): {name} is not described" for name in sorted(variables) if not re.search(rf"\b{name}\b", text))
    statuses = "\n".join(parts.get("EXIT STATUS", []))
    yield from (f"{MAIN}(1): exit status {code} is not described" for code in range(12)
                if not re.search(rf"^ +{code}\b", statuses, re.MULTILINE))


def problems():
    tables = json.loads(tree.muster("--dump-options").stdout)
    pages = {page_of(verb) for verb in tables["verbs"]} | {MAIN}
    for page in sorted(pages):
        text = rendered(page_file(page))
        parts = sections(text)
        yield from verb_problems(page, parts, [verb for verb in tables["verbs"] if page_of(verb) == page])
        if page == MAIN:
            yield from main_problems(parts, text, tables)
    in_any = names_of(row for verb in tables["verbs"] for row in verb["options"])
    yield from (f"muster-login(7): --{name} is no option of any command" for name in sorted(login_options() - in_any))
    for path in sorted((tree.TOP / "man").glob("*.1")):
        if path.stem not in pages | {"muster-emulator"}:
            yield f"man/{path.name}: no command belongs to this page"


tree.finish(list(problems()))
