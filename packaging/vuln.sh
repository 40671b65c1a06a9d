#!/bin/bash
# Looks whether the program calls code with known faults: packaging/vuln.sh GOVULNCHECK
#
# GOVULNCHECK is the program that asks. The list of faults comes from where GOVULNDB says: an address, or file:///FOLDER
# of a copy. A fault that the program can reach ends this with 1. Where the list is out of reach, nothing is known: that is
# said, and is no failure unless VULN_REQUIRED=1 says that it has to be known, as before a release.
set -uo pipefail
tool=$1
said=$(mktemp)
trap 'rm -f "$said"' EXIT
"$tool" ${GOVULNDB:+-db "$GOVULNDB"} ./... >"$said" 2>&1
code=$?
cat "$said"
case $code in
  0) exit 0 ;;
  3) # the code for findings
    echo "the program can reach known faults: update the modules named above" >&2
    exit 1
    ;;
esac
if grep -qE 'fetching vulnerabilities|no such host|dial tcp|proxyconnect|Forbidden|connection refused|i/o timeout|index/|GOVULNDB' "$said"; then
  echo "the list of known faults is out of reach, so NOTHING IS KNOWN about faults in modules" >&2
  echo "with a copy of the list: GOVULNDB=file:///FOLDER make vuln" >&2
  [[ ${VULN_REQUIRED:-0} == 1 ]] && exit 1
  exit 0
fi
exit "$code"
