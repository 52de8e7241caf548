# SPDX-License-Identifier: BSD-2-Clause
"""Objects of all kinds: parse, json, dicts, sorting, strings, big integers."""
import ast
import hashlib
import json
import os
import re

said = hashlib.sha256()

for name in ("argparse", "ast", "json", "os", "re", "typing", "inspect"):
    path = os.path.join(os.path.dirname(os.__file__), name + ".py")
    if not os.path.exists(path):
        path = os.path.join(os.path.dirname(os.__file__), name, "__init__.py")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for _ in range(2):
        tree = ast.parse(text)
        said.update(ast.unparse(tree).encode())
    words = {}
    for word in re.findall(r"\w+", text):
        words.setdefault(word, []).append(len(words))
    said.update(json.dumps(sorted(words.items())).encode())

rows = [{"id": i, "name": f"row {i * 7919 % 10007}", "tags": [str(i % 13)] * 3,
         "value": i / 3} for i in range(40000)]
for _ in range(2):
    rows = json.loads(json.dumps(rows))
rows.sort(key=lambda r: (r["name"], r["id"]))
said.update(repr(rows[::97]).encode())

x = 1
for i in range(1, 2500):
    x *= i
said.update(str(x % (10 ** 4000)).encode())
print(said.hexdigest())
