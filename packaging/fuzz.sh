#!/bin/bash
# Runs every fuzz target of the tree for a time, one after another on all cores.
#
#   packaging/fuzz.sh [TIME [PATTERN]]
#
# TIME is that of each target as go test takes it, 20s by default. PATTERN is a regular expression for "FOLDER FuzzName"
# that chooses targets. All targets run, whatever fails; the inputs that failed are in testdata/fuzz of their package, where
# every later go test tries them again, and belong into the next commit together with the cure.
set -euo pipefail
time=${1:-20s} pattern=${2:-.}
said=$(mktemp)
trap 'rm -f "$said"' EXIT
ran=0 failed=()
while read -r folder target; do
  ran=$((ran + 1))
  # A small input that does the same as a new one is looked for no longer than 5 s: where goroutines make it a matter of chance
  if go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5s -timeout 0 "$folder" >"$said" 2>&1; then
    printf '%-28s %-40s %s\n' "$folder" "$target" "$(grep -oE 'execs: [0-9]+|new interesting: .*' "$said" | tail -n 2 | paste -sd ' ' -)"
  else
    printf '%-28s %-40s FAILED\n' "$folder" "$target"
    cat "$said"
    failed+=("$folder $target")
  fi
done < <(grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | sed "s|^func |$(dirname "$file") |"
done | sort -u | grep -E -- "$pattern")
echo "$ran fuzz targets, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
  printf 'failed: %s\n' "${failed[@]}"
  exit 1
fi
if ((ran == 0)); then
  echo "no target fits $pattern" >&2
  exit 1
fi
