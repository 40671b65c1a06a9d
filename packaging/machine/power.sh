#!/bin/bash
# power.sh   is run at every start of a computer whose power fails while pages are edited and provisioned. The first
# time it installs /root/files/new.deb; later it looks at what the failure left, and then edits until the next one.
# /run/job/acked is the number of the last edit that was said to be safe; it is not on the computer's disk.
# shellcheck source=/dev/null
. /root/lib.sh
tree=/var/lib/webgear/webgear
ack() { echo "$1" >/run/job/acked.new && mv /run/job/acked.new /run/job/acked; }
# edit NUMBER   saves a page as careful editors do.
edit() {
  echo "mine $1" >"$tree/templates/.swp" && chown webgear: "$tree/templates/.swp" && sync "$tree/templates/.swp" &&
    mv "$tree/templates/.swp" "$tree/templates/base.html" && sync "$tree/templates"
}
# wholeness FOLDER   prints what is neither a page as the package has it, nor mine, nor being written.
wholeness() {
  local f
  (cd "$1" && find . -type f) | while IFS= read -r f; do
    case $f in
      */.*) continue ;; # being written; whether that is cleared away is looked at elsewhere
      ./templates/base.html) grep -qxE 'mine [0-9]+' "$1/$f" && continue ;;
      *) grep -qxF "$(sha256sum <"$1/$f" | cut -d' ' -f1) $f" /root/sums && continue ;;
    esac
    echo "$f, $(stat -c %s "$1/$f") bytes"
  done
}

if [ ! -e /root/sums ]; then
  cd /root/files || exit 1
  check 'apt installs' apt-get install -y -q --no-install-recommends ./new.deb
  first 20 'after installing'
  (cd "$tree" && find . -type f | while IFS= read -r f; do echo "$(sha256sum <"$f" | cut -d' ' -f1) $f"; done) >/root/sums.new
  # Keeps the pages as the failure left them, before anything is made anew.
  cat >/etc/systemd/system/witness.service <<'U'
[Unit]
Before=webgear-provision.service webgear.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'rm -rf /root/witness; cp -a /var/lib/webgear/webgear /root/witness'
[Install]
WantedBy=multi-user.target
U
  systemctl enable -q witness
  edit 0
  ack 0
  mv /root/sums.new /root/sums
  sync
  finish
fi

say "started, the clock says $(date)"
acked=$(cat /run/job/acked)
have=$(grep -oxE 'mine [0-9]+' /root/witness/templates/base.html | cut -d' ' -f2)
check "edit $acked was safe, $have is there" test "${have:-0}" -ge "$acked" -a "${have:-0}" -le $((acked + 1))
equal 'what is there is whole' "$(wholeness /root/witness)" ''
within 20 'picture' picture
within 20 'provisioning is over' systemctl is-active -q webgear-provision
equal 'the edit is not replaced' "$(cat "$tree/templates/base.html")" "mine $have"
equal 'everything is there and whole' "$(wholeness "$tree")$(find "$tree" -type f ! -name '.*' | wc -l)" 7
equal 'nothing is left half-written' "$(find "$tree" -name '.*' ! -name .swp)" ''
# shellcheck disable=SC2154 # lib.sh counts them
if [ "$failures" != 0 ] || [ -e /run/job/last ]; then finish; fi

n=$have
while :; do
  rm -rf "$tree/static" "$tree"/templates/[4i]*
  systemctl restart --no-block webgear-provision
  sleep "0.$((RANDOM % 4))"
  n=$((n + 1))
  edit "$n" && ack "$n"
  : >/run/job/working
done
