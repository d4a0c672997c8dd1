"""The pages of section 5 name every key of profiles and of muster.yaml, its words, limits and default."""
import json
import re
import subprocess

import tree


def rendered(page):
    text = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=100", tree.TOP / "man" / page], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return re.sub(".\b", "", text)


def parts_of(schema):
    """Key, property; of all levels."""
    for inner in [schema, *schema.get("oneOf", []), *schema.get("anyOf", [])]:
        for key, value in inner.get("properties", {}).items():
            yield key, value
            yield from parts_of(value)


def words_of_profiles():
    for key, value in parts_of(json.loads(tree.read("profiles/muster-profile.schema.json"))):
        yield key
        yield from value.get("enum", [])
        yield from (str(value[limit]) for limit in ("minimum", "maximum") if limit in value)
        if "default" in value and not isinstance(value["default"], bool):
            yield str(value["default"])


def words_of_configurations():
    for row in re.findall(r"\{ \"([A-Za-z]+)\", FIELD_(.*?\.help)", tree.read("src/profile/config.c"), re.DOTALL):
        yield row[0]
        yield from re.findall(r"\.(?:least|most) = (\d+)|\.fallback =\s+\"(\w+)\"", row[1])


def missing(page, words):
    shown = set(re.findall(r"[\w{}=.-]*[\w}]", rendered(page)))
    flat = {word for item in words for word in ([item] if isinstance(item, str) else item) if word}
    yield from (f"man/{page}: '{word}' is not described" for word in sorted(flat) if word not in shown)


tree.finish([*missing("muster-profile.5", words_of_profiles()), *missing("muster.yaml.5", words_of_configurations())])
