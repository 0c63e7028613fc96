"""Harnesses for libFuzzer: one small file for each target of fuzzing, and what they share.

``python -m fuzz.harness.NAME [corpus …] [-flags of libFuzzer]``, or ``scripts/harness-run NAME``. The entries are
model_split, model_packed, driver_split, driver_packed (programs on our own models, judged), program_text,
program_bytes, trace, vhost_user_messages, report_inputs (our parsers) and remote (a target in another process).

The files of the entries must stay as they are in two ways: no ``from __future__``, since OSS-Fuzz puts lines of its
own before their first; and each its own ``TestOneInput``, since that is where the stack of a find begins.
"""

NAMES = (
    "model_split",
    "model_packed",
    "driver_split",
    "driver_packed",
    "program_text",
    "program_bytes",
    "trace",
    "vhost_user_messages",
    "report_inputs",
    "remote",
)
