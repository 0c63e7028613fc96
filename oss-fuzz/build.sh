#!/bin/bash -eu
# Copyright 2026 The vqfuzz authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
#
################################################################################

# Freezes every harness into $OUT, and puts its seed corpus, dictionary and options beside it. ClusterFuzzLite's
# build.sh runs this one. VQFUZZ_HARNESSES: only these, for scripts/oss_fuzz.

cd "$SRC/vqfuzz"
# The packages lie at the root and need the standard library alone, so nothing is installed: neither scapy, which is
# GPL-2.0-only and must not be frozen together with atheris (Apache-2.0), nor anything else that no harness needs.
export PYTHONPATH="$PWD"

for name in ${VQFUZZ_HARNESSES:-$(python3 -m scripts.oss_fuzz.beside)}; do
  python3 -m scripts.oss_fuzz.beside "$name" "$OUT"
  # What is read or imported late is invisible to PyInstaller: the catalogue of rules, texts, device classes.
  compile_python_fuzzer "fuzz/harness/$name.py" \
    --collect-data oracles --collect-data fuzz --add-data "$PWD/corpus:corpus" \
    --collect-submodules fuzz.devices --exclude-module scapy --exclude-module hypothesis
done
