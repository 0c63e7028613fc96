"""Asks ClusterFuzz's own code. Runs in the environment that has it, where none of ours can be imported.

    python crash_state.py state < OUTPUT      the type and the state of a crash, as JSON
    python crash_state.py yaml FILE           what a YAML file says, as JSON

Knows what ClusterFuzz is asked. Must not judge what it says.
"""

import json
import sys


def state(output: str) -> dict[str, str]:
    """What a crash is filed under: crashes with one state are one bug."""
    from clusterfuzz import stacktraces

    parsed = stacktraces.StackParser(symbolized=True, detect_ooms_and_hangs=True).parse(output)
    return {"type": parsed.crash_type, "state": parsed.crash_state}


if __name__ == "__main__":
    if sys.argv[1] == "state":
        print(json.dumps(state(sys.stdin.read())))
    else:
        import yaml

        with open(sys.argv[2], encoding="utf-8") as file:
            print(json.dumps(yaml.safe_load(file)))
