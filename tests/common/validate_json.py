#!/usr/bin/env python3
"""validate_json.py SCHEMA FILE...: exits with 0 when every file is JSON that keeps to the schema, else says where not."""

import json
import sys

import jsonschema


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    wrong = 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            for error in validator.iter_errors(json.load(file)):
                where = "/".join(str(step) for step in error.absolute_path)
                print("%s: %s: %s" % (path, where or "(top)", error.message), file=sys.stderr)
                wrong = 1
    sys.exit(wrong)


main()
