"""Every example profile is valid, for muster and by the schema; the schema beside them is the one that muster prints."""
import json

import jsonschema
import tree
import yaml

SCHEMA = "profiles/muster-profile.schema.json"

problems = []
profiles = tree.files("profiles/*.yaml")
if not profiles:
    problems.append("no example profiles")

printed = tree.muster("profile", "schema").stdout
schema = json.loads(tree.read(SCHEMA))
if printed != tree.read(SCHEMA):
    problems.append(f"{SCHEMA} is not what `muster profile schema` prints")
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)

for path in profiles:
    problems += [f"{path}: {error.message}" for error in validator.iter_errors(yaml.safe_load(tree.read(path)))]
    done = tree.muster("profile", "check", str(path))
    if done.returncode != 0:
        problems.append(f"{path}: {done.stdout}{done.stderr}")
if validator.is_valid({"noSuchKey": 1}):
    problems.append(f"{SCHEMA} accepts unknown keys")

tree.finish(problems)
