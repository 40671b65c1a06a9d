# lib.sh   is read by the jobs that run in the test machine.
# shellcheck shell=bash
set -u
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
failures=0

say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }
fail() { failures=$((failures + 1)); echo "FAIL: $*"; }
# check NAME CMD...   runs a command, whose failure is one of the test.
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then say "ok: $name"; else fail "$name: $* said: $said"; fi
}
# refused NAME CMD...   wants a command to fail.
refused() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then fail "$name: $* did not fail: $said"; else say "ok: $name"; fi
}
# equal NAME GOT WANT
equal() { if [ "$2" = "$3" ]; then say "ok: $1"; else fail "$1: got '$2', want '$3'"; fi; }
# within SECONDS NAME CMD...   wants a command to succeed before long, and says when it did.
within() {
  local limit=$1 name=$2 began now
  shift 2
  began=$(date +%s%N)
  until "$@" >/dev/null 2>&1; do
    now=$(date +%s%N)
    if [ $(((now - began) / 1000000)) -gt $((limit * 1000)) ]; then
      fail "$name: not within $limit s"
      return 1
    fi
    sleep 0.05
  done
  say "ok: $name, after $((($(date +%s%N) - began) / 1000000)) ms"
}
# get ARGUMENT...   is curl with the password that the tests chose.
password=correct-horse-battery-staple
get() { curl -s -u "admin:$password" "$@"; }
export password
export -f get
# strangers   succeeds when who has no password is told how to set one, and gets nothing else. The page itself lets
# nobody set one here: a container was not switched on in the last ten minutes.
strangers() {
  curl -s -m 5 http://localhost:8000/claim | grep -q password || return 1
  ! curl -s -f -m 5 -o /dev/null http://localhost:8000/snapshot
}
claim() { echo "$password" | webgear claim; }
# first SECONDS NAME [CMD...]   is the first minute: the page to choose a password and nothing else, then what
# CMD wants, a picture when there is none.
first() {
  local limit=$1 name=$2
  shift 2
  within "$limit" "page to choose a password $name" strangers
  check "a password is chosen $name" claim
  within "$limit" "picture $name" "${@:-picture}"
}
# picture   succeeds when there is one on port 8000.
picture() {
  local type
  type=$(get -f -m 5 -o /tmp/picture.jpg -w '%{content_type}' http://localhost:8000/snapshot) || return 1
  [ "$type" = image/jpeg ] && [ "$(head -c3 /tmp/picture.jpg | od -An -tx1 | tr -d ' ')" = ffd8ff ]
}
pid() { systemctl show -P MainPID webgear.service; }
# journal ARGUMENT...   prints the journal, with what was said up to now.
journal() {
  journalctl --sync
  journalctl --no-pager "$@"
}
export -f journal
# finish   ends the job; the log of the service helps when something failed.
finish() {
  if [ "$failures" != 0 ]; then
    journal -n 100 -u 'webgear*' -u init.scope
    systemctl status 'webgear*' --no-pager -l
  fi
  echo "$failures failed"
  [ "$failures" = 0 ]
  exit
}
