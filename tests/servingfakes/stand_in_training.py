"""`… package MODEL VERSION --json`: ends as the model's name says."""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    verb, model, version, form = sys.argv[1:]
    assert (verb, version, form) == ("package", "1", "--json")
    if model == "hangs":
        time.sleep(60)
    if model == "crashes":
        raise RuntimeError("out of ideas")
    said = {
        "refuses": (5, {"error": "NotPackaged", "message": "no ONNX for it"}),
        "unreachable": (4, {"error": "Unreachable", "message": "nobody answers"}),
        "converts": (0, {"address": "file:///there", "digest": "d" * 64, "from": "f" * 64}),
    }
    code, body = said.get(model, (0, None))
    if body:
        sys.stdout.write(json.dumps(body))
    raise SystemExit(code)


if __name__ == "__main__":
    main()
